"""A message that another process accepts while its thread is deleted leaves nothing behind: it comes before the deletion, or is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from tests.contract.databases import database_url, dsql_connections
from tests.contract.dsql_rules import Conflicts
from tests.contract.threads import NOW, create, message

from infinity.abc import Accepted, Expect, Status
from infinity.stores.postgres import inbox
from infinity.stores.postgres.connections import Connections
from infinity.stores.postgres.opening import store_on
from infinity.stores.postgres.platform import DSQL, POSTGRESQL
from infinity.stores.postgres.store import PostgresStore

pytestmark = pytest.mark.trap("G7")

SETTINGS = dict(POSTGRESQL.settings)


@pytest.fixture
async def url(tmp_path: Path) -> str:
    return await database_url(tmp_path)


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    made = await store_on(
        Connections(lambda: asyncpg.connect(url, server_settings=SETTINGS)), POSTGRESQL, "the test database"
    )
    yield made
    await made.close()


@pytest.fixture
async def other(url: str) -> AsyncIterator[Any]:
    """A connection of another process."""
    made = await asyncpg.connect(url, server_settings=SETTINGS)
    yield made
    await made.close()


async def delete(store: PostgresStore) -> None:
    await store.mark_deleted("t", NOW)
    while await store.erase("t"):
        pass


async def accept(connection: Any) -> Accepted:
    return await inbox.accept(
        connection, message("t", "late"), Expect.ANY, None, keep_row=POSTGRESQL.keep_row
    )


async def left(connection: Any) -> int:
    sql = "SELECT (SELECT count(*) FROM inbox) + (SELECT count(*) FROM known)"
    return int(await connection.fetchval(sql))


async def test_a_deletion_waits_for_a_message_that_came_before_it(
    store: PostgresStore, other: Any, url: str
) -> None:
    await create(store)
    watcher = await asyncpg.connect(url)
    slow = other.transaction()
    await slow.start()
    assert (await accept(other)).status is Status.ACCEPTED
    deleting = asyncio.create_task(delete(store))
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"
    while not deleting.done() and not await watcher.fetchval(waits):
        await asyncio.sleep(0.005)
    await slow.commit()
    await deleting
    assert await left(watcher) == 0
    await watcher.close()


async def test_a_message_that_comes_after_all_begins_anew_and_is_refused(
    store: PostgresStore, other: Any
) -> None:
    await create(store)
    slow = other.transaction()
    await slow.start()
    assert await other.fetchval("SELECT count(*) FROM tombstones") == 0, "it sees the time before"
    await delete(store)
    with pytest.raises(asyncpg.SerializationError):
        await accept(other)
    await slow.rollback()
    assert (await accept(other)).status is Status.DELETED
    assert await left(other) == 0


async def test_without_such_a_lock_the_message_is_taken_back(
    store: PostgresStore, other: Any, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Aurora DSQL: the transaction becomes durable, and the tombstone is found afterwards."""
    await create(store)
    accepting = await store_on(dsql_connections(url, Conflicts(0)), DSQL, "the test database")
    told = inbox.accept

    async def overtaken(*arguments: Any) -> Accepted:
        accepted = await told(*arguments)
        await delete(store)
        return accepted

    monkeypatch.setattr(inbox, "accept", overtaken)
    assert await accepting.accept(message("t", "late")) == (Status.DELETED, None)
    assert await left(other) == 0
    stone = await store.tombstone("t")
    assert stone is not None and stone.discarded == 1
    await accepting.close()
