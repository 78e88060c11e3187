"""Which of several copies of a tree is the newer one.

A tree that leaves, and one that is taken back, raises its generation by one and gets the mark of that:
so a copy is newer than another exactly if it has its last mark, and all marks before. The record stays
when the tree's rows go to live elsewhere.
"""

from __future__ import annotations

from typing import NamedTuple

from infinity.abc import Generation
from infinity.errors import Conflict, RuleBroken

from . import deletion
from .connections import Connection
from .sql import text

__all__ = ["Copy", "generation", "lift", "room"]

MARK = 8
"""Bytes of a mark."""


class Copy(NamedTuple):
    """What a file holds of a tree: its generation, and the versions of its threads."""

    root: str
    number: int
    marks: bytes
    versions: dict[str, int]


async def generation(connection: Connection, root: str) -> Generation:
    """How often a tree has left; 0 for trees that never were here.

    Args:
        connection: for one look.
        root: the id of the root thread.
    """
    sql = """SELECT (SELECT number FROM generations WHERE root = $1),
                    EXISTS (SELECT 1 FROM retired WHERE root = $1 AND departed IS NOT NULL)"""
    number, departed = await connection.fetchrow(sql, text(root))
    return Generation(number or 0, departed)


async def lift(connection: Connection, root: str, mark: bytes) -> None:
    """Raise the generation. Said twice with one mark, it is done once.

    Args:
        connection: within a transaction.
        root: the id of the root thread.
        mark: eight random bytes.

    Raises:
        RuleBroken: it is not a mark.
    """
    if len(mark) != MARK:
        raise RuleBroken(f"a mark has {MARK} bytes, not {len(mark)}")
    number, marks = await _known(connection, root)
    if marks[-MARK:] == mark:
        return
    sql = """INSERT INTO generations (root, number, marks) VALUES ($1, $2, $3)
             ON CONFLICT (root) DO UPDATE SET number = excluded.number, marks = excluded.marks"""
    await connection.execute(sql, root, number + 1, marks + mark)


async def room(connection: Connection, there: Copy) -> bool:
    """Whether a tree may come here, and what is in its place.

    Args:
        connection: within the transaction that takes it in.
        there: what the file holds of it.

    Returns:
        True if a copy is here that left and is no newer, in whose place this one comes; False if there
        is none.

    Raises:
        Conflict: a thread is here and in service, the file is older, or the two have parted.
        ThreadDeleted: one of the threads was deleted here.
    """
    sql = """SELECT 1 FROM retired r WHERE r.root = $1 AND r.departed IS NOT NULL
               AND EXISTS (SELECT 1 FROM threads t WHERE t.root = r.root)"""
    rests = await connection.fetchval(sql, there.root) is not None
    ids = list(there.versions)
    sql = "SELECT id FROM tombstones WHERE id = ANY($1::text[]) LIMIT 1"
    if (gone := await connection.fetchval(sql, ids)) is not None:
        raise deletion.gone(gone)
    # Threads of this tree may be here if a copy of it rests; threads of any other tree may not.
    sql = "SELECT id FROM threads WHERE id = ANY($1::text[]) AND (root <> $2 OR $3) LIMIT 1"
    if (present := await connection.fetchval(sql, ids, there.root, not rests)) is not None:
        raise Conflict(f"thread {present} is here already; nothing was imported")
    number, marks = await _known(connection, there.root)
    _compare(there, number, marks, rests=rests)
    # A copy that left before generations were counted: versions have to tell.
    if rests and not number:
        await _holds_all(connection, there)
    return rests


async def _known(connection: Connection, root: str) -> tuple[int, bytes]:
    row = await connection.fetchrow("SELECT number, marks FROM generations WHERE root = $1", root)
    return (0, b"") if row is None else (row[0], row[1])


def _compare(there: Copy, number: int, marks: bytes, *, rests: bool) -> None:
    root = there.root
    advice = (
        f"The copy here is taken back with `infinity export {root} --undo`"
        if rests
        else "It lives elsewhere: export it there, and import that file"
    )
    if there.number < number:
        raise Conflict(
            f"the file is older than what is known here of conversation {root} (generation {there.number}, here {number}); nothing was imported. {advice}"
        )
    if marks and marks[-MARK:] not in _each(there.marks):
        raise Conflict(
            f"the file and what is known here of conversation {root} have parted: each went on without the other (generation {there.number}, here {number}); "
            f"nothing was imported. {advice}; to have both, import the file in another home"
        )


def _each(marks: bytes) -> list[bytes]:
    return [marks[start : start + MARK] for start in range(0, len(marks), MARK)]


async def _holds_all(connection: Connection, there: Copy) -> None:
    """The copy here left when generations were not counted. No thread of it may be newer than the file's."""
    for thread_id, version in await connection.fetch(
        "SELECT id, version FROM threads WHERE root = $1", there.root
    ):
        if there.versions.get(thread_id, -1) < version:
            raise Conflict(
                f"the file is older than the copy of conversation {there.root} that rests here; nothing was imported. It is taken back with `infinity export {there.root} --undo`"
            )
