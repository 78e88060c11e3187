"""Room for running slices, in bytes: however many large histories wake at once, they take turns (G6).

A slice whose turn has not come holds no state: what was read to learn its size is let go and read again."""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["Room", "cost"]

SMALL = 256 << 10
"""Slices that cost less never wait."""
_COPIES = 3
"""Of a history while its slice runs: the rendered messages, the request, and what the connection has not sent yet."""


def cost(live_bytes: int) -> int:
    """What a slice of a history of so many bytes takes."""
    return _COPIES * live_bytes


class Room:
    """First come, first served; one that is larger than the whole runs alone."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._used = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def take_now(self, size: int) -> bool:
        """Take room if there is some and nobody waits for it."""
        if size > SMALL and (self._waiting or not self._fits(size)):
            return False
        self._used += size
        return True

    async def take(self, size: int) -> None:
        if self.take_now(size):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(size)
            self._admit()
            raise

    def give(self, size: int) -> None:
        self._used -= size
        self._admit()

    def _admit(self) -> None:
        while self._waiting:
            size, turn = self._waiting[0]
            if not turn.done() and not self._fits(size):
                return
            self._waiting.popleft()
            if not turn.done():
                self._used += size
                turn.set_result(None)

    def _fits(self, size: int) -> bool:
        return not self._used or self._used + size <= self._capacity
