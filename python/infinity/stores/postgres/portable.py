"""A tree as a file that any store can import: out of the database as it is at one moment, and into it all
or nothing.

``store`` calls both ways. The file is the core's journal format, written and read by ``scratch``; here
is what a database makes of its rows. Where transactions are bounded, an import takes several, and the
tree is out of service, under a note of its own (``INCOMPLETE``), until the last one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from infinity._core import Message
from infinity.abc import INCOMPLETE, Imported
from infinity.supervision import in_thread

from . import deletion, generations, order_numbers, trees
from .connections import Connection
from .generations import Copy
from .inbox import check_size
from .large import owned_by
from .scratch import Row, Rows, fold, unfold
from .sql import digest, text
from .transactions import Transactions

__all__ = ["Arrival", "export_tree", "import_tree"]

_ALL = 1 << 62
_ROWS, _BYTES = 2_500, 4 << 20
"""In one transaction, of a tree that is too large for one: well within what DSQL takes."""

_TABLES = {
    "meta": "key text, value bytea",
    "generations": "root text, number bigint, marks bytea",
    "threads": "id text, root text, parent text, status text, title text, version bigint, created_at bigint, updated_at bigint, header bytea, troubled bigint, tokens bigint, cost bigint, stamp text",
    "entries": "thread text, position bigint, record bytea",
    "calls": "thread text, id text, state text, subscription bigint, live bigint, tool text, record bytea, sent_at bigint, ended_at bigint, attempts bigint, number bigint",
    "inbox": "thread text, digest bytea, id bytea, kind text, body bytea, accepted_at bigint, call text, kept bigint, seq bigint",
    "known": "thread text, digest bytea, consumed bigint",
    "outbox": "thread text, key text, kind text, target text, body bytea, call text, attempts bigint, due_at bigint, trouble text",
    "timers": "thread text, id text, due_at bigint, kind text, body bytea",
    "prompts": "thread text, id text, kind text, body bytea, root text",
    "attention": "thread text, reason text, since bigint",
    "usage": "thread text, day bigint, model text, turns bigint, input bigint, output bigint, cache_read bigint, cache_write bigint, cost bigint",
    "views": "thread text, view_type bytea, content bytea, digest bytea",
    "attempts": "thread text, count bigint, code text, at bigint",
    "discards": "thread text, digest bytea, message bytea, reason text, at bigint, number bigint",
    "feed": "thread text, position bigint, kind text, body bytea",
}


# An earlier version wrote null where the journal has 0 and nothing.
_CALLS = "thread, id, state, subscription, live, tool, record, coalesce(sent_at, 0), coalesce(ended_at, 0), coalesce(attempts, 0)"
_OUTBOX = "thread, key, kind, target, body, call, attempts, due_at, coalesce(trouble, '')"


async def export_tree(transactions: Transactions, root: str, path: str) -> int:
    """Write a tree to a file; see ``abc.Store.export_tree``.

    Args:
        transactions: of the database.
        root: the id of the root thread.
        path: of a file that does not exist.

    Returns:
        The number of its threads.
    """

    async def read(connection: Connection, _: bool) -> Rows:
        return await _read(connection, root)

    # All of it is in memory: the file is written after the transaction, which must not wait for a disk.
    rows = await transactions.picture(read)
    return await in_thread(partial(fold, rows, path))


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file that is to be imported.

    ``expected``: the root that it must have; ``resting``: why the tree is out of service from its first
    moment here.
    """

    path: str
    expected: str | None = None
    resting: str | None = None


async def import_tree(
    transactions: Transactions, arrival: Arrival, delete_tree: Callable[[str], Awaitable[int]]
) -> Imported:
    """Take in a tree; see ``abc.Store.import_tree``.

    Args:
        transactions: of the database.
        arrival: the file.
        delete_tree: removes what is there of a tree, in as many transactions as it takes.
    """
    rows = await in_thread(partial(unfold, arrival.path, arrival.expected))
    check_size(transactions.platform, f"a record of {arrival.path}", *_values(rows))
    # Made once, outside of the transaction: a second try inserts the same rows.
    places = order_numbers.fresh_many(len(rows.inbox) + len(rows.discards))
    parts = list(_parts(rows, places))
    if transactions.platform.rows is None:
        replaced = await transactions.write(_arrive(rows, parts, arrival.resting))
    else:
        replaced = await _in_parts(transactions, rows, parts, arrival.resting, delete_tree)
    root, copy = rows.threads[0][0], not rows.retired
    if arrival.resting is not None:
        return Imported(root, [], 0, None, replaced, copy)
    messages = [
        Message(thread, message_id, kind, body, seq=seq, accepted_at=accepted_at)
        for (thread, _, message_id, kind, body, accepted_at, _, kept), seq in zip(
            rows.inbox, places, strict=False
        )
        if not kept
    ]
    next_timer = min((row[2] for row in rows.timers), default=None)
    return Imported(root, messages, len(rows.outbox), next_timer, replaced, copy)


async def _read(connection: Connection, root: str) -> Rows:
    threads = await trees.members(connection, root)
    if not threads or await deletion.tombstone(connection, root) is not None:
        raise trees.no_tree(root)

    async def all_of(table: str, columns: str, order: str, condition: str = "") -> list[Row]:
        sql = f"SELECT {columns} FROM {table} WHERE thread = ANY($1::text[]) {condition} ORDER BY {order}"
        return [tuple(row) for row in await connection.fetch(sql, threads)]

    async def one_of(table: str, columns: str) -> list[Row]:
        sql = f"SELECT {columns} FROM {table} WHERE root = $1"
        return [tuple(row) for row in await connection.fetch(sql, root)]

    sql = """SELECT id, root, parent, status, title, version, created_at, updated_at, header, troubled FROM threads WHERE root = $1
             ORDER BY id <> root, created_at, id"""
    spent = await connection.fetchrow(
        "SELECT sum(tokens)::bigint, sum(cost)::bigint FROM threads WHERE root = $1", root
    )
    inbox = await all_of("inbox", "thread, digest, id, kind, body, accepted_at, call, kept", "seq")
    views = await all_of("views", "thread, view_type, content", "thread, digest")
    discards = await all_of("discards", "thread, digest, message, reason, at", "number")
    return Rows(
        meta=await _meta(connection, root),
        threads=[tuple(row) for row in await connection.fetch(sql, root)],
        spent=tuple(spent),
        entries=await all_of("entries", "thread, position, record", "thread, position"),
        calls=await all_of("calls", _CALLS, "thread, number"),
        inbox=[(thread, key, message_id.decode(), *rest) for thread, key, message_id, *rest in inbox],
        seen=await all_of("known", "thread, digest", "thread, digest", "AND consumed = 1"),
        outbox=await all_of("outbox", _OUTBOX, "key"),
        timers=await all_of("timers", "thread, id, due_at, kind, body", "thread, id"),
        prompts=await all_of("prompts", "thread, id, kind, body, root", "thread, id"),
        attempts=await all_of("attempts", "thread, count, code, at", "thread"),
        attention=await all_of("attention", "thread, reason, since", "thread, reason"),
        usage=await all_of(
            "usage",
            "thread, day, model, turns, input, output, cache_read, cache_write, cost",
            "thread, day, model",
        ),
        views=[(thread, view_type.decode(), content) for thread, view_type, content in views],
        discards=[(thread, key, message.decode(), *rest) for thread, key, message, *rest in discards],
        feed=await all_of("feed", "thread, position, kind, body", "thread, position"),
        generations=await one_of("generations", "root, number, marks"),
        retired=await one_of("retired", "root, note"),
    )


async def _meta(connection: Connection, root: str) -> list[Row]:
    """The tree's catalogue, and the definitions that it names."""
    sql = "SELECT key, value FROM meta WHERE key = $1"
    catalog = await connection.fetchrow(sql, f"catalog.{root}")
    if catalog is None:
        return []
    definitions = await connection.fetchrow(sql, f"definitions.{catalog[1].decode()}")
    return [tuple(row) for row in (catalog, definitions) if row is not None]


def _values(rows: Rows) -> Iterator[bytes]:
    for table in rows:
        for row in table:
            if isinstance(row, tuple):
                yield from (value for value in row if isinstance(value, bytes))


def _all(rows: Rows, places: list[int]) -> Iterator[tuple[str, Row]]:
    """Every row to insert, the threads first. ``places``: for the inbox, then for the discards."""
    root = rows.threads[0][0]
    for row in rows.threads:
        # What the tree has spent is kept per thread, and was told in one sum.
        yield "threads", (*row[:4], text(row[4]), *row[5:], *(rows.spent if row[0] == root else (0, 0)), "")
    for table in (
        "meta",
        "generations",
        "entries",
        "outbox",
        "timers",
        "prompts",
        "attempts",
        "attention",
        "usage",
        "feed",
    ):
        for row in getattr(rows, table):
            yield table, row
    for number, row in enumerate(rows.calls):
        yield "calls", (*row[:5], text(row[5]), *row[6:], number)
    for (thread, key, message_id, *rest), seq in zip(rows.inbox, places, strict=False):
        yield "inbox", (thread, key, message_id.encode(), *rest, seq)
        yield "known", (thread, key, 0)
    for thread, key in rows.seen:
        yield "known", (thread, key, 1)
    for thread, view_type, content in rows.views:
        yield "views", (thread, view_type.encode(), content, digest(view_type))
    for (thread, key, message, *rest), number in zip(rows.discards, places[len(rows.inbox) :], strict=True):
        yield "discards", (thread, key, message.encode(), *rest, number)


def _parts(rows: Rows, places: list[int]) -> Iterator[dict[str, list[Row]]]:
    """Rows by table, as much at a time as one transaction may hold."""
    part: dict[str, list[Row]] = {}
    count = size = 0
    for table, row in _all(rows, places):
        length = sum(len(value) for value in row if isinstance(value, bytes))
        if part and (count == _ROWS or size + length > _BYTES):
            yield part
            part, count, size = {}, 0, 0
        part.setdefault(table, []).append(row)
        count, size = count + 1, size + length
    yield part


def _offered(rows: Rows) -> Copy:
    _, number, marks = rows.generations[0] if rows.generations else ("", 0, b"")
    return Copy(rows.threads[0][0], number, marks, {row[0]: row[5] for row in rows.threads})


def _arrive(
    rows: Rows, parts: list[dict[str, list[Row]]], resting: str | None, *, departed: bool = False
) -> Callable[[Connection, bool], Awaitable[bool]]:
    """A transaction that inserts these parts, if nobody has the threads yet, or in the place of a copy
    that has left: whether there was one.

    ``resting``: why they are out of service; ``departed``: another import may take their place.
    """

    async def work(connection: Connection, uncertain: bool) -> bool:
        root = rows.threads[0][0]
        # An earlier try has done it. Whether it replaced a copy is not known any more.
        if uncertain and await _is_in(connection, root, resting):
            return False
        replaced = await generations.room(connection, _offered(rows))
        if replaced:
            for table in trees.TABLES:
                await trees.remove_some(connection, root, table, _ALL)
            await trees.remove_root(connection, root, _ALL)
        if resting is not None:
            await trees.mark(connection, root, resting, departed=departed)
        with owned_by(root):
            for part in parts:
                await _insert(connection, part)
        return replaced

    return work


async def _is_in(connection: Connection, root: str, resting: str | None) -> bool:
    """Whether an earlier try of the import became durable, as it seems."""
    there = await connection.fetchval("SELECT 1 FROM threads WHERE id = $1", root)
    return there is not None and await trees.retired(connection, root) == resting


async def _in_parts(
    transactions: Transactions,
    rows: Rows,
    parts: list[dict[str, list[Row]]],
    resting: str | None,
    delete_tree: Callable[[str], Awaitable[int]],
) -> bool:
    """Where transactions are bounded.

    Of several, the tree is out of service until its last row is there, under a note that says that it
    is not complete. If that fails, all of it goes again; then the copy in whose place it came is gone,
    too, and the file can be imported once more.
    """
    root = rows.threads[0][0]

    async def clear(connection: Connection, _: bool) -> bool:
        there = await generations.room(connection, _offered(rows))
        if there:
            await trees.mark(connection, root, INCOMPLETE, departed=True)
        return there

    async def complete(connection: Connection, _: bool) -> None:
        if resting is None:
            await trees.unretire(connection, root)
        else:
            await trees.mark(connection, root, resting)

    if replaced := await transactions.write(clear):
        await delete_tree(root)
    if len(parts) == 1:
        await transactions.write(_arrive(rows, parts, resting))
        return replaced
    await transactions.write(_arrive(rows, parts[:1], INCOMPLETE, departed=True))
    try:
        with owned_by(root):
            for part in parts[1:]:
                await transactions.write(partial(_more, part))
        await transactions.write(complete)
    except BaseException:
        await delete_tree(root)
        raise
    return replaced


async def _more(part: dict[str, list[Row]], connection: Connection, uncertain: bool) -> None:
    await _insert(connection, part, uncertain)


async def _insert(connection: Connection, part: dict[str, list[Row]], again: bool = False) -> None:
    """``again``: an earlier try may have inserted it."""
    for table, rows in part.items():
        columns, types = zip(*(column.split() for column in _TABLES[table].split(", ")), strict=True)
        arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(types, 1))
        # Trees share definitions; a file must not change what others here go by.
        keep = "ON CONFLICT DO NOTHING" if again or table == "meta" else ""
        if table == "generations":
            keep = "ON CONFLICT (root) DO UPDATE SET number = excluded.number, marks = excluded.marks"
        sql = f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM unnest({arrays}) {keep}"
        values: list[tuple[Any, ...]] = list(zip(*rows, strict=True))
        await connection.execute(sql, *values)
