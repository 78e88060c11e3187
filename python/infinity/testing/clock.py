"""A virtual clock: time passes when the test says so, a three-day sleep in milliseconds.

Everything that takes an ``abc.Clock`` runs with it. A test advances it; nothing in it ever waits for
real time.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from itertools import count

START = 1_800_000_000_000
"""2027-01-15T08:00:00Z, in ms."""


class VirtualClock:
    """``abc.Clock``. Nothing is due until ``advance``; then everything is, in order."""

    def __init__(self, now: int = START) -> None:
        """Stop at a time.

        Args:
            now: ms since the epoch.
        """
        self._now = now
        self._alarm: tuple[int, Callable[[], None]] | None = None
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()

    def now(self) -> int:
        return self._now

    def wake_at(self, due_at: int | None, due: Callable[[], None]) -> None:
        self._alarm = None if due_at is None else (due_at, due)
        self._ring()

    async def sleep(self, seconds: float) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # The order of their going to sleep decides between two that are due at once; futures do not compare.
        heapq.heappush(self._sleepers, (self._now + int(seconds * 1000), next(self._order), done))
        await done

    def advance(self, seconds: float) -> None:
        """Let time pass. What is due runs as soon as the event loop does.

        Args:
            seconds: how much; rounded down to ms.
        """
        self._now += int(seconds * 1000)
        self._ring()

    def sleeping(self) -> int:
        """How many wait in ``sleep``."""
        return sum(not done.done() for _, _, done in self._sleepers)

    def next_due(self) -> int | None:
        """When the earliest sleeper or the alarm is due, in ms since the epoch."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        times = [self._sleepers[0][0]] if self._sleepers else []
        if self._alarm is not None:
            times.append(self._alarm[0])
        return min(times, default=None)

    def _ring(self) -> None:
        while self._sleepers and self._sleepers[0][0] <= self._now:
            sleeper = heapq.heappop(self._sleepers)[2]
            if not sleeper.done():
                sleeper.set_result(None)
        if self._alarm is not None and self._alarm[0] <= self._now:
            due = self._alarm[1]
            self._alarm = None
            # Not here: the alarm may be armed anew by anyone who it wakes.
            asyncio.get_running_loop().call_soon(due)
