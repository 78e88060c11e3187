"""Time for the stand-ins: one clock that is handed in, and the alarms that they set on it.

Every stand-in waits by ``Timeline``, so that a test with a virtual clock plays hours in a moment. While no
alarm is set, nothing wakes. Nothing in the emulator may sleep by the system's clock, except for processes
and clients outside of it.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from itertools import count
from typing import Protocol

__all__ = ["Alarm", "Clock", "Timeline", "WallClock"]


class Clock(Protocol):
    """What the stand-ins need of a clock; ``infinity.abc.Clock`` and ``infinity.testing.VirtualClock`` have
    it.
    """

    def now(self) -> int:
        """Milliseconds since the Unix epoch."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class WallClock:
    """The system's time."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Alarm:
    """Something that happens at a time, unless it is cancelled before.

    Args:
        due_at: Milliseconds since the epoch, by the emulator's clock.
        act: Called in the event loop. It must not block or raise.
    """

    def __init__(self, due_at: int, act: Callable[[], object]) -> None:
        self.due_at = due_at
        self.act: Callable[[], object] | None = act

    def cancel(self) -> None:
        """Forget what was to be done. The alarm stays in the queue of the timeline, and rings for nothing."""
        self.act = None


class Timeline:
    """All alarms of an emulator, on one sleeper of its clock. ``start`` it in a running event loop.

    Args:
        clock: The system's, or a virtual one that a test moves on.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._alarms: list[tuple[int, int, Alarm]] = []
        self._order = count()
        self._sleeper: asyncio.Task[None] | None = None
        self._sleeps_until: int | None = None
        self._started = False

    def now(self) -> int:
        return self.clock.now()

    def at(self, due_at: int, act: Callable[[], object]) -> Alarm:
        """Call something in the event loop at a time; soon, if it is past.

        Args:
            due_at: Milliseconds since the epoch.
            act: As for ``Alarm``.

        Returns:
            The alarm, which may be cancelled.
        """
        alarm = Alarm(due_at, act)
        heapq.heappush(self._alarms, (due_at, next(self._order), alarm))
        self._arm()
        return alarm

    async def sleep(self, milliseconds: int) -> None:
        """Wait until the clock has moved on by so many milliseconds."""
        passed = asyncio.Event()
        alarm = self.at(self.now() + milliseconds, passed.set)
        try:
            await passed.wait()
        finally:
            alarm.cancel()

    def start(self) -> None:
        self._started = True
        self._arm()

    async def close(self) -> None:
        self._started = False
        if self._sleeper is not None:
            self._sleeper.cancel()
            await asyncio.gather(self._sleeper, return_exceptions=True)

    def _arm(self) -> None:
        """One task sleeps until the earliest alarm; an earlier one replaces it."""
        # Cancelled alarms at the front go first: the sleeper must not wake for them, or a virtual clock would
        # stop there.
        while self._alarms and self._alarms[0][2].act is None:
            heapq.heappop(self._alarms)
        due_at = self._alarms[0][0] if self._alarms else None
        if not self._started or due_at == self._sleeps_until:
            return
        if self._sleeper is not None:
            self._sleeper.cancel()
        self._sleeps_until = due_at
        self._sleeper = None if due_at is None else asyncio.create_task(self._sleep_until(due_at))

    async def _sleep_until(self, due_at: int) -> None:
        while (left := due_at - self.now()) > 0:
            # Half a millisecond more, because a clock that counts in whole ones rounds down.
            await self.clock.sleep((left + 0.5) / 1000)
        # Before the alarms ring: what they do may set new alarms, which need a sleeper of their own.
        self._sleeper, self._sleeps_until = None, None
        self._ring()
        self._arm()

    def _ring(self) -> None:
        now = self.now()
        # What rings may set alarms that are due already; they ring in the same round.
        while self._alarms and self._alarms[0][0] <= now:
            act = heapq.heappop(self._alarms)[2].act
            if act is not None:
                act()
