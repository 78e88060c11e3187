"""The tables, for PostgreSQL and DSQL alike: TEXT, BYTEA and BIGINT, no foreign keys, triggers, partial or
expression indexes, no arrays.

Threads are known by their ids. Whether a message id was ever accepted is remembered for good in
``known`` (I3): its key is never freed, so that two transactions that take the same message collide,
whatever each of them sees. Records carry checksums of their own; the server has its own for the rest.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from infinity.errors import ConfigError, NewerStore

from . import attention
from .connections import Connection, Connections
from .failure import MIGRATE, translate
from .platform import Platform
from .sql import affected
from .transactions import Retries, Transactions

__all__ = ["STEPS", "VERSION", "Step", "check", "migrate", "statements"]

_FIRST = (
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value BYTEA NOT NULL)",
    """CREATE TABLE IF NOT EXISTS threads (
  id TEXT PRIMARY KEY, root TEXT NOT NULL, parent TEXT, status TEXT NOT NULL, title TEXT NOT NULL, version BIGINT NOT NULL, stamp TEXT NOT NULL,
  created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, tokens BIGINT NOT NULL, cost BIGINT NOT NULL, header BYTEA NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS entries (
  thread TEXT NOT NULL, position BIGINT NOT NULL, record BYTEA NOT NULL, PRIMARY KEY (thread, position))""",
    """CREATE TABLE IF NOT EXISTS calls (
  id TEXT PRIMARY KEY, thread TEXT NOT NULL, number BIGINT NOT NULL, state TEXT NOT NULL, subscription BIGINT NOT NULL, live BIGINT NOT NULL,
  tool TEXT NOT NULL, record BYTEA NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS inbox (
  seq BIGINT PRIMARY KEY, thread TEXT NOT NULL, digest BYTEA NOT NULL, id BYTEA NOT NULL, kind TEXT NOT NULL, body BYTEA NOT NULL,
  accepted_at BIGINT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS known (
  thread TEXT NOT NULL, digest BYTEA NOT NULL, consumed BIGINT NOT NULL, PRIMARY KEY (thread, digest))""",
    """CREATE TABLE IF NOT EXISTS outbox (
  key TEXT PRIMARY KEY, thread TEXT NOT NULL, kind TEXT NOT NULL, target TEXT NOT NULL, body BYTEA NOT NULL, call TEXT, attempts BIGINT NOT NULL,
  due_at BIGINT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS timers (
  thread TEXT NOT NULL, id TEXT NOT NULL, due_at BIGINT NOT NULL, kind TEXT NOT NULL, body BYTEA NOT NULL, PRIMARY KEY (thread, id))""",
    """CREATE TABLE IF NOT EXISTS prompts (
  thread TEXT NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL, body BYTEA NOT NULL, PRIMARY KEY (thread, id))""",
    """CREATE TABLE IF NOT EXISTS views (
  thread TEXT NOT NULL, digest BYTEA NOT NULL, view_type BYTEA NOT NULL, content BYTEA NOT NULL, PRIMARY KEY (thread, digest))""",
    """CREATE TABLE IF NOT EXISTS discards (
  thread TEXT NOT NULL, digest BYTEA NOT NULL, number BIGINT NOT NULL, message BYTEA NOT NULL, reason TEXT NOT NULL, at BIGINT NOT NULL,
  PRIMARY KEY (thread, digest))""",
    """CREATE TABLE IF NOT EXISTS feed (
  thread TEXT NOT NULL, position BIGINT NOT NULL, kind TEXT NOT NULL, body BYTEA NOT NULL, PRIMARY KEY (thread, position))""",
    "CREATE TABLE IF NOT EXISTS retired (root TEXT PRIMARY KEY, note TEXT NOT NULL)",
    # Order numbers came from here; see order_numbers.py.
    "CREATE SEQUENCE IF NOT EXISTS places CACHE 1",
)

_FIRST_INDEXES = (
    ("threads_by_update", "threads (updated_at, id)"),
    ("threads_by_status", "threads (status, updated_at, id)"),
    ("threads_by_root", "threads (root)"),
    ("threads_by_parent", "threads (parent)"),
    ("calls_by_thread", "calls (thread, live)"),
    ("inbox_by_thread", "inbox (thread)"),
    ("outbox_by_thread", "outbox (thread)"),
    ("timers_by_due", "timers (due_at)"),
)


@dataclass(frozen=True, slots=True)
class Step:
    """From one version of the tables to the next.

    Each statement is a transaction of its own and harmless if it has happened before.

    ``tables``: DDL; a column is added with its name and type only, which is all that DSQL takes.
    ``indexes``: name and columns. ``fill``: DML for rows that an earlier version wrote, said again
    until it changes nothing; its last words limit the rows of one transaction. ``work``: what SQL
    alone cannot tell.
    """

    tables: tuple[str, ...]
    indexes: tuple[tuple[str, str], ...] = ()
    fill: tuple[str, ...] = ()
    work: tuple[Callable[[Transactions], Awaitable[None]], ...] = ()


STEPS = (
    # 1, as 0.1.0 wrote it; never changed.
    Step(_FIRST, _FIRST_INDEXES),
    # 2: failed attempts, kept events, prompts of a tree.
    Step(
        (
            """CREATE TABLE IF NOT EXISTS attempts (
  thread TEXT PRIMARY KEY, count BIGINT NOT NULL, code TEXT NOT NULL, at BIGINT NOT NULL)""",
            "ALTER TABLE inbox ADD COLUMN IF NOT EXISTS call TEXT",
            "ALTER TABLE inbox ADD COLUMN IF NOT EXISTS kept BIGINT",
            "ALTER TABLE prompts ADD COLUMN IF NOT EXISTS root TEXT",
        ),
        (
            ("prompts_by_root", "prompts (root)"),
            ("threads_by_parent_status", "threads (parent, status)"),
        ),
        (
            """UPDATE prompts SET root = coalesce((SELECT t.root FROM threads t WHERE t.id = prompts.thread), '')
               WHERE (thread, id) IN (SELECT thread, id FROM prompts WHERE root IS NULL LIMIT 2500)""",
        ),
    ),
    # 3: what was deleted, and what may be because it has been closed for long.
    Step(
        (
            """CREATE TABLE IF NOT EXISTS tombstones (
  id TEXT PRIMARY KEY, root TEXT NOT NULL, at BIGINT NOT NULL, discarded BIGINT NOT NULL)""",
        ),
        (
            ("tombstones_by_root", "tombstones (root)"),
            ("threads_by_status_parent", "threads (status, parent, updated_at, id)"),
        ),
    ),
    # 4: how often a tree has left, and whether what rests here is what left as a file.
    Step(
        (
            "CREATE TABLE IF NOT EXISTS generations (root TEXT PRIMARY KEY, number BIGINT NOT NULL, marks BYTEA NOT NULL)",
            "ALTER TABLE retired ADD COLUMN IF NOT EXISTS departed BIGINT",
        ),
        fill=(
            """UPDATE retired SET departed = 1 WHERE root IN (
                 SELECT root FROM retired WHERE departed IS NULL AND note LIKE 'it was exported to a file%' LIMIT 2500)""",
        ),
    ),
    # 5: which threads rest with a problem, and how many of a tree live. What an earlier version wrote did not
    # say the first, and is looked at
    # until its next commit says it.
    Step(
        ("ALTER TABLE threads ADD COLUMN IF NOT EXISTS troubled BIGINT",),
        (
            ("threads_by_troubled", "threads (troubled, updated_at, id)"),
            ("threads_by_root_status", "threads (root, status, troubled)"),
        ),
        (
            """UPDATE threads SET troubled = CASE WHEN status = 'closed' THEN 0 ELSE 1 END
               WHERE id IN (SELECT id FROM threads WHERE troubled IS NULL LIMIT 2500)""",
        ),
    ),
    # 6: where the next sweep begins, which was in ``meta`` with the keys that sign: the sweep's role writes
    # this and may not read those.
    Step(("CREATE TABLE IF NOT EXISTS sweeps (name TEXT PRIMARY KEY, place TEXT NOT NULL)",)),
    # 7: threads that ask something, or rest with a problem that only a person ends.
    Step(
        (
            """CREATE TABLE IF NOT EXISTS attention (
  thread TEXT NOT NULL, reason TEXT NOT NULL, since BIGINT NOT NULL, PRIMARY KEY (thread, reason))""",
        ),
        (("attention_by_since", "attention (since, thread)"),),
        (
            """INSERT INTO attention (thread, reason, since)
               SELECT DISTINCT p.thread, 'prompt', t.updated_at FROM prompts p JOIN threads t ON t.id = p.thread
               WHERE NOT EXISTS (SELECT 1 FROM attention a WHERE a.thread = p.thread AND a.reason = 'prompt') LIMIT 2500""",
        ),
        (attention.fill,),
    ),
    # 8: commits that added to streams, in their order; written where one process makes them all.
    Step(
        (
            """CREATE TABLE IF NOT EXISTS log (
  seq BIGINT PRIMARY KEY, thread TEXT NOT NULL, first BIGINT NOT NULL, last BIGINT NOT NULL, at BIGINT NOT NULL)""",
        ),
    ),
    # 9: what completions have used. What an earlier version recorded of it is in ``threads`` alone.
    Step(
        (
            """CREATE TABLE IF NOT EXISTS usage (
  thread TEXT NOT NULL, day BIGINT NOT NULL, model TEXT NOT NULL, turns BIGINT NOT NULL, input BIGINT NOT NULL, output BIGINT NOT NULL,
  cache_read BIGINT NOT NULL, cache_write BIGINT NOT NULL, cost BIGINT NOT NULL, PRIMARY KEY (thread, day, model))""",
        ),
        (("usage_by_day", "usage (day)"),),
    ),
    # 10: when calls were sent and ended, in how many tries, and why the last one failed; null in what an
    # earlier version wrote.
    Step(
        (
            "ALTER TABLE calls ADD COLUMN IF NOT EXISTS sent_at BIGINT",
            "ALTER TABLE calls ADD COLUMN IF NOT EXISTS ended_at BIGINT",
            "ALTER TABLE calls ADD COLUMN IF NOT EXISTS attempts BIGINT",
            "ALTER TABLE outbox ADD COLUMN IF NOT EXISTS trouble TEXT",
        ),
        (("discards_by_number", "discards (number)"),),
    ),
)
"""``STEPS[n]`` goes from version n to the next; only ever appended to."""

VERSION = len(STEPS)
"""Of the tables that this Infinity reads and writes."""

_VERSION_TABLE = "CREATE TABLE IF NOT EXISTS infinity_schema (name TEXT PRIMARY KEY, version BIGINT NOT NULL)"


def statements(platform: Platform, since: int = 0) -> list[str]:
    """The DDL that brings tables up to date, in order; each goes in a transaction of its own.

    Args:
        platform: how indexes are made.
        since: the version that the tables have; 0: there are none.
    """
    found = [] if since else [_VERSION_TABLE]
    for step in STEPS[since:]:
        found += step.tables
        found += [f"{platform.index} IF NOT EXISTS {name} ON {columns}" for name, columns in step.indexes]
    return found


async def migrate(connections: Connections, platform: Platform, where: str) -> int:
    """Make the tables or bring them up to date. Harmless if there is nothing to do, or if it was broken
    off before.

    Args:
        connections: as a user that may make tables.
        platform: which server it is.
        where: the server and database, for errors.

    Returns:
        The version that the tables had; 0: there were none.

    Raises:
        NewerStore: a newer version of Infinity has been here.
    """
    transactions = Transactions(connections, platform, where, Retries(tries=8, pause=0.05))

    async def version(connection: Connection, _: bool) -> int:
        return await _stored(connection)

    async def record(connection: Connection, _: bool) -> None:
        sql = """INSERT INTO infinity_schema (name, version) VALUES ('infinity', $1)
                 ON CONFLICT (name) DO UPDATE SET version = excluded.version"""
        await connection.execute(sql, VERSION)

    await _define(transactions, _VERSION_TABLE)
    before = await transactions.look(version)
    _refuse_newer(before, where)
    if before < VERSION:
        for statement in statements(platform, before):
            await _define(transactions, statement)
        for step in STEPS[before:]:
            for statement in step.fill:
                await _fill(transactions, statement)
            for work in step.work:
                await work(transactions)
        # Last: a migration that was broken off is not taken for a finished one.
        await transactions.write(record)
    return before


async def check(connection: Connection, where: str) -> None:
    """Whether the tables are there and of this version.

    Args:
        connection: for one look.
        where: the server and database, for errors.

    Raises:
        ConfigError: they are missing or old.
        NewerStore: a newer version made them.
    """
    try:
        found = await _stored(connection)
    except Exception as error:
        raise translate(error, where) from error
    _refuse_newer(found, where)
    if found < VERSION:
        what = f"are of version {found}, not {VERSION}" if found else "were not all made"
        raise ConfigError(f"the tables of the database {where} {what}; run: {MIGRATE}")


async def _define(transactions: Transactions, statement: str) -> None:
    async def define(connection: Connection, _: bool) -> None:
        # By itself: DSQL takes one DDL statement a transaction, and waits for nobody.
        await connection.execute(statement)

    await transactions.look(define)


async def _fill(transactions: Transactions, statement: str) -> None:
    async def fill(connection: Connection, _: bool) -> int:
        return affected(await connection.execute(statement))

    while await transactions.write(fill):
        pass


async def _stored(connection: Connection) -> int:
    return int(await connection.fetchval("SELECT version FROM infinity_schema WHERE name = 'infinity'") or 0)


def _refuse_newer(found: int, where: str) -> None:
    if found > VERSION:
        raise NewerStore(
            f"the database {where} was written by a newer version of Infinity (tables {found}, this one knows {VERSION}); update this one"
        )
