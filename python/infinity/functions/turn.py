"""One function's turn: a place among those that run at once, and the time that it has left (B12).

Places are of two kinds, so that slow functions never take the last one from quick ones. All of it
happens in the event loop; ``Turn.cancelled`` alone is read in other threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .failure import ToolError

__all__ = ["Slots", "Turn"]


class Slots:
    """How many functions run at once: so many, and so many slow ones beside them (B12)."""

    def __init__(self, quick: int, slow: int, where: str = "the tool server") -> None:
        """Make the places.

        Args:
            quick: functions that run at once.
            slow: those that run beside them, because they take long.
            where: whose places they are, for the error when none gets free.
        """
        self.where = where
        self.quick = asyncio.Semaphore(quick)
        self.slow = asyncio.Semaphore(slow)


class Turn:
    """The place of one call and the time that it has left."""

    def __init__(self, slots: Slots, patience: float | None, *, slow: bool = False) -> None:
        """Take nothing yet; ``take`` does.

        Args:
            slots: the places of the host.
            patience: seconds to wait for a place; ``None``: as long as it takes.
            slow: whether the function is known to take long, and so begins with a slow place.
        """
        self.cancelled = threading.Event()
        self.deadline: asyncio.Timeout | None = None
        """Of the function that runs; ``None`` before and after."""
        self._slots = slots
        self._patience = patience
        self._kind = slots.slow if slow else slots.quick
        self._taken = False

    async def take(self) -> None:
        """Wait for a place.

        Raises:
            ToolError: none got free within ``patience``.
        """
        try:
            async with asyncio.timeout(self._patience):
                await self._kind.acquire()
        except TimeoutError:
            raise ToolError(
                f"{self._slots.where} is busy: no place got free within {self._patience:g} s; try again later"
            ) from None
        self._taken = True

    async def make_room(self) -> None:
        """It takes long: from now on its place is one of the slow ones, if there is one free."""
        slow = self._slots.slow
        if self._taken and self._kind is not slow and not slow.locked():
            await slow.acquire()  # which does not wait: there is a place
            self._kind.release()
            self._kind = slow

    def give_back(self) -> None:
        """Leave the place to another function. Harmless if it was left before."""
        if self._taken:
            self._taken = False
            self._kind.release()

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """While people think, the function takes up neither a place nor its time.

        The deadline stands still inside the block. Afterwards a place is waited for without a limit:
        the answer is there, and the function has begun already.
        """
        deadline = self.deadline
        now = asyncio.get_running_loop().time
        left = None
        if deadline is not None and (when := deadline.when()) is not None:
            left = when - now()
            deadline.reschedule(None)
        held = self._taken
        self.give_back()
        try:
            yield
        finally:
            # One that was cancelled meanwhile ends now, and needs no place for that.
            if held and not self.cancelled.is_set():
                await self._kind.acquire()
                self._taken = True
            if left is not None and deadline is not None and deadline is self.deadline:
                deadline.reschedule(now() + left)
