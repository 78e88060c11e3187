"""The system's clock, with one durable-timer alarm on the daemon's descriptor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from infinity.stores.sqlite.wakeup import Wakeup

__all__ = ["SystemClock", "now"]


def now() -> int:
    """Wall-clock time, in ms since the epoch."""
    return time.time_ns() // 1_000_000


class SystemClock:
    """Wall-clock time; implements ``abc.Clock``. The alarm follows clock steps and suspends, because timers are dates."""

    def __init__(self, wakeup: Wakeup) -> None:
        self._wakeup = wakeup
        self._alarm: tuple[int, Callable[[], None]] | None = None
        wakeup.on_alarm(self._alarmed)

    def now(self) -> int:
        return now()

    def wake_at(self, due_at: int | None, due: Callable[[], None]) -> None:
        self._alarm = None if due_at is None else (due_at, due)
        self._wakeup.wake.arm(due_at)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def _alarmed(self) -> None:
        if self._alarm is None:
            return
        due_at, due = self._alarm
        if self.now() < due_at:
            # The clock was stepped, or an alarm that was replaced went off: the present one still stands.
            self._wakeup.wake.arm(due_at)
            return
        self._alarm = None
        due()
