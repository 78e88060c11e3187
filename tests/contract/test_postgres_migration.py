"""Tables that an earlier version made are brought up to date, and hold what they held.

``frozen/`` has the tables and rows of each version as SQL, written by that version and never changed.
"""

from __future__ import annotations

from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest
from tests.contract.databases import dsql_connections, store_with
from tests.contract.dsql_rules import Conflicts
from tests.contract.postgresql import server_url
from tests.contract.threads import answer, commit, snapshot

from infinity._core import Thread
from infinity.errors import ConfigError
from infinity.stores.postgres import schema
from infinity.stores.postgres.opening import migrate, open_store
from infinity.stores.postgres.platform import DSQL

FROZEN = Path(__file__).parent / "frozen"


@pytest.fixture
async def old() -> str:
    """The URL of tables of version 1."""
    await _run(server_url(), "DROP SCHEMA IF EXISTS old CASCADE; CREATE SCHEMA old")
    url = f"{server_url()}&search_path=old"
    await _run(url, (FROZEN / "tables-1.sql").read_text())
    return url


async def _run(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(sql)
    await connection.close()


async def _definitions(url: str) -> set[tuple[str, ...]]:
    connection = await asyncpg.connect(url)
    sql = """SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = current_schema()
             UNION SELECT tablename, indexname, '' FROM pg_indexes WHERE schemaname = current_schema()"""
    rows = await connection.fetch(sql)
    await connection.close()
    return {tuple(row) for row in rows}


def test_the_first_step_is_what_the_first_version_made() -> None:
    frozen = (FROZEN / "tables-1.sql").read_text().splitlines()
    made = [" ".join(statement.split()) + ";" for statement in schema.statements(DSQL)]
    first = len(schema.STEPS[0].tables) + len(schema.STEPS[0].indexes) + 1
    assert [line.replace("CREATE INDEX", DSQL.index) for line in frozen[1 : first + 1]] == made[:first]


async def test_old_tables_are_not_used_before_they_are_brought_up_to_date(old: str) -> None:
    with pytest.raises(ConfigError, match=rf"version 1, not {schema.VERSION}.*infinity daemon migrate"):
        await open_store(old)


async def test_tables_of_version_1_become_those_of_this_version(old: str) -> None:
    await _run(server_url(), "DROP SCHEMA IF EXISTS fresh CASCADE; CREATE SCHEMA fresh")
    fresh = f"{server_url()}&search_path=fresh"
    await migrate(fresh)
    assert await migrate(old) == (1, schema.VERSION)
    assert await _definitions(old) == await _definitions(fresh)


@pytest.mark.parametrize("done", range(len(schema.statements(DSQL, 1)) + 1))
async def test_a_migration_that_was_broken_off_is_taken_up_again(old: str, done: int) -> None:
    opened = dsql_connections(old, Conflicts(0.5))
    for statement in schema.statements(DSQL, 1)[:done]:
        async with opened.one() as connection:
            await connection.execute(statement)
    assert await schema.migrate(opened, DSQL, "db") == 1
    await opened.close()
    await (await open_store(old)).close()


async def test_what_a_database_of_version_1_held_is_there_and_goes_on(old: str) -> None:
    await migrate(old)
    store = await store_with(old, Conflicts(0))
    try:
        assert [row.id for row in await store.threads()] == ["root.child", "root"]
        assert [(row.thread, row.id) for row in await store.prompts(root="root")] == [
            ("root", "choice.asked"),
            ("root.child", "consent.other"),
        ]
        assert [item.id for item in await store.inbox()] == ["start.root.child", "queued", "event"]
        assert [row.key for row in await store.outbox()] == ["choice.m9", "invoke.open"]
        assert [(row.thread, row.reason) for row in await store.attention()] == [
            ("root", "prompt"),
            ("root.child", "prompt"),
        ]
        # What version 1 did not say is to be looked at until the thread's next commit.
        assert [row.id for row in await store.threads(troubled=True)] == ["root.child", "root"]
        assert await store.living("root") == 1
        assert await store.spent("root") == (14, 70) and await store.open_children("root") == 1
        assert [(id, reason) for id, reason, _ in await store.discards("root")] == [("dropped", "dropped")]
        thread = Thread.load(await snapshot(store, "root", ["applied"]))
        assert thread.seen("applied") and thread.attempts == 0
        assert [found.id for found in thread.subscriptions()] == ["watched"]
        for call in thread.calls():
            answer(thread, call.id)
        await commit(store, thread)
        assert [row.id for row in await store.threads(troubled=True)] == ["root.child"]
        assert await store.outbox() == [] and await store.timers() == []
        assert [row.id for row in await store.prompts()] == ["consent.other"]
        # Queued by a process that said nothing about its end.
        assert await store.begin(0) == 2
    finally:
        await store.close()
