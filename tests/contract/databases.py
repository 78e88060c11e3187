"""Stores on PostgreSQL with the manners of Aurora DSQL, each in a schema of its own."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from tests.contract.dsql_rules import Conflicts, DsqlConnection
from tests.contract.postgresql import server_url

from infinity.stores.postgres import schema
from infinity.stores.postgres.connections import Connections
from infinity.stores.postgres.opening import store_on
from infinity.stores.postgres.platform import DSQL, POSTGRESQL
from infinity.stores.postgres.store import PostgresStore
from infinity.stores.postgres.transactions import Retries

__all__ = ["database_url", "dsql_connections", "postgres", "postgres_with_conflicts", "store_with"]


_BELONGS: dict[str, Path] = {}
"""Schemas by name, with the directory whose end is theirs."""
_SHAPE = """
SELECT md5(string_agg(concat_ws(' ', c.relname, c.relkind, a.attname, a.atttypid, a.attnotnull), ',' ORDER BY c.relname, a.attnum))
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relnamespace = to_regnamespace($1)
"""
_shapes: set[str] = set()
"""What the tables look like as they are made: one, once there are any."""


async def database_url(directory: Path) -> str:
    """Of a schema that belongs to the directory, with the tables. They are made at once, which is quicker than to migrate; quicker still is to
    empty those of a test that has passed: its directory is gone."""
    name = "t" + hashlib.sha256(str(directory).encode()).hexdigest()[:20]
    connection = await asyncpg.connect(server_url())
    try:
        if not await connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", name):
            if not await _emptied(connection, name):
                await connection.execute(
                    f"CREATE SCHEMA {name}; SET search_path TO {name};"
                    + ";".join([*schema.statements(POSTGRESQL), _VERSION])
                )
                _shapes.add(await connection.fetchval(_SHAPE, name))
            if directory.is_absolute():
                _BELONGS[name] = next(path for path in (directory, *directory.parents) if path.exists())
    finally:
        await connection.close()
    return f"{server_url()}&search_path={name}"


_VERSION = f"INSERT INTO infinity_schema VALUES ('infinity', {schema.VERSION})"


async def _emptied(connection: Any, name: str) -> bool:
    """Whether there was a schema that nobody needs any more; it has the name now, so that anyone who still knows the old one finds nothing."""
    for old in [old for old, directory in _BELONGS.items() if not directory.exists()]:
        del _BELONGS[old]
        if {await connection.fetchval(_SHAPE, old)} != _shapes:
            continue
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", old)
        names = [f"{name}.{table}" for (table,) in tables]
        try:
            # Anyone who is in the middle of a transaction there keeps the schema for itself.
            await connection.execute(
                f"BEGIN; SET LOCAL lock_timeout = '50ms'; ALTER SCHEMA {old} RENAME TO {name}; LOCK TABLE {','.join(names)};"
                + "".join(f"DELETE FROM {table};" for table in names)
                + f"ALTER SEQUENCE {name}.places RESTART; SET LOCAL search_path TO {name}; {_VERSION}; COMMIT"
            )
        except asyncpg.LockNotAvailableError:
            await connection.execute("ROLLBACK")
            continue
        return True
    return False


def dsql_connections(
    url: str, conflicts: Conflicts, kind: Callable[[Any, Conflicts], Any] = DsqlConnection
) -> Connections:
    async def connect() -> Any:
        # DSQL knows no other isolation: the setting stands for that.
        made = await asyncpg.connect(url, server_settings=dict(POSTGRESQL.settings))
        return kind(made, conflicts)

    return Connections(connect)


async def store_with(
    url: str, conflicts: Conflicts, kind: Callable[[Any, Conflicts], Any] = DsqlConnection
) -> PostgresStore:
    """Tries follow each other at once, but not in the same turn of the loop."""

    async def soon(seconds: float) -> None:
        await asyncio.sleep(seconds / 20)

    opened = dsql_connections(url, conflicts, kind)
    return await store_on(
        opened, DSQL, "the test database", Retries(tries=8, sleep=soon, chance=random.Random(1).random)
    )


@asynccontextmanager
async def postgres(directory: Path) -> AsyncIterator[PostgresStore]:
    store = await store_with(await database_url(directory), Conflicts(0))
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def postgres_with_conflicts(directory: Path) -> AsyncIterator[PostgresStore]:
    store = await store_with(await database_url(directory), Conflicts(0.4))
    try:
        yield store
    finally:
        await store.close()
