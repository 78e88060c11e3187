"""On PostgreSQL commits end in another order than they got their numbers in: nobody is shown one before those below it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.contract.databases import postgres
from tests.contract.threads import NOW, commit, create

from infinity.abc import AttentionRow
from infinity.stores.postgres import attention
from infinity.stores.postgres.log import CommitLog


async def test_a_commit_that_is_under_way_holds_back_those_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with postgres(tmp_path) as store:
        store.events_kept = 1_000
        slow, quick = await create(store, "slow"), await create(store, "quick")
        before = (await store.log()).newest
        written, go_on = asyncio.Event(), asyncio.Event()
        add = CommitLog.add

        async def held(self: CommitLog, connection: Any, **what: Any) -> None:
            await add(self, connection, **what)
            if what["family"][0].thread == "slow":
                written.set()
                await go_on.wait()

        monkeypatch.setattr(CommitLog, "add", held)
        for thread in (slow, quick):
            thread.note("status", b"{}")
        first = asyncio.create_task(commit(store, slow))
        await written.wait()
        await commit(store, quick)
        held_back = await store.log(before)
        go_on.set()
        await first
        assert held_back.rows == [] and held_back.newest == before
        assert [row.thread for row in (await store.log(before)).rows] == ["slow", "quick"]


async def test_who_needed_a_person_before_there_was_a_table_is_found(tmp_path: Path) -> None:
    async with postgres(tmp_path) as store:
        for id, pending in (("rests", False), ("goes on", True)):
            thread = await create(store, id)
            thread.set_pending(pending)
            thread.set_problem("limit: enough")
            await commit(store, thread, NOW + 5)

        async def empty(connection: Any, _: bool) -> None:
            await connection.execute("DELETE FROM attention")

        await store._transactions.write(empty)
        assert await store.attention() == []
        for _ in range(2):
            await attention.fill(store._transactions)
            assert await store.attention() == [AttentionRow("rests", "rests", "problem", NOW + 5)]
