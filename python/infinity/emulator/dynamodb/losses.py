"""Faults of DynamoDB's writes: answered and lost, answered and made later, made twice.

For what may lag behind the truth without harm: a cache, a mark, a view. Use with ``faults.add("dynamodb",
"PutItem", lost())``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..failure import AwsError
from ..faults import Attempt, Fault
from ..wire import Reply

if TYPE_CHECKING:
    from .service import DynamoDb

__all__ = ["delayed", "lost", "repeated"]


def lost() -> Fault:
    """The answer is success, as its conditions allow, and nothing is written."""

    async def fault(attempt: Attempt) -> Reply:
        with _service(attempt).dry():
            return await attempt.act()

    return fault


def delayed(seconds: float) -> Fault:
    """The answer is success; the write is made so much later by the emulator's clock, if its conditions hold
    then.
    """

    async def fault(attempt: Attempt) -> Reply:
        with _service(attempt).dry():
            reply = await attempt.act()
        _later(attempt, seconds)
        return reply

    return fault


def repeated(seconds: float) -> Fault:
    """The write is made, and once more so much later: over whatever was written in between."""

    async def fault(attempt: Attempt) -> Reply:
        reply = await attempt.act()
        _later(attempt, seconds)
        return reply

    return fault


def _later(attempt: Attempt, seconds: float) -> None:
    timeline = attempt.timeline
    timeline.at(timeline.now() + int(seconds * 1000), lambda: _again(attempt))


_running: set[asyncio.Task[None]] = set()


def _again(attempt: Attempt) -> None:
    async def write() -> None:
        try:
            await attempt.act()
        except AwsError:
            # Its condition no longer holds; nobody waits for the answer.
            return

    task = asyncio.create_task(write())
    _running.add(task)
    task.add_done_callback(_running.discard)


def _service(attempt: Attempt) -> DynamoDb:
    # Late, because the service imports this package's parts.
    from .service import DynamoDb

    assert isinstance(attempt.service, DynamoDb), "only DynamoDB's writes can be lost or late"
    return attempt.service
