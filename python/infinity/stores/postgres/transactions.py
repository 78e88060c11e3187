"""One transaction, tried again as a whole when it met another one. Rules out half a commit (I6) and a lost
fence (I1).

Everything that the store does goes through ``write``, ``picture`` or ``look``. The hard case is a
connection that breaks during COMMIT: whether it happened is not known, and the next try is told so
(``uncertain``), because it must not do the same thing twice.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from infinity.backoff import Backoff
from infinity.errors import InfinityError, StoreError

from .connections import Connection, Connections
from .failure import Verdict, judge, translate
from .large import Blobs, LargeValues
from .platform import Platform

__all__ = ["Retries", "Transactions"]

T = TypeVar("T")

LONGEST_PAUSE = 10.0
"""Seconds between two tries."""

Work = Callable[[Connection, bool], Awaitable[T]]
"""What a transaction does.

The flag: an earlier try may have become durable, because the connection broke during its COMMIT.
"""


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a transaction is tried.

    ``tries`` more after the first, after ``pause`` seconds, twice as long each time, half of it by
    chance. ``sleep`` and ``chance`` are replaced in tests.
    """

    tries: int = 5
    pause: float = 0.05
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random

    async def wait(self, tried: int) -> None:
        """Wait before the next try.

        Args:
            tried: how many waits there were before.
        """
        await self.sleep(Backoff(self.pause, LONGEST_PAUSE, chance=self.chance).wait(tried))


class Transactions:
    """All transactions of one database."""

    def __init__(
        self,
        connections: Connections,
        platform: Platform,
        where: str,
        retries: Retries | None = None,
        blobs: Blobs | None = None,
    ) -> None:
        """Take the connections; they are closed by ``close``.

        Args:
            connections: to the database.
            platform: which server it is.
            where: the server and database, for errors.
            retries: how often a transaction is tried; by default as the platform needs it.
            blobs: where values go that are too large for a column; ``None``: they are refused.
        """
        self.platform = platform
        self.blobs = blobs
        self.where = where
        self._connections = connections
        self._retries = retries or Retries(pause=platform.pause)
        self.fence: Callable[[Connection], Awaitable[None]] | None = None
        """First in every transaction that writes; what it raises is raised."""

    async def write(self, work: Work[T]) -> T:
        """Run a transaction that changes something. It is durable when this returns.

        Args:
            work: run anew at each try; it must not keep anything of an earlier one.

        Raises:
            InfinityError: whatever ``work`` raises of these, at once; else the translated error of the
                server. On a ``StoreError`` nothing was written, unless its text says that this is not
                known.
        """
        return await self._try(self._transact, self._fenced(work))

    async def picture(self, work: Work[T]) -> T:
        """Several looks at the database as it was at one moment.

        Args:
            work: changes nothing.
        """
        return await self._try(self._transact, work)

    async def look(self, work: Work[T]) -> T:
        """One statement that changes nothing.

        Args:
            work: that statement.
        """
        return await self._try(self._plainly, work)

    async def close(self) -> None:
        """Close the connections."""
        await self._connections.close()

    async def _try(self, how: Callable[[Work[T], _Outcome], Awaitable[T]], work: Work[T]) -> T:
        outcome = _Outcome()
        for tried in range(self._retries.tries + 1):
            try:
                return await how(work, outcome)
            except InfinityError:
                # Decided by our own code: another try would decide the same.
                raise
            except Exception as error:
                if judge(error) is Verdict.LOST:
                    outcome.uncertain = outcome.uncertain or outcome.committing
                    # What rested beside a lost connection has probably gone with it.
                    self._connections.drop()
                if judge(error) is Verdict.FINAL or tried == self._retries.tries:
                    raise self._final(error, outcome) from error
            await self._retries.wait(tried)
        raise AssertionError("unreachable")

    def _final(self, error: Exception, outcome: _Outcome) -> InfinityError:
        if outcome.uncertain:
            return StoreError(
                f"the connection to the database {self.where} broke during a commit and could not be had again ({error}): whether it happened is found out by the next load"
            )
        return translate(error, self.where)

    async def _transact(self, work: Work[T], outcome: _Outcome) -> T:
        # Of this try alone; ``uncertain`` is of all of them.
        outcome.committing = False
        async with self._connections.one() as connection:
            await connection.execute("BEGIN")
            try:
                value = await work(self._whole(connection), outcome.uncertain)
            except BaseException:
                await _roll_back(connection)
                raise
            outcome.committing = True
            # If it breaks from here on, the commit may have happened.
            await connection.execute("COMMIT")
            return value

    async def _plainly(self, work: Work[T], outcome: _Outcome) -> T:
        async with self._connections.one() as connection:
            return await work(self._whole(connection), outcome.uncertain)

    def _fenced(self, work: Work[T]) -> Work[T]:
        fence = self.fence
        if fence is None:
            return work

        async def fenced(connection: Connection, uncertain: bool) -> T:
            await fence(connection)
            return await work(connection, uncertain)

        return fenced

    def _whole(self, connection: Connection) -> Connection:
        return connection if self.blobs is None else LargeValues(connection, self.platform, self.blobs)


@dataclass(slots=True)
class _Outcome:
    """Of the tries so far."""

    committing: bool = False
    uncertain: bool = False


async def _roll_back(connection: Connection) -> None:
    if connection.is_closed():
        return
    try:
        await connection.execute("ROLLBACK")
    except Exception:  # noqa: BLE001 the error that led here tells more; the server rolls back what it hears nothing of
        connection.terminate()
