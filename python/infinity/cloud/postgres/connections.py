"""A few connections, used again and again; none is older than the server allows. Nothing ticks while they rest (I9)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

__all__ = ["Connection", "Connections"]

Connection = Any
"""``asyncpg.Connection``; asyncpg carries no types."""

_HANG_UP = 2.0


class Connections:
    """``connect`` opens one; ``lifetime`` and ``now`` are in seconds of one clock; at most ``most`` are open at a time."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        *,
        lifetime: float | None = None,
        most: int = 8,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._lifetime = lifetime
        self._now = now
        self._room = asyncio.Semaphore(most)
        self._resting: list[tuple[Connection, float]] = []

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Connection]:
        """Exclusively, and outside any transaction. One that is left in an unclear state is not used again."""
        async with self._room:
            connection, born = await self._open()
            intact = False
            try:
                yield connection
                intact = True
            except asyncio.CancelledError:
                raise
            except BaseException:
                intact = True
                raise
            finally:
                if intact and not connection.is_closed() and not connection.is_in_transaction():
                    self._resting.append((connection, born))
                else:
                    connection.terminate()

    async def _open(self) -> tuple[Connection, float]:
        while self._resting:
            connection, born = self._resting.pop()
            if connection.is_closed():
                continue
            if self._lifetime is None or self._now() - born < self._lifetime:
                return connection, born
            connection.terminate()
        # Counted from before: the server may have begun to count while we still waited.
        born = self._now()
        return await self._connect(), born

    async def close(self) -> None:
        resting, self._resting = self._resting, []
        await asyncio.gather(
            *(connection.close(timeout=_HANG_UP) for connection, _ in resting), return_exceptions=True
        )
