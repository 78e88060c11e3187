"""A local journal in a directory of its own, for as long as a tree is on its way.

What it writes and reads is the file that every store can import, and its checks are the core's (I8).
``portable`` is the caller. Everything here blocks: call it in a thread.
"""

from __future__ import annotations

import sqlite3
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from infinity._core import CoreError, Journal, Wake
from infinity.errors import DamagedStore, StoreError, from_core
from infinity.readable import readable

__all__ = ["POSITIONS", "Row", "Rows", "fold", "unfold"]

POSITIONS = 1 << 32
"""An entry's place in the journal is its thread's key times this, and its position."""

Row = tuple[Any, ...]


class Rows(NamedTuple):
    """A tree, table by table, as PostgreSQL holds it, without what a place alone decides (keys, seqs,
    stamps). Threads: root first.
    """

    meta: list[Row]
    """key, value"""
    threads: list[Row]
    """id, root, parent, status, title, version, created_at, updated_at, header, troubled"""
    spent: tuple[int, int]
    entries: list[Row]
    """thread, position, record"""
    calls: list[Row]
    """thread, id, state, subscription, live, tool, record, sent_at, ended_at, attempts; oldest first"""
    inbox: list[Row]
    """thread, digest, id, kind, body, accepted_at, call, kept; in order of arrival"""
    seen: list[Row]
    """thread, digest"""
    outbox: list[Row]
    """thread, key, kind, target, body, call, attempts, due_at, trouble"""
    timers: list[Row]
    """thread, id, due_at, kind, body"""
    prompts: list[Row]
    """thread, id, kind, body, root"""
    attempts: list[Row]
    """thread, count, code, at"""
    attention: list[Row]
    """thread, reason, since"""
    usage: list[Row]
    """thread, day, model, turns, tokens by kind, microdollars"""
    views: list[Row]
    """thread, view_type, content"""
    discards: list[Row]
    """thread, digest, message, reason, at; oldest first"""
    feed: list[Row]
    """thread, position, kind, body"""
    generations: list[Row]
    """root, number, marks; none if it never left"""
    retired: list[Row]
    """root, note; none if it is in service, and a file of it therefore a copy"""


_KEYED = {
    "calls": "thread, id, state, subscription, live, tool, record, sent_at, ended_at, attempts",
    "inbox": "thread, digest, id, kind, body, accepted_at, call, kept",
    "seen": "thread, digest",
    "outbox": "thread, key, kind, target, body, call, attempts, due_at, trouble",
    "timers": "thread, id, due_at, kind, body",
    "prompts": "thread, id, kind, body, root",
    "attempts": "thread, count, code, at",
    "attention": "thread, reason, since",
    "usage": "thread, day, model, turns, input, output, cache_read, cache_write, cost",
    "views": "thread, view_type, content",
    "discards": "thread, digest, message, reason, at",
}
"""The journal's tables whose rows say their thread's key, and columns in the order of ``Rows``."""
_PLACED = {"entries": "record", "feed": "kind, body"}
_SUMMED = {
    "inbox": "body",
    "outbox": "body",
    "timers": "body",
    "prompts": "body",
    "views": "content",
    "feed": "body",
    "meta": "value",
    "generations": "marks",
}
"""Bodies that the journal keeps a checksum beside."""
_THREADS = "id, root, parent, status, title, version, created_at, updated_at, header, troubled"
_ORDER = {"calls": "key", "inbox": "seq", "outbox": "row", "discards": "key"}


def fold(rows: Rows, path: str) -> int:
    """Write the tree to a new file.

    Args:
        rows: the tree, as PostgreSQL holds it.
        path: of a file that does not exist.

    Returns:
        How many threads it has.

    Raises:
        Conflict: there is a file of that name.
        DamagedStore: the core finds a row that cannot be read.
        StoreError: there is no room, or no permission.
    """
    with _directory(Path(path).parent) as directory:
        file = directory / "journal"
        # Opened and closed once, so that the core makes the tables.
        _use(file, lambda _: None)
        connection = sqlite3.connect(file)
        try:
            with connection:
                _fill(connection, rows)
        finally:
            connection.close()
        root = rows.threads[0][0]
        try:
            return int(_use(file, lambda journal: journal.export_tree(root, path)))
        except DamagedStore as error:
            # The core's text speaks of the scratch file; only what is wrong with it is passed on.
            what = str(error).partition("(")[2].rpartition(")")[0]
            raise DamagedStore(
                f"conversation {root} cannot be exported, because the database is damaged ({what}); restore a backup of it"
            ) from None


def unfold(path: str, expected: str | None = None) -> Rows:
    """Read what ``export_tree`` of any store wrote.

    Args:
        path: of the file.
        expected: the id that its root must have.

    Raises:
        DamagedStore: the file is not exactly what was exported.
        NewerStore: a newer version wrote it.
        BadRequest: its root is another one than ``expected``.
    """
    with _directory(None) as directory:
        file = directory / "journal"
        imported = _use(file, lambda journal: journal.import_tree(path, expected))
        retired = [] if imported["copy"] else [(imported["root"], "")]
        connection = sqlite3.connect(file)
        try:
            return _empty(connection, retired)
        finally:
            connection.close()


@contextmanager
def _directory(parent: Path | None) -> Iterator[Path]:
    try:
        with tempfile.TemporaryDirectory(prefix=".infinity-", dir=parent) as name:
            yield Path(name)
    except OSError as error:
        raise StoreError(
            f"no room for a tree on its way ({error}); check the directory, its permissions and the space"
        ) from error


def _use(file: Path, submit: Callable[[Journal], int | None]) -> Any:
    """Open the journal, have one thing done, close it. What it answers."""
    wake = Wake()
    try:
        journal = Journal.open(str(file), wake)
        try:
            ticket = submit(journal)
            return None if ticket is None else _outcome(journal, wake, ticket)
        finally:
            journal.close()
    except CoreError as error:
        raise from_core(error) from None


def _outcome(journal: Journal, wake: Wake, ticket: int) -> Any:
    while True:
        for finished, value, error in journal.finished():
            if finished == ticket:
                if error is not None:
                    raise error
                return value
        # Blocks until the journal's threads have finished something.
        readable(wake.fileno())
        wake.drain()


def _fill(connection: sqlite3.Connection, rows: Rows) -> None:
    keys = {row[0]: key for key, row in enumerate(rows.threads, 1)}
    _insert(connection, "meta", "key, value", rows.meta)
    _insert(connection, "generations", "root, number, marks", rows.generations)
    _insert(connection, "retired", "root, note", rows.retired)
    _insert(connection, "threads", f"key, {_THREADS}", [(keys[row[0]], *row) for row in rows.threads])
    if rows.spent != (0, 0):
        _insert(connection, "spending", "root, tokens, cost", [(rows.threads[0][0], *rows.spent)])
    for table, columns in _KEYED.items():
        found: list[Row] = getattr(rows, table)
        _insert(connection, table, columns, [(keys[thread], *row) for thread, *row in found])
    for table, columns in _PLACED.items():
        placed: list[Row] = getattr(rows, table)
        places = [(keys[thread] * POSITIONS + position, *row) for thread, position, *row in placed]
        _insert(connection, table, f"place, {columns}", places)


def _insert(connection: sqlite3.Connection, table: str, columns: str, rows: Sequence[Row]) -> None:
    names = columns.split(", ")
    if table in _SUMMED:
        body = names.index(_SUMMED[table])
        names.append("crc")
        rows = [(*row, zlib.crc32(row[body])) for row in rows]
    marks = ", ".join("?" * len(names))
    connection.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", rows)


def _empty(connection: sqlite3.Connection, retired: list[Row]) -> Rows:
    def all_of(table: str, columns: str) -> list[Row]:
        order = f"ORDER BY {_ORDER[table]}" if table in _ORDER else ""
        return connection.execute(f"SELECT {columns} FROM {table} {order}").fetchall()

    ids = dict(connection.execute("SELECT key, id FROM threads").fetchall())
    keyed = {
        table: [(ids[key], *row) for key, *row in all_of(table, columns)] for table, columns in _KEYED.items()
    }
    placed = {
        table: [
            (ids[place // POSITIONS], place % POSITIONS, *row)
            for place, *row in all_of(table, f"place, {columns}")
        ]
        for table, columns in _PLACED.items()
    }
    # Stable: but for the root, which comes first, they keep their order.
    threads = sorted(all_of("threads", _THREADS), key=lambda row: row[0] != row[1])
    of_the_tree = "meta WHERE key LIKE 'catalog.%' OR key LIKE 'definitions.%'"
    spent = connection.execute("SELECT tokens, cost FROM spending").fetchone() or (0, 0)
    generations = all_of("generations", "root, number, marks")
    return Rows(
        meta=all_of(of_the_tree, "key, value"),
        threads=threads,
        spent=spent,
        generations=generations,
        retired=retired,
        **keyed,
        **placed,
    )
