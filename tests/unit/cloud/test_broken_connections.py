"""A connection that breaks right after a COMMIT: what happened has happened once, and those who wait hear of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest
from tests.contract.databases import database_url, store_with
from tests.contract.dsql_rules import Conflicts, DsqlConnection
from tests.contract.threads import NOW, call, commit, create, message

from infinity.abc import Expect, Status
from infinity.stores.postgres.store import PostgresStore


class Breaking(DsqlConnection):
    """Armed: the next COMMIT is carried out, but nobody is told."""

    armed = False

    async def execute(self, sql: str, *arguments: object) -> str:
        tag = await super().execute(sql, *arguments)
        if sql == "COMMIT" and Breaking.armed:
            Breaking.armed = False
            self.terminate()
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
        return tag


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[PostgresStore]:
    made = await store_with(await database_url(tmp_path), Conflicts(0), Breaking)
    yield made
    await made.close()
    assert not Breaking.armed


@pytest.mark.trap("L1")
async def test_a_message_is_accepted_once_and_its_sender_can_put_it_into_a_mailbox(
    store: PostgresStore,
) -> None:
    await create(store)
    Breaking.armed = True
    accepted = await store.accept(message("t", "m"))
    assert accepted.status is Status.ACCEPTED and accepted.message is not None
    assert [item.seq for item in await store.inbox()] == [accepted.message.seq]
    assert (await store.accept(message("t", "m"))).status is Status.DUPLICATE


@pytest.mark.trap("R4")
async def test_a_commit_is_no_conflict_with_itself_and_tells_what_it_sent(store: PostgresStore) -> None:
    thread = await create(store)
    await create(store, "friend")
    thread.send("friend", "greeting", "parent", b"{}")
    Breaking.armed = True
    assert [item.id for item in await commit(store, thread)] == ["greeting"]
    assert len(await store.inbox()) == 1
    row = await store.thread("t")
    assert row is not None and row.version == thread.version


@pytest.mark.trap("L14")
async def test_timers_that_fired_are_told(store: PostgresStore) -> None:
    thread = await create(store)
    thread.set_timer("soon", NOW, "timer", b"{}")
    await commit(store, thread)
    Breaking.armed = True
    assert [item.id for item in await store.fire_timers(NOW)] == ["soon"]
    assert len(await store.inbox()) == 1


async def test_a_failed_delivery_is_told_to_its_thread(store: PostgresStore) -> None:
    thread = await create(store)
    call(thread, "c")
    thread.plan_outbox("invoke.c", "invoke", "http://tool", b"{}", "c")
    await commit(store, thread)
    Breaking.armed = True
    told = await store.outbox_done("invoke.c", None, message("t", "c", "result"))
    assert told is not None and told.status is Status.ACCEPTED
    again = await store.accept(message("t", "c", "result"), Expect.CALL, "c")
    assert again.status is Status.DUPLICATE and len(await store.inbox()) == 1
