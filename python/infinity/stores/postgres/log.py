"""The order of all commits, where one process makes them: a daemon that owns its database.

Numbers are given here, in the process. A commit that is under way keeps its number until its end is known,
and nobody is shown any number from there on: what has been shown is never followed by a lower one. On a
host of many processes none of this happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from infinity._core import Delta
from infinity.abc import Log, LogRow

from .connections import Connection

__all__ = ["CommitLog", "forget"]

_EVERY = 256
"""Commits between two prunings."""
_AT_ONCE = 512
"""Rows that one of them looks at, at the most: fewer come than may go."""


class CommitLog:
    """Numbers, and which of them are under way."""

    def __init__(self) -> None:
        self._next = 0
        """0: not known yet."""
        self._under_way: set[int] = set()
        self._beginning = asyncio.Lock()

    async def begin(self, look: Callable[[Callable[[Connection], Awaitable[int]]], Awaitable[int]]) -> None:
        """Before the first number of this process is given, or shown.

        Args:
            look: reads the database.
        """
        async with self._beginning:
            if not self._next:
                self._next = await look(_newest) + 1

    async def add(
        self, connection: Connection, *, family: Sequence[Delta], kept: int, numbers: list[int]
    ) -> None:
        """Write the rows of a commit.

        Args:
            connection: within its transaction.
            family: what it changes, parents first.
            kept: for how many ms rows stay.
            numbers: gets those that were given, for ``ended``.
        """
        rows = [(delta.thread, delta.feed[0][0], delta.feed[-1][0]) for delta in family if delta.feed]
        if not rows:
            return
        seqs = list(range(self._next, self._next + len(rows)))
        self._next += len(rows)
        self._under_way.update(seqs)
        numbers += seqs
        now = family[0].updated_at
        sql = """INSERT INTO log (at, seq, thread, first, last)
                 SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::bigint[], $5::bigint[])"""
        await connection.execute(sql, now, seqs, *map(list, zip(*rows, strict=True)))
        if any(seq % _EVERY == 0 for seq in seqs):
            sql = """DELETE FROM log WHERE seq IN
                       (SELECT seq FROM (SELECT seq, at FROM log ORDER BY seq LIMIT $1) AS oldest WHERE at < $2 AND seq < $3)"""
            await connection.execute(sql, _AT_ONCE, now - kept, seqs[0])

    def ended(self, numbers: Iterable[int]) -> None:
        """The end of a commit is known.

        Args:
            numbers: what it was given, in all its tries.
        """
        self._under_way.difference_update(numbers)

    @property
    def whole(self) -> int:
        """Up to which number everything has ended that will ever be there."""
        return min(self._under_way, default=self._next) - 1

    async def page(self, connection: Connection, after: int, limit: int, ended: int) -> Log:
        """Rows behind a number, and the ends of what there is.

        Args:
            connection: of one moment, which begins after ``ended`` was asked for.
            after: the number.
            limit: the most rows.
            ended: up to which number rows may be shown.
        """
        # Of rows that are there: a number that was given and came to nothing is given again by the next process.
        sql = "SELECT coalesce(min(seq), 0), coalesce(max(seq), 0) FROM log WHERE seq <= $1"
        oldest, newest = await connection.fetchrow(sql, ended)
        sql = """SELECT l.seq, t.id, t.root, l.first, l.last, l.at FROM log l JOIN threads t ON t.id = l.thread
                 WHERE l.seq > $1 AND l.seq <= $2 ORDER BY l.seq LIMIT $3"""
        rows = await connection.fetch(sql, after, newest, limit)
        return Log(oldest, newest, [LogRow(*row) for row in rows])


async def _newest(connection: Connection) -> int:
    return int(await connection.fetchval("SELECT max(seq) FROM log") or 0)


async def forget(connection: Connection, root: str) -> None:
    """Rows of a tree that goes; the newest stays, so that its number is not given again.

    Args:
        connection: within a transaction.
        root: the id of the root thread.
    """
    sql = """DELETE FROM log WHERE thread IN (SELECT id FROM threads WHERE root = $1)
             AND seq < (SELECT max(seq) FROM log)"""
    await connection.execute(sql, root)
