"""What the store on PostgreSQL does beyond the contract: its limits, large trees, callers that leave, odd characters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest
from tests.contract.databases import database_url, store_with
from tests.contract.dsql_rules import Conflicts
from tests.contract.threads import NOW, blocks, commit, create, message
from tests.patience import PATIENCE

from infinity._core import Message
from infinity.abc import INCOMPLETE, Status
from infinity.errors import Conflict, LimitReached, Stopped, StoreError
from infinity.stores.postgres import portable
from infinity.stores.postgres.store import PostgresStore

LARGE = 3_200


@pytest.fixture
async def url(tmp_path: Path) -> str:
    return await database_url(tmp_path)


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    made = await store_with(url, Conflicts(0))
    yield made
    await made.close()


async def test_a_commit_of_more_rows_than_a_transaction_takes_is_refused_whole(store: PostgresStore) -> None:
    thread = await create(store)
    for number in range(LARGE):
        thread.note("status", b"%d" % number)
    with pytest.raises(LimitReached, match=r"3203 rows.*takes 3000.*Nothing was written"):
        await store.commit(thread.delta(NOW))
    row = await store.thread("t")
    assert row is not None and row.version == 1


async def test_a_record_of_more_bytes_than_a_column_takes_is_refused(store: PostgresStore) -> None:
    thread = await create(store)
    thread.add_user(blocks("x" * (1 << 20)), now=NOW)
    with pytest.raises(LimitReached, match="in one piece"):
        await store.commit(thread.delta(NOW))
    with pytest.raises(LimitReached, match="in one piece"):
        await store.accept(message("t", "m", body={"text": "x" * (1 << 20)}))
    assert (await store.counts())["inbox"] == 0


async def _large(store: PostgresStore) -> None:
    thread = await create(store)
    for _ in range(2):
        for _ in range(LARGE // 2):
            thread.note("status", b"{}")
        await commit(store, thread)
    await store.accept(message("t", "m"))


async def test_a_tree_of_more_rows_than_a_transaction_takes_is_moved_and_deleted(
    store: PostgresStore, tmp_path: Path
) -> None:
    await _large(store)
    path = str(tmp_path / "tree")
    await store.export_tree("t", path)
    before = await store.feed("t", limit=10_000)
    assert await store.delete_tree("t") == 1
    assert not any((await store.counts()).values())
    imported = await store.import_tree(path)
    assert [item.id for item in imported.messages] == ["m"]
    assert await store.feed("t", limit=10_000) == before
    assert await store.retired("t") is None
    await store.delete_tree("t")
    imported = await store.import_tree(path, expected="t", resting="on its way")
    assert (imported.messages, await store.retired("t")) == ([], "on its way")


@pytest.mark.trap("L13")
async def test_an_import_in_parts_that_fails_leaves_nothing(
    store: PostgresStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _large(store)
    path = str(tmp_path / "tree")
    await store.export_tree("t", path)
    await store.delete_tree("t")

    async def full(*_: object) -> None:
        assert await store.accept(message("t", "early")) == (Status.MOVED, None), "not in service yet"
        assert await store.retired("t") == INCOMPLETE, "nor taken for one that is complete and rests"
        raise asyncpg.DiskFullError("no space left")

    monkeypatch.setattr(portable, "_more", full)
    with pytest.raises(StoreError, match="no space left"):
        await store.import_tree(path, resting="on its way")
    assert not any((await store.counts()).values()) and await store.thread("t") is None


async def test_a_large_tree_that_comes_back_replaces_what_had_left(
    store: PostgresStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _large(store)
    out, back = str(tmp_path / "out"), str(tmp_path / "back")
    await store.retire_tree("t", "it was exported to a file", b"departed")
    await store.export_tree("t", out)
    before = await store.feed("t", limit=10_000)
    await store.unretire_tree("t", b"returned")
    with pytest.raises(Conflict, match="is here already"):
        await store.import_tree(out)
    await store.retire_tree("t", "it was exported to a file", b"leftmore")
    await store.export_tree("t", back)
    with pytest.raises(Conflict, match="older"):
        await store.import_tree(out)
    assert await store.retired("t") == "it was exported to a file", "an older file takes nothing away"
    assert (await store.import_tree(back)).replaced
    assert (await store.retired("t"), await store.feed("t", limit=10_000)) == (None, before)

    async def full(*_: object) -> None:
        raise asyncpg.DiskFullError("no space left")

    await store.retire_tree("t", "it was exported to a file", b"lastmark")
    await store.export_tree("t", str(tmp_path / "last"))
    with monkeypatch.context() as broken:
        broken.setattr(portable, "_more", full)
        with pytest.raises(StoreError, match="no space left"):
            await store.import_tree(str(tmp_path / "last"))
    # In parts it cannot be undone: the file has it, and is taken again.
    assert await store.thread("t") is None and (await store.generation("t")).number == 4
    await store.import_tree(str(tmp_path / "last"))
    assert (await store.retired("t"), await store.feed("t", limit=10_000)) == (None, before)


@pytest.mark.trap("R4")
async def test_a_commit_that_began_before_its_tree_was_retired_is_a_conflict_after(
    store: PostgresStore, url: str
) -> None:
    thread = await create(store)
    thread.note("status", b"{}")
    delta = thread.delta(NOW)
    other = await asyncpg.connect(url, server_settings={"default_transaction_isolation": "repeatable read"})
    slow = other.transaction()
    await slow.start()
    # The other process has looked, has found the tree in service, and is about to write.
    assert await other.fetchval("SELECT count(*) FROM retired") == 0
    await store.retire_tree("t", "moved")
    with pytest.raises(asyncpg.SerializationError):
        await other.execute("UPDATE threads SET version = 2 WHERE id = 't'")
    await other.close()
    with pytest.raises(Conflict, match="retired"):
        await store.commit(delta)


async def test_a_message_whose_sender_left_reaches_a_mailbox_all_the_same(store: PostgresStore) -> None:
    await create(store)
    found: asyncio.Queue[Sequence[Message]] = asyncio.Queue()
    store.orphaned = found.put_nowait
    sender = asyncio.create_task(store.accept(message("t", "m")))
    await asyncio.sleep(0)
    sender.cancel()
    [message_left] = await asyncio.wait_for(found.get(), PATIENCE)
    assert message_left.id == "m"
    assert sender.cancelled()


async def test_a_closed_store_has_finished_what_was_submitted_and_takes_nothing_more(
    store: PostgresStore, url: str
) -> None:
    await create(store)
    sender = asyncio.create_task(store.accept(message("t", "m")))
    await asyncio.sleep(0)
    await store.close()
    assert (await sender).status is Status.ACCEPTED
    with pytest.raises(Stopped):
        await store.inbox()
    again = await store_with(url, Conflicts(0))
    assert [item.id for item in await again.inbox()] == ["m"]
    await again.close()


async def test_ids_and_names_may_hold_any_character(store: PostgresStore) -> None:
    await create(store)
    odd = "\0 ' \\ \U0001f989 \N{COMBINING ACUTE ACCENT}"
    assert (await store.accept(message("t", odd))).status is Status.ACCEPTED
    assert [item.id for item in await store.inbox()] == [odd]
    assert await store.put_view("t", odd, b"\0")
    assert await store.views("t") == [(odd, b"\0")]
    assert (await store.accept(message(odd, "m"))).status is Status.UNKNOWN_THREAD
    assert await store.thread(odd) is None and await store.find_call(odd) is None
    assert await store.threads(parent=odd) == []
