"""A tree that is deleted for good.

Marked in one transaction, which is the deletion for everybody outside; then its rows go in bounded
ones. A tombstone stays for every thread: its id, the time, nothing that it held.

While a deletion is under way its root is also in ``retired``, which is what keeps everything of the
tree at rest, and what a start finds.

A transaction of another process that began before the mark may put a message into the inbox while the
threads go. So the threads go first and leave their tombstones, and the other tables are cleared by
those; an ``accept`` keeps its thread until it ends (``Platform.keep_row``), so that it is before all
that, or begins anew and finds the tombstone. Where there is no such lock it looks for the tombstone
once more afterwards.
"""

from __future__ import annotations

from infinity.abc import Condemned, Tombstone
from infinity.errors import BadRequest, ThreadDeleted, UnknownThread

from .connections import Connection
from .sql import affected, text
from .trees import TABLES, mark, remove_facts

__all__ = [
    "LIVING",
    "bury",
    "check",
    "closed_roots",
    "condemn",
    "condemned",
    "discard",
    "erase_some",
    "settle",
    "tombstone",
    "under_way",
]

LIVING = "NOT EXISTS (SELECT 1 FROM tombstones d WHERE d.id = threads.root)"
"""Of threads: those that are not being deleted."""
_NOTE = "it was deleted"
_STONE = "coalesce((SELECT t.root FROM threads t WHERE t.id = $1), $1)"
"""Where it is counted what comes for a thread: at the root until its own tombstone is there."""


def gone(thread_id: str) -> ThreadDeleted:
    """The error for a thread that was deleted.

    Args:
        thread_id: the thread.
    """
    return ThreadDeleted(f"thread {thread_id} was deleted; its id is not used again")


async def check(connection: Connection, thread_id: str) -> None:
    """Raise if there was such a thread and it was deleted.

    Args:
        connection: within a transaction, or for one look.
        thread_id: the thread.

    Raises:
        ThreadDeleted: it was.
    """
    if await connection.fetchval("SELECT 1 FROM tombstones WHERE id = $1", text(thread_id)) is not None:
        raise gone(thread_id)


async def condemn(connection: Connection, root: str, at: int) -> None:
    """Mark a tree: from now on nobody reaches it, and nothing of it leaves. Harmless if it is marked.

    Args:
        connection: within a transaction.
        root: the id of the root thread.
        at: ms since the epoch.

    Raises:
        UnknownThread: there is no such thread.
        ThreadDeleted: its deletion is over.
        BadRequest: it is not a root.
    """
    found = await connection.fetchval("SELECT root FROM threads WHERE id = $1", text(root))
    if found is None:
        if root in await under_way(connection):
            return
        await check(connection, root)
        raise UnknownThread(f"thread {root} not found")
    if found != root:
        raise BadRequest(f"{root} is a child thread; a conversation is deleted as a whole: delete {found}")
    sql = """INSERT INTO tombstones (id, root, at, discarded)
             SELECT $1, $1, $2, count(*) FROM inbox WHERE thread IN (SELECT id FROM threads WHERE root = $1)
             ON CONFLICT (id) DO NOTHING"""
    # Said again, the time of the first mark stays, and what was discarded since is not counted twice.
    await connection.execute(sql, root, at)
    await mark(connection, root, _NOTE)


async def condemned(connection: Connection, root: str) -> Condemned:
    """What there still is of a tree that was marked, and whom the host has to tell.

    Args:
        connection: of one moment.
        root: the id of the root thread.
    """
    sql = "SELECT id, status <> 'closed' FROM threads WHERE root = $1 ORDER BY created_at, id"
    threads = [(thread_id, is_open) for thread_id, is_open in await connection.fetch(sql, root)]
    sql = """SELECT c.thread, c.id FROM calls c JOIN threads t ON t.id = c.thread WHERE t.root = $1 AND c.live = 1
             ORDER BY c.thread, c.number"""
    return Condemned(threads, [(thread, call) for thread, call in await connection.fetch(sql, root)])


async def discard(connection: Connection, thread: str) -> bool:
    """A message for a thread that was deleted is discarded: its tombstone counts it.

    Args:
        connection: within a transaction.
        thread: its id.

    Returns:
        False if there was no such thread.
    """
    sql = f"UPDATE tombstones SET discarded = discarded + 1 WHERE id = {_STONE}"
    return affected(await connection.execute(sql, text(thread))) > 0


async def bury(connection: Connection, root: str, most: int) -> bool:
    """Put tombstones in the place of threads.

    Of what the threads held, the rows are found by those tombstones.

    Args:
        connection: within a transaction.
        root: the id of a root thread whose tree was marked.
        most: threads of one transaction.

    Returns:
        True while there may be more.
    """
    if root not in await under_way(connection):
        return False
    sql = """INSERT INTO tombstones (id, root, at, discarded)
             SELECT t.id, t.root, d.at, 0 FROM threads t JOIN tombstones d ON d.id = t.root WHERE t.root = $1 ORDER BY t.id LIMIT $2
             ON CONFLICT (id) DO NOTHING"""
    await connection.execute(sql, root, most)
    sql = "DELETE FROM threads WHERE id IN (SELECT id FROM threads WHERE root = $1 ORDER BY id LIMIT $2)"
    return affected(await connection.execute(sql, root, most)) == most


async def erase_some(connection: Connection, root: str, table: str, most: int) -> bool:
    """Remove rows of buried threads from one table.

    Args:
        connection: within a transaction.
        root: the id of the root thread.
        table: one of ``trees.TABLES``.
        most: rows of one transaction.

    Returns:
        True if there were as many as that, and so may be more.
    """
    key = TABLES[table]
    sql = f"""DELETE FROM {table} WHERE ({key}) IN (
                SELECT {key} FROM {table} WHERE thread IN (SELECT id FROM tombstones WHERE root = $1) LIMIT $2)"""
    return affected(await connection.execute(sql, root, most)) == most


async def settle(connection: Connection, root: str) -> None:
    """Nothing of the tree is left: its deletion is over.

    Args:
        connection: within a transaction.
        root: the id of the root thread.
    """
    await remove_facts(connection, root)
    await connection.execute("DELETE FROM generations WHERE root = $1", root)
    await connection.execute("DELETE FROM retired WHERE root = $1", root)


async def under_way(connection: Connection) -> list[str]:
    """Roots of trees that are marked, and whose deletion is not over.

    Args:
        connection: for one look.
    """
    sql = "SELECT r.root FROM retired r JOIN tombstones d ON d.id = r.root ORDER BY r.root"
    return [root for (root,) in await connection.fetch(sql)]


async def tombstone(connection: Connection, thread_id: str) -> Tombstone | None:
    """What stays of a thread that was deleted; ``None`` if it was not. While its tree is being erased, the
    root's.

    Args:
        connection: for one look.
        thread_id: the thread.
    """
    sql = f"SELECT root, at, discarded FROM tombstones WHERE id = {_STONE}"
    row = await connection.fetchrow(sql, text(thread_id))
    return None if row is None else Tombstone(thread_id, *row)


async def closed_roots(connection: Connection, limit: int) -> list[tuple[str, int]]:
    """Id and time of the last change (ms since the epoch), those that changed longest ago first.

    What is out of service is not among them.

    Args:
        connection: for one look.
        limit: the most rows.
    """
    sql = """SELECT id, updated_at FROM threads t WHERE status = 'closed' AND parent IS NULL
               AND NOT EXISTS (SELECT 1 FROM retired r WHERE r.root = t.id)
             ORDER BY updated_at, id LIMIT $1"""
    return [(thread_id, updated_at) for thread_id, updated_at in await connection.fetch(sql, limit)]
