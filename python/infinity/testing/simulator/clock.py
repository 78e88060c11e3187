"""The clock of a simulated host: the virtual time of the loop, and steps that somebody makes at the system's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from infinity.testing.clock import START

from .loop import SimulatedLoop

__all__ = ["SimulatedClock"]


class SimulatedClock:
    """``abc.Clock``. The alarm follows steps of the clock, because timers are dates; ``sleep`` does not."""

    def __init__(self, loop: SimulatedLoop, start: int = START) -> None:
        self._loop = loop
        self._start = start
        self._alarm: tuple[int, Callable[[], None]] | None = None
        self._handle: asyncio.TimerHandle | None = None

    def now(self) -> int:
        return self._start + round(self._loop.elapsed * 1000)

    def wake_at(self, due_at: int | None, due: Callable[[], None]) -> None:
        self._alarm = None if due_at is None else (due_at, due)
        self._arm()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def step(self, seconds: float) -> None:
        """Somebody sets the system's clock, forwards or back."""
        self._start += round(seconds * 1000)
        self._arm()

    def forget(self) -> None:
        """The process that set the alarm is gone."""
        self.wake_at(None, lambda: None)

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._alarm is not None:
            wait = max(0, self._alarm[0] - self.now()) / 1000
            self._handle = self._loop.call_later(wait, self._ring)

    def _ring(self) -> None:
        self._handle = None
        if self._alarm is None:
            return
        due_at, due = self._alarm
        if due_at > self.now():
            self._arm()
            return
        self._alarm = None
        due()
