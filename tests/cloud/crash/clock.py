"""A clock that goes like the system's and can be put forward: what waits for hours in a queue comes when the test says so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class LeapingClock:
    """``infinity.abc.Clock``, and the emulator's. ``leapt``: seconds that it is ahead."""

    def __init__(self) -> None:
        self.leapt = 0.0
        self._leaps: list[tuple[int, float]] = [(0, 0.0)]
        self._put_forward = asyncio.Event()

    def now(self) -> int:
        return time.time_ns() // 1_000_000 + int(self.leapt * 1000)

    def wake_at(self, due_at: int | None, due: Callable[[], None]) -> None:
        """Nothing here outlives an invocation."""

    async def sleep(self, seconds: float) -> None:
        due_at = self.now() + seconds * 1000
        while (left := due_at - self.now()) > 0:
            try:
                async with asyncio.timeout(left / 1000):
                    await self._put_forward.wait()
            except TimeoutError:
                continue

    def leap(self, seconds: float) -> None:
        """So much time passes now. Anyone who is due runs as soon as the event loop does."""
        self.leapt += max(seconds, 0)
        self._leaps.append((self.now(), self.leapt))
        waiting, self._put_forward = self._put_forward, asyncio.Event()
        waiting.set()

    def leapt_between(self, since: int, until: int) -> float:
        """Seconds by which it was put forward between two of its times: what was waited for, however slow the machine is."""
        after, before = (max(leapt for at, leapt in self._leaps if at <= time) for time in (until, since))
        return after - before
