"""Asynchronous invocations: queued, run, tried again twice, given up to a queue.

The operation ``Invoke`` with type ``Event`` and the rules use it. An event is held in memory only: what it
stands for ends with the emulator, which a test must not take for durability.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable

from infinity.backoff import Backoff

from ..clock import Timeline
from ..failure import AwsError
from ..sqs import Sqs
from .function import Function
from .invocation import Outcome

__all__ = ["Events"]

log = logging.getLogger("infinity.emulator")

MAX_EVENT = 1_000_000
RETRIES_AFTER_MS = (60_000, 120_000)
_BACKOFF = Backoff(first=1.0, longest=300.0, least=1.0)
OLDEST_MS = 6 * 3600 * 1000
"""An event that was throttled so long is given up."""


class Events:
    """The asynchronous invocations of all functions.

    Args:
        timeline: The emulator's.
        sqs: Where ``on_failure`` queues are.
        told: Called when an event is handled or given up.
    """

    def __init__(self, timeline: Timeline, sqs: Sqs, told: Callable[[], None]) -> None:
        self._timeline = timeline
        self._sqs = sqs
        self._told = told
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Events that are neither handled nor given up."""
        return len(self._tasks)

    def accept(self, function: Function, payload: bytes) -> None:
        """Queue an event, and run it in the background.

        Args:
            function: The target.
            payload: JSON bytes.

        Raises:
            AwsError: if the payload is larger than ``MAX_EVENT``.
        """
        if len(payload) > MAX_EVENT:
            message = f"Request must be smaller than {MAX_EVENT} bytes for the InvokeFunction operation"
            raise AwsError("RequestTooLargeException", message, 413)
        task = asyncio.create_task(self._handle(function, payload))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._told()

    async def _handle(self, function: Function, payload: bytes) -> None:
        accepted_at, throttled, outcome = self._timeline.now(), 0, None
        # Three attempts in all; a throttled one is not an attempt.
        for pause in (*RETRIES_AFTER_MS, None):
            while True:
                try:
                    outcome = await function.invoke(payload)
                    break
                except AwsError:
                    # Throttled: that is not an attempt, and is tried again for up to six hours.
                    wait = int(_BACKOFF.wait(throttled) * 1000)
                    throttled += 1
                    if self._timeline.now() + wait > accepted_at + OLDEST_MS:
                        return self._give_up(function, payload, None)
                    await self._timeline.sleep(wait)
            if outcome.error is None:
                return None
            if pause is not None:
                await self._timeline.sleep(pause)
        return self._give_up(function, payload, outcome)

    def _give_up(self, function: Function, payload: bytes, outcome: Outcome | None) -> None:
        target = function.settings.on_failure
        if target is None:
            log.warning("an event for function %s was dropped: it failed every time", function.name)
            return
        letter = {
            "version": "1.0",
            "requestContext": {
                "functionArn": f"{function.arn}:$LATEST",
                "condition": "RetriesExhausted" if outcome is not None else "EventAgeExceeded",
            },
            "requestPayload": json.loads(payload or b"null"),
            "responsePayload": None if outcome is None else outcome.value(),
        }
        queue = self._sqs.queue(target)
        self._sqs.send_message({"QueueUrl": queue.name, "MessageBody": json.dumps(letter)})
