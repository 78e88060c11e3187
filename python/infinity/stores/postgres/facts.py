"""Views, discards, settings and sizes."""

from __future__ import annotations

from .connections import Connection
from .sql import digest, text

__all__ = ["counts", "discards", "meta", "put_meta", "put_view", "spent", "views"]

_IN_SERVICE = (
    "SELECT 1 FROM threads t WHERE t.id = $1 AND NOT EXISTS (SELECT 1 FROM retired r WHERE r.root = t.root)"
)


async def put_view(connection: Connection, thread: str, view_type: str, content: bytes) -> bool:
    """The latest content of a view (VIEW-1). False if there is no such thread, or it has moved."""
    if await connection.fetchval(_IN_SERVICE, text(thread)) is None:
        return False
    sql = """INSERT INTO views (thread, digest, view_type, content) VALUES ($1, $2, $3, $4)
             ON CONFLICT (thread, digest) DO UPDATE SET content = excluded.content"""
    await connection.execute(sql, thread, digest(view_type), view_type.encode(), content)
    return True


async def views(connection: Connection, thread: str) -> list[tuple[str, bytes]]:
    sql = "SELECT view_type, content FROM views WHERE thread = $1 ORDER BY view_type"
    rows = await connection.fetch(sql, text(thread))
    return [(view_type.decode(), content) for view_type, content in rows]


async def discards(connection: Connection, thread: str, limit: int = 100) -> list[tuple[str, str, int]]:
    """Message id, reason and time; newest first."""
    sql = "SELECT message, reason, at FROM discards WHERE thread = $1 ORDER BY number DESC LIMIT $2"
    rows = await connection.fetch(sql, text(thread), limit)
    return [(message.decode(), reason, at) for message, reason, at in rows]


async def meta(connection: Connection, key: str) -> bytes | None:
    value: bytes | None = await connection.fetchval("SELECT value FROM meta WHERE key = $1", text(key))
    return value


async def put_meta(connection: Connection, key: str, value: bytes) -> None:
    """What is there already is not written again: many threads that begin at once would meet in the row of their common tools."""
    if await meta(connection, key) == value:
        return
    sql = """INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value"""
    await connection.execute(sql, text(key), value)


async def sweep_place(connection: Connection) -> str:
    return await connection.fetchval("SELECT place FROM sweeps WHERE name = 'place'") or ""


async def put_sweep_place(connection: Connection, place: str) -> None:
    sql = """INSERT INTO sweeps (name, place) VALUES ('place', $1)
             ON CONFLICT (name) DO UPDATE SET place = excluded.place"""
    await connection.execute(sql, text(place))


async def spent(connection: Connection, root: str) -> tuple[int, int]:
    """Of a whole tree. Kept per thread: threads of a tree that commit at once must not meet in one row."""
    sql = (
        "SELECT coalesce(sum(tokens), 0)::bigint, coalesce(sum(cost), 0)::bigint FROM threads WHERE root = $1"
    )
    tokens, cost = await connection.fetchrow(sql, text(root))
    return tokens, cost


async def counts(connection: Connection) -> dict[str, int]:
    """Counted when asked: a tally in a row of its own would make all commits meet in it."""
    sql = """SELECT 'threads', count(*) FROM threads UNION ALL SELECT 'entries', count(*) FROM entries
             UNION ALL SELECT 'seen', count(*) FROM known WHERE consumed = 1 UNION ALL SELECT 'discards', count(*) FROM discards
             UNION ALL SELECT 'inbox', count(*) - count(kept) FROM inbox UNION ALL SELECT 'outbox', count(*) FROM outbox
             UNION ALL SELECT 'timers', count(*) FROM timers UNION ALL SELECT 'prompts', count(*) FROM prompts"""
    return dict(map(tuple, await connection.fetch(sql)))
