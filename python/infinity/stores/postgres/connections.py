"""A few connections, used again and again; none is older than the server allows.

Nothing ticks while they rest (I9).

A process that was frozen, or a machine that slept, finds its connections dead, and nobody has told it:
what stands in between drops them without a word. So one that has rested for long is tried before it is
used, and when one is found dead, those that rested beside it go too.
"""

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
"""Seconds for the goodbye of one connection."""
UNTRIED = 30.0
"""Seconds of the wall clock that a connection may rest and be used without being tried."""
PROBE = 1.5
"""Seconds in which one that is tried must answer."""


class Connections:
    """A few connections, used again and again."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        *,
        lifetime: float | None = None,
        most: int = 8,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Open nothing yet.

        Args:
            connect: opens one connection.
            lifetime: seconds after which one is not used any more; ``None``: never.
            most: open at a time; more wait.
            now: a monotonic clock in seconds, for the age of connections.
            wall: a clock in seconds that goes on while the process is frozen.
        """
        self._connect = connect
        self._lifetime = lifetime
        self._now, self._wall = now, wall
        self._room = asyncio.Semaphore(most)
        self._resting: list[tuple[Connection, float, float]] = []
        """With the times at which they were opened, and laid to rest."""

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Connection]:
        """A connection, exclusively and outside any transaction. One that is left in an unclear state is
        not used again.

        Raises:
            OSError: none can be opened; asyncpg's own errors as well.
        """
        async with self._room:
            connection, born = await self._open()
            intact = False
            try:
                yield connection
                intact = True
            except (asyncio.CancelledError, OSError, TimeoutError):
                # Broken off in the middle of the protocol: what the next user would read belongs to this one.
                raise
            except BaseException:
                # The server has answered, if with an error; the connection is as good as before.
                intact = True
                raise
            finally:
                if intact and not connection.is_closed() and not connection.is_in_transaction():
                    self._resting.append((connection, born, self._wall()))
                else:
                    connection.terminate()

    async def _open(self) -> tuple[Connection, float]:
        while self._resting:
            # The one that was used last: it is the least likely to be dead.
            connection, born, since = self._resting.pop()
            if connection.is_closed():
                continue
            if self._lifetime is not None and self._now() - born >= self._lifetime:
                connection.terminate()
            elif abs(self._wall() - since) < UNTRIED or await _answers(connection):
                return connection, born
            else:
                self.drop()
        # Counted from before: the server may have begun to count while we still waited.
        born = self._now()
        return await self._connect(), born

    def drop(self) -> None:
        """One was lost: those that rest have probably gone the same way, and are not used again."""
        resting, self._resting = self._resting, []
        for connection, _, _ in resting:
            connection.terminate()

    async def close(self) -> None:
        """Hang up in order; connections that are in use are not waited for."""
        resting, self._resting = self._resting, []
        await asyncio.gather(
            *(connection.close(timeout=_HANG_UP) for connection, _, _ in resting), return_exceptions=True
        )


async def _answers(connection: Connection) -> bool:
    """Whether it is alive; one that is not is terminated."""
    try:
        async with asyncio.timeout(PROBE):
            await connection.fetchval("SELECT 1")
    except BaseException as error:
        connection.terminate()
        if not isinstance(error, Exception):
            raise
        return False
    return True
