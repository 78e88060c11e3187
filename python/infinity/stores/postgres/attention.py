"""Who needs a person: a row exactly while a thread asks something, or rests with a problem that only a
person ends. Written by the commit that makes it so, and removed by the one that ends it.
"""

from __future__ import annotations

from infinity._core import CoreError, Delta, needs_a_person
from infinity.abc import AttentionRow

from .connections import Connection
from .deletion import LIVING
from .sql import text
from .transactions import Transactions

__all__ = ["answered", "asked", "fill", "of_problem", "page"]

_AT_ONCE = 500
"""Headers that are read in one look."""
_BEGIN = """INSERT INTO attention (thread, reason, since) VALUES ($1, $2, $3)
            ON CONFLICT (thread, reason) DO NOTHING"""


async def asked(connection: Connection, delta: Delta) -> None:
    """A thread has begun to ask something, or asks more.

    Args:
        connection: within the transaction of the commit.
        delta: of the thread.
    """
    await connection.execute(_BEGIN, delta.thread, "prompt", delta.updated_at)


async def answered(connection: Connection, thread: str) -> None:
    """A prompt has gone; with the last one goes the row.

    Args:
        connection: within the transaction of the commit.
        thread: its id.
    """
    sql = """DELETE FROM attention WHERE thread = $1 AND reason = 'prompt'
             AND NOT EXISTS (SELECT 1 FROM prompts p WHERE p.thread = $1)"""
    await connection.execute(sql, thread)


async def of_problem(connection: Connection, delta: Delta) -> None:
    """A thread has, or had, a problem.

    Args:
        connection: within the transaction of the commit.
        delta: of the thread.
    """
    if delta.needs_a_person:
        await connection.execute(_BEGIN, delta.thread, "problem", delta.updated_at)
    else:
        sql = "DELETE FROM attention WHERE thread = $1 AND reason = 'problem'"
        await connection.execute(sql, delta.thread)


async def page(
    connection: Connection, root: str | None, after: tuple[int, str, str] | None, limit: int
) -> list[AttentionRow]:
    """Threads that need a person, those that have for longest first.

    Args:
        connection: for one look.
        root: of this tree only.
        after: the place of the last row of the page before.
        limit: the most rows.
    """
    since, thread, reason = after or (-(1 << 63), "", "")
    tree = "" if root is None else "AND threads.root = $5"
    sql = f"""SELECT a.thread, threads.root, a.reason, a.since FROM attention a JOIN threads ON threads.id = a.thread
              WHERE a.since >= $1 AND (a.since, a.thread, a.reason) > ($1, $2, $3) AND {LIVING} {tree}
              ORDER BY a.since, a.thread, a.reason LIMIT $4"""
    values = [since, text(thread), text(reason), limit, *([] if root is None else [text(root)])]
    return [AttentionRow(*row) for row in await connection.fetch(sql, *values)]


async def fill(transactions: Transactions) -> None:
    """Rows for threads that rested with a problem when the table was made.

    Since when is not known; their last change is the latest that it can be. Harmless when repeated.

    Args:
        transactions: of the database, as a user that may write to it.
    """
    after: str | None = ""
    while after is not None:
        after = await transactions.write(_Page(after))


class _Page:
    def __init__(self, after: str) -> None:
        self._after = after

    async def __call__(self, connection: Connection, _: bool) -> str | None:
        """The thread behind which to go on; ``None`` at the end."""
        sql = "SELECT id, updated_at, header FROM threads WHERE troubled = 1 AND id > $1 ORDER BY id LIMIT $2"
        rows = await connection.fetch(sql, self._after, _AT_ONCE)
        for thread, updated_at, header in rows:
            try:
                needed = needs_a_person(bytes(header))
            except CoreError:
                continue  # Anyone who looks at the thread is told that it cannot be read.
            if needed:
                await connection.execute(_BEGIN, thread, "problem", updated_at)
        return str(rows[-1][0]) if len(rows) == _AT_ONCE else None
