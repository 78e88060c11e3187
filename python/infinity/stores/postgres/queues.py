"""What waits: messages, outgoing rows, timers, prompts.

Read in full by a start, without reading any thread (L15). What a retired tree has queued rests: it is
not taken up here.
"""

from __future__ import annotations

from infinity._core import Message
from infinity.abc import OutboxRow, PromptRow, TimerRow

from .connections import Connection
from .deletion import LIVING
from .sql import text
from .timers import SERVED

__all__ = [
    "AT_ONCE",
    "deliveries",
    "due_timers",
    "expecting",
    "inbox",
    "inbox_of",
    "outbox",
    "outbox_of",
    "overdue",
    "prompts",
    "timers",
]

_PAGE = 2_000
"""Rows of one page."""
AT_ONCE = 100
_OUTBOX = "key, kind, target, body, call, thread, attempts, due_at, coalesce(trouble, '')"
"""Messages that a slice takes at once; each costs a commit some rows, up to seventeen."""


async def inbox(connection: Connection, after: int) -> list[Message]:
    """A page of what is queued, by order number; what retired trees have is left out.

    Args:
        connection: for one look.
        after: the order number behind which the page begins.
    """
    sql = f"SELECT seq, thread, id, kind, body, accepted_at FROM inbox WHERE seq > $1 AND kept IS NULL AND {SERVED} ORDER BY seq LIMIT $2"
    return [
        Message(thread, message_id.decode(), kind, body, seq=seq, accepted_at=accepted_at)
        for seq, thread, message_id, kind, body, accepted_at in await connection.fetch(sql, after, _PAGE)
    ]


async def outbox(connection: Connection, after: str) -> list[OutboxRow]:
    """A page of what has not left, by key; what retired trees have is left out.

    Args:
        connection: for one look.
        after: the key behind which the page begins.
    """
    sql = f"SELECT {_OUTBOX} FROM outbox WHERE key > $1 AND {SERVED} ORDER BY key LIMIT $2"
    return [OutboxRow(*row) for row in await connection.fetch(sql, after, _PAGE)]


async def deliveries(connection: Connection, after: tuple[int, str] | None, limit: int) -> list[OutboxRow]:
    """What has not left, by the next try; what retired trees have is left out.

    Args:
        connection: for one look.
        after: time and key behind which the page begins.
        limit: the most rows.
    """
    due_at, key = after or (-1, "")
    sql = f"""SELECT {_OUTBOX} FROM outbox WHERE (due_at, key) > ($1, $2) AND {SERVED}
              ORDER BY due_at, key LIMIT $3"""
    return [OutboxRow(*row) for row in await connection.fetch(sql, due_at, text(key), limit)]


async def inbox_of(connection: Connection, thread: str) -> list[Message]:
    """What one thread has queued, in order, at most ``AT_ONCE``.

    Args:
        connection: for one look.
        thread: its id.
    """
    sql = f"""SELECT seq, id, kind, body, accepted_at FROM inbox WHERE thread = $1 AND kept IS NULL AND {SERVED}
              ORDER BY seq LIMIT $2"""
    return [
        Message(thread, message_id.decode(), kind, body, seq=seq, accepted_at=accepted_at)
        for seq, message_id, kind, body, accepted_at in await connection.fetch(sql, text(thread), AT_ONCE)
    ]


async def outbox_of(connection: Connection, thread: str) -> list[OutboxRow]:
    """What of one thread has not left, by key.

    Args:
        connection: for one look.
        thread: its id.
    """
    sql = f"SELECT {_OUTBOX} FROM outbox WHERE thread = $1 AND {SERVED} ORDER BY key LIMIT $2"
    return [OutboxRow(*row) for row in await connection.fetch(sql, text(thread), _PAGE)]


async def expecting(connection: Connection, thread: str) -> list[str]:
    """Threads of the same tree that have something in their inbox.

    Args:
        connection: for one look.
        thread: any thread of the tree.
    """
    sql = f"""SELECT DISTINCT i.thread FROM inbox i JOIN threads t ON t.id = i.thread
              WHERE t.root = (SELECT root FROM threads WHERE id = $1) AND i.kept IS NULL AND i.{SERVED} ORDER BY i.thread"""
    return [found for (found,) in await connection.fetch(sql, text(thread))]


async def overdue(connection: Connection, since: int, after: str, most: int) -> list[str]:
    """Threads that should have been woken before a time: something in the inbox, in the outbox, or a
    timer.

    Args:
        connection: for one look.
        since: ms since the epoch.
        after: the thread behind which to begin; they are in order.
        most: how many.
    """
    # Rows of the outbox that were never tried are due at 0; the last commit of their thread says how old they
    # are.
    sql = f"""SELECT thread FROM (
                SELECT thread FROM inbox WHERE accepted_at < $1 AND kept IS NULL
                UNION SELECT thread FROM timers WHERE due_at < $1
                UNION SELECT o.thread FROM outbox o JOIN threads t ON t.id = o.thread WHERE o.due_at < $1 AND t.updated_at < $1) AS late
              WHERE thread > $2 AND {SERVED} ORDER BY thread LIMIT $3"""
    return [found for (found,) in await connection.fetch(sql, since, text(after), most)]


async def timers(connection: Connection, thread: str | None) -> list[TimerRow]:
    """Timers that are set, the earliest first.

    Args:
        connection: for one look.
        thread: of this one only; ``None``: of all.
    """
    condition, values = _of(thread)
    sql = f"SELECT id, thread, due_at, kind, body FROM timers {condition} ORDER BY due_at, thread, id"
    return [TimerRow(*row) for row in await connection.fetch(sql, *values)]


async def due_timers(
    connection: Connection, after: tuple[int, str, str] | None, limit: int
) -> list[TimerRow]:
    """Timers of all threads, the earliest first.

    Args:
        connection: for one look.
        after: time, thread and id behind which the page begins.
        limit: the most rows.
    """
    due_at, thread, timer = after or (-(1 << 62), "", "")
    sql = f"""SELECT m.id, m.thread, m.due_at, m.kind, m.body FROM timers m JOIN threads ON threads.id = m.thread
              WHERE m.due_at >= $1 AND (m.due_at, m.thread, m.id) > ($1, $2, $3) AND {LIVING}
              ORDER BY m.due_at, m.thread, m.id LIMIT $4"""
    rows = await connection.fetch(sql, due_at, text(thread), text(timer), limit)
    return [TimerRow(*row) for row in rows]


async def prompts(connection: Connection, thread: str | None, root: str | None = None) -> list[PromptRow]:
    """Open questions and sign-ins.

    Args:
        connection: for one look.
        thread: of this one only.
        root: of this tree only.
    """
    condition, values = _of(thread)
    if root is not None:
        values.append(text(root))
        condition = f"{condition} AND root = $2" if condition else "WHERE root = $1"
    condition = f"{condition} AND" if condition else "WHERE"
    condition += " NOT EXISTS (SELECT 1 FROM tombstones d WHERE d.id = prompts.root)"
    sql = f"SELECT id, thread, kind, body FROM prompts {condition} ORDER BY thread, id"
    return [PromptRow(*row) for row in await connection.fetch(sql, *values)]


def _of(thread: str | None) -> tuple[str, list[str]]:
    return ("", []) if thread is None else ("WHERE thread = $1", [text(thread)])
