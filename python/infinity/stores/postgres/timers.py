"""A due timer becomes a message under the timer's id, in one transaction: it can neither be lost nor fire
twice (L14).
"""

from __future__ import annotations

from infinity._core import Message

from .connections import Connection
from .inbox import deliver, queued
from .sql import text

__all__ = ["SERVED", "fire", "next_due"]

_AT_ONCE = 500
"""Four rows each at the most, and bodies of some kilobytes: within what a transaction may hold."""
_BYTES_AT_ONCE = 4 << 20

SERVED = "thread NOT IN (SELECT t.id FROM threads t JOIN retired r ON r.root = t.root)"
"""Rows of threads that are in service here."""


async def fire(
    connection: Connection,
    now: int,
    tried: list[Message],
    uncertain: bool = False,
    thread: str | None = None,
) -> list[Message]:
    """Turn due timers into messages, as many as one transaction may hold.

    Args:
        connection: within a transaction.
        now: ms since the epoch.
        tried: keeps what each try took up: if that became durable unseen, it is told now.
        uncertain: an earlier try of this transaction may have become durable.
        thread: of this one only.

    Returns:
        The messages that entered inboxes.
    """
    fired = [await queued(connection, message) for message in tried] if uncertain else []
    one = "" if thread is None else "AND thread = $3"
    sql = f"SELECT thread, id, kind, body FROM timers WHERE due_at <= $1 {one} AND {SERVED} ORDER BY due_at, thread, id LIMIT $2"
    size = 0
    rows = await connection.fetch(sql, now, _AT_ONCE, *([] if thread is None else [text(thread)]))
    for owner, timer_id, kind, body in rows:
        size += len(body)
        # One that is larger than all the room goes alone, or it would never go.
        if size > _BYTES_AT_ONCE and size > len(body):
            break
        message = Message(owner, timer_id, kind, body, accepted_at=now)
        tried.append(message)
        await connection.execute("DELETE FROM timers WHERE thread = $1 AND id = $2", owner, timer_id)
        fired.append(await deliver(connection, message))
    return [message for message in fired if message is not None]


async def next_due(connection: Connection) -> int | None:
    """When the earliest timer that can fire is due (ms since the epoch).

    Args:
        connection: for one look.
    """
    value = await connection.fetchval(f"SELECT min(due_at) FROM timers WHERE {SERVED}")
    return None if value is None else int(value)
