"""The tables: what DSQL takes, made by a command, of a version that is looked at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest
from tests.contract.databases import dsql_connections
from tests.contract.dsql_rules import Conflicts
from tests.contract.postgresql import server_url

from infinity.errors import ConfigError, NewerStore, StoreError
from infinity.stores.postgres import schema
from infinity.stores.postgres.opening import migrate, open_store, store_on
from infinity.stores.postgres.platform import DSQL


@pytest.fixture
async def empty() -> str:
    """The URL of an empty schema."""
    await _run(server_url(), "DROP SCHEMA IF EXISTS empty CASCADE; CREATE SCHEMA empty")
    return f"{server_url()}&search_path=empty"


async def _run(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(sql)
    await connection.close()


def test_the_linter_of_dsql_finds_nothing(tmp_path: Path) -> None:
    file = tmp_path / "schema.sql"
    file.write_text(";\n".join(schema.statements(DSQL)) + ";\n")
    linter = Path(sys.executable).with_name("dsql-lint")
    done = subprocess.run([linter, file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    file.write_text("CREATE TABLE x (a TEXT[]);")
    assert subprocess.run([linter, file], capture_output=True, check=False).returncode == 1


async def test_the_tables_are_made_on_dsql_and_a_second_time_changes_nothing(empty: str) -> None:
    for before in (0, schema.VERSION):
        opened = dsql_connections(empty, Conflicts(0.5))
        assert await schema.migrate(opened, DSQL, "db") == before
        await opened.close()
    assert await migrate(empty) == (schema.VERSION, schema.VERSION)
    await (await open_store(empty)).close()


async def test_a_database_without_tables_says_which_command_makes_them(empty: str) -> None:
    with pytest.raises(ConfigError, match="infinity daemon migrate --store"):
        await open_store(empty)


async def test_a_migration_that_was_broken_off_is_not_taken_for_a_finished_one(empty: str) -> None:
    await _run(empty, ";".join(schema.statements(DSQL)[:5]))
    with pytest.raises(ConfigError, match=r"not all made.*infinity daemon migrate"):
        await open_store(empty)
    assert await migrate(empty) == (0, schema.VERSION)
    await (await open_store(empty)).close()


async def test_tables_of_a_newer_version_are_refused_and_left_alone(empty: str) -> None:
    await migrate(empty)
    await _run(empty, f"UPDATE infinity_schema SET version = {schema.VERSION + 1}")
    for use in (open_store, migrate):
        with pytest.raises(NewerStore, match="update this one"):
            await use(empty)


async def test_a_server_that_is_not_there_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be reached"):
        await open_store(f"postgresql://infinity@/postgres?host={tmp_path}")


async def test_a_store_that_cannot_be_used_keeps_no_connection(empty: str) -> None:
    opened = dsql_connections(empty, Conflicts(0))
    with pytest.raises(ConfigError):
        await store_on(opened, DSQL, "db")
    assert not opened._resting


@pytest.mark.parametrize(
    "sql",
    [
        "SAVEPOINT s",
        "LISTEN inbox",
        "CREATE TEMP TABLE x (a BIGINT)",
        "CREATE TABLE x (a TEXT[])",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "CREATE INDEX i ON meta (key)",
        "CREATE INDEX ASYNC i ON meta (key) WHERE key > 'a'",
        "SELECT 1 FROM meta FOR KEY SHARE",
    ],
)
async def test_the_stand_in_refuses_what_dsql_refuses(empty: str, sql: str) -> None:
    opened = dsql_connections(empty, Conflicts(0))
    async with opened.one() as connection:
        with pytest.raises(asyncpg.FeatureNotSupportedError):
            await connection.execute(sql)
    await opened.close()
