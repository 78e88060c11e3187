"""The messages of a batch, which the queue hides from everybody else for a minute at a time.

The queue's own visibility time-out has to be longer than the function's time limit, many times over. So it
is shortened when a batch begins, and prolonged while something of the batch runs: whatever ends the
process, its messages are back within a minute, and nobody waits for the rest of an hour (I7).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from infinity.aws.sqs import Queue
from infinity.errors import InfinityError

__all__ = ["BEAT", "HELD", "Hold"]

log = logging.getLogger("infinity.cloud")

HELD = 60
"""Seconds after which the messages of a process that has ended are back."""
BEAT = 20.0
"""Seconds between two prolongations."""

Record = Mapping[str, Any]


class Hold:
    """The messages of one batch.

    Nothing here raises for what SQS does: then the queue's own time-out holds the messages, or they come
    early, which a slice finds out.

    Args:
        queue: The inbox queue.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._held: dict[str, int] = {}
        # A prolongation that is under way must not arrive after the rest of a message that failed.
        self._one = asyncio.Lock()

    async def take(self, records: Iterable[Record], seconds: int | None = None) -> None:
        """Hide messages from other processes, from now on and again with each beat.

        Args:
            records: Records of the batch, with their receipt handles.
            seconds: How long each time; ``HELD`` by default.
        """
        taken = dict.fromkeys(
            (record["receiptHandle"] for record in records), HELD if seconds is None else seconds
        )
        async with self._one:
            self._held |= taken
            await self._set(taken)

    async def rest(self, records: Iterable[Record], seconds: int) -> None:
        """Let messages go and say when they come back.

        Args:
            records: Those that failed. They are not prolonged any more.
            seconds: Until they come back; 0 is now.
        """
        async with self._one:
            await self._set(dict.fromkeys(self._let_go(records), seconds))

    async def finish(self, records: Iterable[Record]) -> None:
        """Delete them, so that their thread goes on while others of the batch still run. The report at the
        end deletes what is left.
        """
        async with self._one:
            try:
                await self._queue.delete_all(self._let_go(records))
            except (InfinityError, OSError) as error:
                log.warning("%s", error)

    async def beat(self) -> None:
        """Prolong everything that is held, every ``BEAT`` seconds, until it is cancelled; the batch runs it
        as a task.
        """
        while True:
            await asyncio.sleep(BEAT)
            # Under the lock, so that a message which was let go meanwhile is not hidden again.
            async with self._one:
                await self._set(self._held)

    def _let_go(self, records: Iterable[Record]) -> list[str]:
        handles = [record["receiptHandle"] for record in records]
        for handle in handles:
            self._held.pop(handle, None)
        return handles

    async def _set(self, seconds: Mapping[str, int]) -> None:
        try:
            await self._queue.hold(seconds)
        except (InfinityError, OSError) as error:
            # The queue's own visibility time-out brings them back, only later.
            log.warning("the messages of a batch come back later than they could: %s", error)
