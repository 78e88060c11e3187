"""The clock of a process that exits between slices: it tells the time and rings for nobody (see
``abc.Alarm``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

__all__ = ["SystemClock"]


class SystemClock:
    """Wall-clock time in milliseconds, and real sleeping. It satisfies ``abc.Clock``."""

    def now(self) -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def wake_at(self, due_at: int | None, due: Callable[[], None]) -> None:
        """Nothing here outlives the invocation: timers are wakes in a queue or a schedule."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
