"""What was recorded has left, or never will, or is tried again later (I5)."""

from __future__ import annotations

from infinity._core import Message
from infinity.abc import Accepted, Expect, Status

from .connections import Connection
from .inbox import accept, answered
from .sql import text

__all__ = ["done", "forget", "retry"]

_RETIRED = "SELECT 1 FROM threads t JOIN retired r ON r.root = t.root WHERE t.id = $1"


async def done(
    connection: Connection,
    key: str,
    sent_call: str | None,
    failure: Message | None,
    at: int = 0,
    uncertain: bool = False,
) -> Accepted | None:
    """Forget a row; mark its call as sent, or tell its thread that it failed.

    Args:
        connection: within a transaction.
        key: of the row.
        sent_call: the call that it invoked.
        failure: a message for its thread, if it never leaves (INV-7).
        at: when the try was made that ended it; 0 without one.
        uncertain: an earlier try of this transaction may have become durable.

    Returns:
        What became of ``failure``; ``None`` without one.
    """
    if failure is not None and await connection.fetchval(_RETIRED, text(failure.thread)):
        # The row stays: what becomes of it is decided where the tree lives.
        return Accepted(Status.MOVED)
    # If its result came all the same, there is nothing to tell.
    told = failure is not None and await answered(connection, key)
    # Before the row goes, which counts the tries that failed. The row of a call that ended meanwhile is gone,
    # and its end has counted them.
    if sent_call is not None:
        # Only from `planned`: its result may have been faster than the answer to the request.
        sql = """UPDATE calls SET state = CASE WHEN state = 'planned' THEN 'sent' ELSE state END, sent_at = $3,
                   attempts = coalesce((SELECT o.attempts FROM outbox o WHERE o.key = $2), attempts, 0) + $4
                 WHERE id = $1 AND coalesce(sent_at, 0) = 0"""
        await connection.execute(sql, sent_call, key, at, int(at > 0))
    elif failure is not None and not told:
        sql = """UPDATE calls SET attempts = (SELECT o.attempts FROM outbox o WHERE o.key = $1) + $2
                 WHERE id = (SELECT o.call FROM outbox o WHERE o.key = $1 AND o.kind = 'invoke')"""
        await connection.execute(sql, key, int(at > 0))
    await connection.execute("DELETE FROM outbox WHERE key = $1", key)
    if told:
        return Accepted(Status.DUPLICATE)
    return None if failure is None else await accept(connection, failure, Expect.ANY, None, uncertain)


async def forget(connection: Connection, keys: list[str]) -> None:
    """Forget rows that have left, and whose going changes no call.

    Args:
        connection: within a transaction.
        keys: of the rows.
    """
    await connection.execute("DELETE FROM outbox WHERE key = ANY($1::text[])", keys)


async def retry(connection: Connection, key: str, due_at: int, trouble: str = "") -> None:
    """A row has not left: count the try, and say when it is due again.

    Args:
        connection: within a transaction.
        key: of the row.
        due_at: ms since the epoch.
        trouble: why it has not.
    """
    sql = "UPDATE outbox SET attempts = attempts + 1, due_at = $2, trouble = $3 WHERE key = $1"
    await connection.execute(sql, key, due_at, text(trouble))
