"""A whole tree at once: out of service while it lives elsewhere, back in service, gone."""

from __future__ import annotations

from collections.abc import Sequence

from infinity.errors import Conflict, ThreadDeleted, UnknownThread

from . import generations
from .connections import Connection
from .sql import affected, text

__all__ = [
    "TABLES",
    "check_in_service",
    "mark",
    "members",
    "no_tree",
    "remove_facts",
    "remove_root",
    "remove_some",
    "retire",
    "retired",
    "touch",
    "unretire",
]

TABLES = {
    "outbox": "key",
    "entries": "thread, position",
    "feed": "thread, position",
    "known": "thread, digest",
    "discards": "thread, digest",
    "calls": "id",
    "inbox": "seq",
    "timers": "thread, id",
    "prompts": "thread, id",
    "views": "thread, digest",
    "attempts": "thread",
    "attention": "thread, reason",
    "usage": "thread, day, model",
}
"""Every table with rows of threads, and its key."""


def no_tree(root: str) -> UnknownThread:
    """The error for an id that is not a root.

    Args:
        root: as the caller gave it.
    """
    return UnknownThread(f"there is no tree of threads whose root is {root}; give the id of its root thread")


async def check_in_service(connection: Connection, root: str) -> None:
    """Nothing commits to a tree that lives elsewhere, because its history would part in two, nor to one
    that was deleted.

    Args:
        connection: within a transaction.
        root: the id of the root thread.

    Raises:
        Conflict: it was retired.
        ThreadDeleted: it was deleted.
    """
    sql = "SELECT (SELECT note FROM retired WHERE root = $1), (SELECT 1 FROM tombstones WHERE id = $1)"
    note, deleted = await connection.fetchrow(sql, text(root))
    if deleted is not None:
        raise ThreadDeleted(f"thread {root} was deleted; its id is not used again")
    if note is not None:
        raise Conflict(
            f"the tree of thread {root} was retired here ({note}); nothing was committed, its messages are kept"
        )


async def retire(connection: Connection, root: str, note: str, departure: bytes | None = None) -> None:
    """From now on nothing reaches the tree and nothing leaves it here; all of it stays, to be read.

    Args:
        connection: within a transaction.
        root: the id of the root thread.
        note: why, for people.
        departure: its mark, if it goes to live elsewhere.

    Raises:
        UnknownThread: no thread is the root.
        ThreadDeleted: it was deleted.
    """
    if not await members(connection, root):
        raise no_tree(root)
    if await connection.fetchval("SELECT 1 FROM tombstones WHERE id = $1", root) is not None:
        raise ThreadDeleted(f"thread {root} was deleted; its id is not used again")
    await mark(connection, root, note, departed=departure is not None)
    if departure is not None:
        await generations.lift(connection, root, departure)


async def mark(connection: Connection, root: str, note: str, *, departed: bool = False) -> None:
    """Record that a tree is out of service.

    Args:
        connection: within a transaction.
        root: the id of the root thread.
        note: why, for people.
        departed: it left, so that an import may take its place.
    """
    sql = """INSERT INTO retired (root, note, departed) VALUES ($1, $2, $3)
             ON CONFLICT (root) DO UPDATE SET note = excluded.note, departed = excluded.departed"""
    await connection.execute(sql, root, text(note), 1 if departed else None)


async def touch(connection: Connection, threads: list[str]) -> None:
    """Meet every commit that began before the tree was retired: of the two, the later one begins anew, and
    sees what the other did.

    Args:
        connection: within a transaction.
        threads: of the tree.
    """
    sql = "UPDATE threads SET stamp = stamp WHERE id = ANY($1::text[])"
    await connection.execute(sql, threads)


async def unretire(connection: Connection, root: str, departure: bytes | None = None) -> None:
    """Back into service; a tree that is being deleted stays out of it.

    Args:
        connection: within a transaction.
        root: the id of the root thread.
        departure: a mark, if it had left and is taken back: what has left becomes older than what is
            here.
    """
    sql = "DELETE FROM retired WHERE root = $1 AND root NOT IN (SELECT id FROM tombstones WHERE id = $1)"
    if affected(await connection.execute(sql, text(root))) and departure is not None:
        await generations.lift(connection, root, departure)


async def retired(connection: Connection, root: str) -> str | None:
    """The note of a retired tree; ``None`` while it is in service.

    Args:
        connection: for one look.
        root: the id of the root thread.
    """
    note: str | None = await connection.fetchval("SELECT note FROM retired WHERE root = $1", text(root))
    return note


async def out_of_service(connection: Connection, roots: Sequence[str]) -> dict[str, str]:
    """Root and note of those trees that are out of service.

    Args:
        connection: for one look.
        roots: which are asked about.
    """
    sql = "SELECT root, note FROM retired WHERE root = ANY($1::text[])"
    rows = await connection.fetch(sql, [text(root) for root in roots])
    return dict(map(tuple, rows))


async def members(connection: Connection, root: str) -> list[str]:
    """The threads of a tree, the oldest first.

    Args:
        connection: for one look.
        root: the id of the root thread.
    """
    rows = await connection.fetch(
        "SELECT id FROM threads WHERE root = $1 ORDER BY created_at, id", text(root)
    )
    return [thread_id for (thread_id,) in rows]


async def remove_some(connection: Connection, root: str, table: str, most: int) -> bool:
    """Remove rows of a tree from one table.

    Args:
        connection: within a transaction.
        root: the id of the root thread.
        table: one of ``TABLES``.
        most: rows of one transaction.

    Returns:
        True if there were as many as that, and so may be more.
    """
    key = TABLES[table]
    sql = f"""DELETE FROM {table} WHERE ({key}) IN (
                SELECT {key} FROM {table} WHERE thread IN (SELECT id FROM threads WHERE root = $1) LIMIT $2)"""
    return affected(await connection.execute(sql, root, most)) == most


async def remove_root(connection: Connection, root: str, most: int) -> bool:
    """The same for the threads themselves; with the last ones goes what is recorded of the tree as such.

    Args:
        connection: within a transaction.
        root: the id of the root thread.
        most: rows of one transaction.
    """
    sql = "DELETE FROM threads WHERE id IN (SELECT id FROM threads WHERE root = $1 LIMIT $2)"
    if affected(await connection.execute(sql, root, most)) == most:
        return True
    await unretire(connection, root)
    await remove_facts(connection, root)
    return False


async def remove_facts(connection: Connection, root: str) -> None:
    """Remove what is recorded of a tree as such: its catalog and its budget.

    Args:
        connection: within a transaction.
        root: the id of the root thread.
    """
    await connection.execute("DELETE FROM meta WHERE key IN ('catalog.' || $1, 'budget.' || $1)", root)
