"""Views, discards, settings and sizes."""

from __future__ import annotations

from infinity.abc import DiscardRow

from .connections import Connection
from .deletion import LIVING
from .sql import digest, text

__all__ = ["all_discards", "counts", "discards", "meta", "put_meta", "put_view", "spent", "views"]

_IN_SERVICE = (
    "SELECT 1 FROM threads t WHERE t.id = $1 AND NOT EXISTS (SELECT 1 FROM retired r WHERE r.root = t.root)"
)


async def put_view(connection: Connection, thread: str, view_type: str, content: bytes) -> bool:
    """Keep the latest content of a view (VIEW-1).

    Args:
        connection: within a transaction.
        thread: its id.
        view_type: any text; it is known by its digest, because it may be too long for a key.
        content: JSON.

    Returns:
        False if there is no such thread, or it has moved.
    """
    # In the same transaction: a view of a tree that has moved would stay behind.
    if await connection.fetchval(_IN_SERVICE, text(thread)) is None:
        return False
    sql = """INSERT INTO views (thread, digest, view_type, content) VALUES ($1, $2, $3, $4)
             ON CONFLICT (thread, digest) DO UPDATE SET content = excluded.content"""
    await connection.execute(sql, thread, digest(view_type), view_type.encode(), content)
    return True


async def views(connection: Connection, thread: str) -> list[tuple[str, bytes]]:
    """Type and content of each view of a thread, by type.

    Args:
        connection: for one look.
        thread: its id.
    """
    sql = "SELECT view_type, content FROM views WHERE thread = $1 ORDER BY view_type"
    rows = await connection.fetch(sql, text(thread))
    return [(view_type.decode(), content) for view_type, content in rows]


async def discards(connection: Connection, thread: str, limit: int = 100) -> list[tuple[str, str, int]]:
    """Message id, reason and time (ms since the epoch); newest first.

    Args:
        connection: for one look.
        thread: its id.
        limit: the most rows.
    """
    sql = "SELECT message, reason, at FROM discards WHERE thread = $1 ORDER BY number DESC LIMIT $2"
    rows = await connection.fetch(sql, text(thread), limit)
    return [(message.decode(), reason, at) for message, reason, at in rows]


async def all_discards(connection: Connection, before: int | None, limit: int) -> list[DiscardRow]:
    """Of all threads, newest first.

    Args:
        connection: for one look.
        before: the number before which the page begins; ``None``: at the newest.
        limit: the most rows.
    """
    sql = f"""SELECT d.number, d.thread, d.message, d.reason, d.at FROM discards d JOIN threads ON threads.id = d.thread
              WHERE d.number < $1 AND {LIVING} ORDER BY d.number DESC LIMIT $2"""
    rows = await connection.fetch(sql, (1 << 63) - 1 if before is None else before, limit)
    return [DiscardRow(number, thread, message.decode(), *rest) for number, thread, message, *rest in rows]


async def meta(connection: Connection, key: str) -> bytes | None:
    """A fact that belongs to no thread's history; ``None`` if nothing is kept.

    Args:
        connection: for one look.
        key: the name under which it was put.
    """
    value: bytes | None = await connection.fetchval("SELECT value FROM meta WHERE key = $1", text(key))
    return value


async def put_meta(connection: Connection, key: str, value: bytes) -> None:
    """Keep a fact. What is there already is not written again: many threads that begin at once would meet
    in the row of their common tools.

    Args:
        connection: within a transaction.
        key: a name that the caller owns.
        value: any bytes.
    """
    if await meta(connection, key) == value:
        return
    sql = """INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value"""
    await connection.execute(sql, text(key), value)


async def sweep_place(connection: Connection) -> str:
    """Where the next sweep begins: the last thread that the one before looked at. Empty: at the first.

    Args:
        connection: for one look.
    """
    return await connection.fetchval("SELECT place FROM sweeps WHERE name = 'place'") or ""


async def put_sweep_place(connection: Connection, place: str) -> None:
    """Keep where the next sweep begins.

    Args:
        connection: within a transaction.
        place: a thread's id, or empty.
    """
    sql = """INSERT INTO sweeps (name, place) VALUES ('place', $1)
             ON CONFLICT (name) DO UPDATE SET place = excluded.place"""
    await connection.execute(sql, text(place))


async def spent(connection: Connection, root: str) -> tuple[int, int]:
    """Tokens and microdollars of a whole tree. Kept per thread: threads of a tree that commit at once must
    not meet in one row.

    Args:
        connection: for one look.
        root: the id of the root thread.
    """
    sql = (
        "SELECT coalesce(sum(tokens), 0)::bigint, coalesce(sum(cost), 0)::bigint FROM threads WHERE root = $1"
    )
    tokens, cost = await connection.fetchrow(sql, text(root))
    return tokens, cost


async def counts(connection: Connection) -> dict[str, int]:
    """Sizes by name. Counted when asked: a tally in a row of its own would make all commits meet in it.

    Args:
        connection: for one look.
    """
    sql = """SELECT 'threads', count(*) FROM threads UNION ALL SELECT 'entries', count(*) FROM entries
             UNION ALL SELECT 'seen', count(*) FROM known WHERE consumed = 1 UNION ALL SELECT 'discards', count(*) FROM discards
             UNION ALL SELECT 'inbox', count(*) - count(kept) FROM inbox UNION ALL SELECT 'outbox', count(*) FROM outbox
             UNION ALL SELECT 'timers', count(*) FROM timers UNION ALL SELECT 'prompts', count(*) FROM prompts"""
    return dict(map(tuple, await connection.fetch(sql)))
