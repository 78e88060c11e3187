"""A thread's own records: entries, feed, calls; and listings of threads."""

from __future__ import annotations

from typing import Any

import msgspec

from infinity._core import Call
from infinity.abc import CallRow, FeedRow, ThreadRow, read_call
from infinity.errors import DamagedStore, RuleBroken

from .connections import Connection
from .deletion import LIVING
from .sql import text

__all__ = [
    "call_rows",
    "calls",
    "entries",
    "feed",
    "find_call",
    "living",
    "open_children",
    "thread",
    "threads",
]

_COLUMNS = "id, root, parent, status, title, version, created_at, updated_at, header"


async def entries(connection: Connection, thread: str, after: int, limit: int) -> list[tuple[int, bytes]]:
    """A thread's own entries, in order: position and record.

    Args:
        connection: for one look.
        thread: its id.
        after: positions above this one.
        limit: the most rows.
    """
    sql = (
        "SELECT position, record FROM entries WHERE thread = $1 AND position > $2 ORDER BY position LIMIT $3"
    )
    return [tuple(row) for row in await connection.fetch(sql, text(thread), after, limit)]


class _Reference(msgspec.Struct):
    """The body of a feed row of kind ``entry``."""

    position: int


async def feed(connection: Connection, thread: str, after: int, limit: int) -> list[FeedRow]:
    """Rows of a thread's event stream, in order, with the entries that they speak of.

    Args:
        connection: of one moment.
        thread: its id.
        after: positions above this one.
        limit: the most rows.

    Raises:
        DamagedStore: an entry is missing.
    """
    sql = (
        "SELECT position, kind, body FROM feed WHERE thread = $1 AND position > $2 ORDER BY position LIMIT $3"
    )
    rows = await connection.fetch(sql, text(thread), after, limit)
    referred = {
        position: msgspec.json.decode(body, type=_Reference).position
        for position, kind, body in rows
        if kind == "entry"
    }
    # A second statement of the same picture, for all entries of the page at once.
    records: dict[int, bytes] = {}
    if referred:
        sql = "SELECT position, record FROM entries WHERE thread = $1 AND position = ANY($2::bigint[])"
        found = await connection.fetch(sql, thread, list(referred.values()))
        records = dict(map(tuple, found))
    if missing := sorted(set(referred.values()) - set(records)):
        raise DamagedStore(
            f"the database is damaged: the feed of thread {thread} speaks of entry {missing[0]}, which is not there; restore it from a backup"
        )
    return [
        FeedRow(position, kind, body, records[referred[position]] if position in referred else None)
        for position, kind, body in rows
    ]


async def calls(connection: Connection, thread: str, open_only: bool) -> list[tuple[Call, str]]:
    """Calls of a thread with their state, oldest first.

    Args:
        connection: for one look.
        thread: its id.
        open_only: open calls and active subscriptions only.
    """
    live = "AND live = 1" if open_only else ""
    sql = f"SELECT record, state FROM calls WHERE thread = $1 {live} ORDER BY number"
    rows = await connection.fetch(sql, text(thread))
    return [(read_call(record), state) for record, state in rows]


async def find_call(connection: Connection, call_id: str) -> tuple[Call, str] | None:
    """One call with its state; ``None`` if there is none.

    Args:
        connection: for one look.
        call_id: its id.
    """
    row = await connection.fetchrow("SELECT record, state FROM calls WHERE id = $1", text(call_id))
    return None if row is None else (read_call(row[0]), row[1])


async def call_rows(
    connection: Connection, thread: str, call: str | None, after: int, limit: int
) -> list[CallRow]:
    """What a thread's calls have been doing, oldest first.

    Args:
        connection: for one look.
        thread: its id.
        call: this one alone.
        after: the number behind which the page begins.
        limit: the most rows.
    """
    one = "" if call is None else "AND c.id = $4"
    sql = f"""SELECT c.number, c.record, c.state, coalesce(c.sent_at, 0), coalesce(c.ended_at, 0),
                     coalesce(o.attempts, c.attempts, 0), o.due_at,
                     CASE WHEN o.key IS NULL THEN NULL ELSE coalesce(o.trouble, '') END
              FROM calls c LEFT JOIN outbox o ON o.key = 'invoke.' || c.id
              WHERE c.thread = $1 AND c.number > $2 {one} ORDER BY c.number LIMIT $3"""
    values = [text(thread), after, limit, *([] if call is None else [text(call)])]
    rows = await connection.fetch(sql, *values)
    return [CallRow(number, read_call(record), *rest) for number, record, *rest in rows]


async def thread(connection: Connection, thread_id: str) -> ThreadRow | None:
    """One thread; ``None`` if there is none, or it is being deleted.

    Args:
        connection: for one look.
        thread_id: its id.
    """
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM threads WHERE id = $1 AND {LIVING}", text(thread_id)
    )
    return None if row is None else ThreadRow(*row)


async def open_children(connection: Connection, parent: str) -> int:
    """How many children of a thread are not closed, however many have been (G8).

    Args:
        connection: for one look.
        parent: its id.
    """
    sql = "SELECT count(*) FROM threads WHERE parent = $1 AND status IN ('idle', 'waiting', 'stopped') AND left(id, 5) <> 'fork_'"
    return int(await connection.fetchval(sql, text(parent)))


async def living(connection: Connection, root: str) -> int:
    """How many threads below a root are not closed, however many have been (G8).

    Args:
        connection: for one look.
        root: its id.
    """
    sql = """SELECT count(*) FROM threads WHERE root = $1 AND status IN ('idle', 'waiting', 'stopped') AND parent IS NOT NULL
             AND left(id, 5) <> 'fork_'"""
    return int(await connection.fetchval(sql, text(root)))


async def threads(
    connection: Connection, after: str, limit: int, *, troubled: bool = False, **filters: str | None
) -> list[ThreadRow]:
    """A page of threads, the newest first.

    Args:
        connection: for one look.
        after: the cursor behind which the page begins; empty: at the newest.
        limit: rows of the page.
        troubled: with a problem only.
        **filters: a value by column (``root``, ``parent``, ``status``), ``None`` for any.

    Raises:
        RuleBroken: ``after`` is not a cursor.
    """
    values: list[Any] = [*_cursor(after), limit]
    conditions = ["(updated_at, id) < ($1, $2)", LIVING]
    if troubled:
        conditions.append("troubled = 1 AND status IN ('idle', 'waiting', 'stopped')")
    for column, value in filters.items():
        if value is not None:
            values.append(text(value))
            conditions.append(f"{column} = ${len(values)}")
    where = " AND ".join(conditions)
    sql = f"SELECT {_COLUMNS} FROM threads WHERE {where} ORDER BY updated_at DESC, id DESC LIMIT $3"
    return [ThreadRow(*row) for row in await connection.fetch(sql, *values)]


def _cursor(after: str) -> tuple[int, str]:
    if not after:
        return (1 << 63) - 1, ""
    updated_at, colon, thread_id = after.partition(":")
    try:
        place = int(updated_at)
    except ValueError:
        colon, place = "", 0
    if not colon or not -(1 << 63) <= place < 1 << 63:
        raise RuleBroken(f"{after!r} is not a cursor; give back the one that came with the last page")
    return place, text(thread_id)
