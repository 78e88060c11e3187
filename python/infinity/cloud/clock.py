"""The clock of a process that exits between slices: it tells the time and rings for nobody (see ``abc.Alarm``)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["CloudClock"]


class CloudClock:
    """``now``: ms since the epoch."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now

    def now(self) -> int:
        return self._now()

    def wake_at(self, due_at: int | None, due: Callable[[], None]) -> None:
        """Nothing here outlives the invocation: timers are wakes in a queue or a schedule."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
