"""A thread's state, as one consistent picture."""

from __future__ import annotations

from collections.abc import Sequence

from infinity._core import CoreError, Snapshot, live_ranges
from infinity.errors import DamagedStore, UnknownThread, from_core

from . import deletion
from .connections import Connection
from .entry_cache import EntryCache
from .sql import digest, text

__all__ = ["consumed", "load", "unchanged"]


_STANDING = """
SELECT t.version, t.created_at, (SELECT a.count FROM attempts a WHERE a.thread = t.id),
  (SELECT string_agg(DISTINCT i.call, ',') FROM inbox i WHERE i.thread = t.id AND i.kept = 1)
FROM threads t WHERE t.id = $1 AND NOT EXISTS (SELECT 1 FROM tombstones d WHERE d.id = t.root)"""


async def unchanged(
    connection: Connection, thread: str, known_version: int, message_ids: Sequence[str]
) -> bool:
    """Whether what is known of a thread is all there is to load.

    Args:
        connection: for one look.
        thread: its id.
        known_version: the version in memory.
        message_ids: messages that are about to be applied.

    Returns:
        True if the version is that, none of the messages was consumed, and no failed attempt is on
        record.
    """
    sql = """SELECT t.version = $2 AND NOT EXISTS (
               SELECT 1 FROM known k WHERE k.thread = $1 AND k.digest = ANY($3::bytea[]) AND k.consumed = 1)
               AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.thread = $1)
               AND NOT EXISTS (SELECT 1 FROM tombstones d WHERE d.id = t.root)
             FROM threads t WHERE t.id = $1"""
    found = await connection.fetchval(
        sql, text(thread), known_version, [digest(message_id) for message_id in message_ids]
    )
    return bool(found)


async def consumed(connection: Connection, thread: str, message_ids: Sequence[str]) -> list[str]:
    """Those of the messages that the thread has consumed.

    Args:
        connection: for one look.
        thread: its id.
        message_ids: which are asked about.
    """
    return await _seen(connection, text(thread), message_ids)


async def load(
    connection: Connection,
    thread: str,
    known_version: int,
    message_ids: Sequence[str],
    cache: EntryCache | None = None,
) -> Snapshot | None:
    """A thread's state, as one consistent picture.

    Args:
        connection: of one moment.
        thread: its id.
        known_version: the version in memory; -1: none.
        message_ids: messages that are about to be applied.
        cache: the thread's own entries are read only as far as they are not in there.

    Returns:
        ``None`` if the stored version is ``known_version`` and no failed attempt is on record.

    Raises:
        DamagedStore: entries that the header speaks of are not there (I8).
        UnknownThread: there is no such thread.
        ThreadDeleted: there was one.
    """
    row = await connection.fetchrow(_STANDING, text(thread))
    if row is None:
        if await deletion.tombstone(connection, thread) is not None:
            raise deletion.gone(thread)
        raise UnknownThread(f"thread {thread} not found")
    version, created_at, attempts, kept = row
    # Two statements for the usual case, so that an unchanged thread never sends its header.
    if version == known_version and attempts is None:
        return None
    header = await connection.fetchval("SELECT header FROM threads WHERE id = $1", thread)
    entries: list[tuple[int, bytes]] = []
    for owner, start, end in _ranges(header):
        own = cache is not None and owner == thread
        known = cache.known((thread, created_at), start, end) if cache is not None and own else []
        fresh = await _read_range(connection, owner, start + len(known), end)
        if cache is not None and own:
            cache.add((thread, created_at), fresh)
        entries += known + fresh
    sql = "SELECT record FROM calls WHERE thread = $1 AND live = 1 ORDER BY number"
    calls = [record for (record,) in await connection.fetch(sql, thread)]
    seen = await _seen(connection, thread, message_ids)
    # Ids of calls have no commas.
    return Snapshot(header, entries, calls, seen, attempts or 0, kept.split(",") if kept else [])


def _ranges(header: bytes) -> list[tuple[str, int, int]]:
    try:
        return live_ranges(header)
    except CoreError as error:
        raise from_core(error) from None


async def _read_range(connection: Connection, owner: str, start: int, end: int) -> list[tuple[int, bytes]]:
    if start == end:
        return []
    sql = "SELECT position, record FROM entries WHERE thread = $1 AND position >= $2 AND position < $3 ORDER BY position"
    rows = await connection.fetch(sql, owner, start, end)
    if len(rows) != end - start:
        raise DamagedStore(
            f"the database is damaged: of entries {start} to {end} of thread {owner}, only {len(rows)} are there; restore it from a backup"
        )
    return [(position, record) for position, record in rows]


async def _seen(connection: Connection, thread: str, message_ids: Sequence[str]) -> list[str]:
    if not message_ids:
        return []
    sql = "SELECT digest FROM known WHERE thread = $1 AND digest = ANY($2::bytea[]) AND consumed = 1"
    rows = await connection.fetch(sql, thread, [digest(message_id) for message_id in message_ids])
    found = {key for (key,) in rows}
    return [message_id for message_id in message_ids if digest(message_id) in found]
