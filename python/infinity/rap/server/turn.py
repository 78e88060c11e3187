"""One function's turn: a place among those that run at once, and the time that it has left."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .call import ToolError


class Turn:
    """``places``: of all functions; ``patience``: seconds to wait for one. ``cancelled`` tells functions in threads, which nobody can stop."""

    def __init__(self, places: asyncio.Semaphore, patience: float) -> None:
        self.cancelled = threading.Event()
        self.deadline: asyncio.Timeout | None = None
        """Of the function that runs; ``None`` before and after."""
        self._places = places
        self._patience = patience
        self._taken = False

    async def take(self) -> None:
        """Wait for a place. ``ToolError`` when none gets free in time."""
        try:
            async with asyncio.timeout(self._patience):
                await self._places.acquire()
        except TimeoutError:
            raise ToolError(
                f"the tool server is busy: no place got free within {self._patience:g} s; try again later"
            ) from None
        self._taken = True

    def give_back(self) -> None:
        if self._taken:
            self._taken = False
            self._places.release()

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """While people think, the function takes up neither a place nor its time."""
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
            if held and not self.cancelled.is_set():
                await self._places.acquire()
                self._taken = True
            if left is not None and deadline is not None and deadline is self.deadline:
                deadline.reschedule(now() + left)
