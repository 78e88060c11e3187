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

from infinity.cloud.postgres import schema
from infinity.cloud.postgres.connections import Connections
from infinity.cloud.postgres.opening import store_on
from infinity.cloud.postgres.platform import DSQL, POSTGRESQL
from infinity.cloud.postgres.store import PostgresStore
from infinity.cloud.postgres.transactions import Retries

__all__ = ["database_url", "dsql_connections", "postgres", "postgres_with_conflicts", "store_with"]


async def database_url(directory: Path) -> str:
    """Of a schema that belongs to the directory, with the tables. They are made at once, which is quicker than to migrate."""
    name = "t" + hashlib.sha256(str(directory).encode()).hexdigest()[:20]
    url = f"{server_url()}&search_path={name}"
    connection = await asyncpg.connect(url)
    try:
        if not await connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", name):
            row = f"INSERT INTO infinity_schema VALUES ('infinity', {schema.VERSION})"
            await connection.execute(
                f"CREATE SCHEMA {name};" + ";".join([*schema.statements(POSTGRESQL), row])
            )
    finally:
        await connection.close()
    return url


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
