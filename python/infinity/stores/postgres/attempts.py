"""Completions that failed, and processes that ended without saying so: both count, so that nothing is
bought without bound (I12).
"""

from __future__ import annotations

from infinity.errors import UnknownThread

from . import deletion
from .connections import Connection
from .sql import affected, text
from .timers import SERVED
from .trees import check_in_service

__all__ = ["begin", "clear", "end", "record"]

_MARK = "clean_stop"
"""Where a start finds that the last process ended in order."""
_CLEAN = b"clean"
_CRASHED = "crashed"
_AT_ONCE = 2_500
"""Rows of one transaction: fewer than DSQL may change."""


async def record(
    connection: Connection,
    uncertain: bool,
    thread: str,
    code: str,
    at: int,
    spent: tuple[int, int],
) -> int:
    """Put a failed attempt on record.

    Args:
        connection: within a transaction.
        uncertain: an earlier try of this transaction may have recorded it; then code and time tell.
        thread: its id.
        code: what failed, in one word.
        at: ms since the epoch.
        spent: tokens and microdollars that it cost all the same.

    Returns:
        How many are on record for the thread.

    Raises:
        UnknownThread: there is no such thread.
        ThreadDeleted: there was one.
        Conflict: its tree was retired.
    """
    sql = """SELECT t.root, a.count, a.code, a.at FROM threads t LEFT JOIN attempts a ON a.thread = t.id WHERE t.id = $1"""
    row = await connection.fetchrow(sql, text(thread))
    if row is None:
        await deletion.check(connection, thread)
        raise UnknownThread(f"thread {thread} not found")
    root, count, last_code, last_at = row
    if uncertain and (last_code, last_at) == (text(code), at):
        return int(count)
    await check_in_service(connection, root)
    sql = """INSERT INTO attempts (thread, count, code, at) VALUES ($1, 1, $2, $3)
             ON CONFLICT (thread) DO UPDATE SET count = attempts.count + 1, code = excluded.code, at = excluded.at RETURNING count"""
    found = int(await connection.fetchval(sql, thread, text(code), at))
    if spent != (0, 0):
        sql = "UPDATE threads SET tokens = tokens + $2, cost = cost + $3 WHERE id = $1"
        await connection.execute(sql, thread, *spent)
    return found


async def clear(connection: Connection, thread: str, cleared: int) -> None:
    """Forget so many attempts; any that were recorded since stay.

    Args:
        connection: within a transaction.
        thread: its id.
        cleared: how many the slice had seen.
    """
    sql = "DELETE FROM attempts WHERE thread = $1 AND count <= $2"
    if not affected(await connection.execute(sql, thread, cleared)):
        sql = "UPDATE attempts SET count = count - $2 WHERE thread = $1"
        await connection.execute(sql, thread, cleared)


async def begin(connection: Connection, uncertain: bool, now: int, stamp: str, after: str) -> tuple[int, str]:
    """Count the end of a process that did not end in order, for every thread with queued messages.

    Args:
        connection: within a transaction.
        uncertain: an earlier try of this transaction may have become durable.
        now: ms since the epoch.
        stamp: of this start, which tells it from earlier ones.
        after: the last thread of the page before; empty: from the first.

    Returns:
        How many threads got an attempt, and the last of them while there may be more; then call it
        again.
    """
    mark = await connection.fetchval("SELECT value FROM meta WHERE key = $1", _MARK)
    # It ended in order, or an earlier try of this very start has counted already.
    if mark == _CLEAN or (uncertain and mark == stamp.encode() and not after):
        await _put(connection, stamp.encode())
        return 0, ""
    sql = f"""INSERT INTO attempts (thread, count, code, at)
              SELECT thread, 1, $1, $2 FROM (
                SELECT DISTINCT thread FROM inbox WHERE kept IS NULL AND thread > $3 AND {SERVED} ORDER BY thread LIMIT $4) AS queued
              ON CONFLICT (thread) DO UPDATE SET count = attempts.count + 1, code = excluded.code, at = excluded.at
              RETURNING thread"""
    threads = sorted(thread for (thread,) in await connection.fetch(sql, _CRASHED, now, after, _AT_ONCE))
    return len(threads), threads[-1] if len(threads) == _AT_ONCE else ""


async def end(connection: Connection) -> None:
    """This process ends in order: the next start counts nothing.

    Args:
        connection: within the last transaction.
    """
    await _put(connection, _CLEAN)


async def _put(connection: Connection, value: bytes) -> None:
    sql = (
        "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    )
    await connection.execute(sql, _MARK, value)
