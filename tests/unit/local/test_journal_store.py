"""Tickets and futures: a caller that goes away loses nothing and disturbs nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from tests.contract.threads import NOW, create, message
from tests.patience import PATIENCE as SOON

from infinity._core import CoreError, Journal, Message, Wake
from infinity.errors import DamagedStore, NewerStore, Stopped, StoreLocked, from_core
from infinity.stores.sqlite.store import JournalStore
from infinity.stores.sqlite.wakeup import Wakeup


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[JournalStore]:
    wakeup = Wakeup(Wake())
    made = JournalStore(Journal.open(str(tmp_path / "infinity.db"), wakeup.wake), wakeup)
    wakeup.start()
    yield made
    await made.close()
    wakeup.stop()


async def test_cancelled_calls_never_cross_their_outcomes(store: JournalStore) -> None:
    await create(store)
    for number in range(20):
        await store.put_meta(f"k{number}", str(number).encode())
    tasks = [asyncio.create_task(store.meta(f"k{number % 20}")) for number in range(200)]
    await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()
    outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), SOON)
    for number, outcome in enumerate(outcomes):
        if not isinstance(outcome, asyncio.CancelledError):
            assert outcome == str(number % 20).encode()
    assert await store.meta("k7") == b"7"


@pytest.mark.trap("L1")
async def test_a_message_whose_sender_went_away_still_reaches_a_mailbox(store: JournalStore) -> None:
    await create(store)
    orphans: asyncio.Queue[Sequence[Message]] = asyncio.Queue()
    store.orphaned = orphans.put_nowait
    task = asyncio.create_task(store.accept(message("t", "m")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [orphan] = await asyncio.wait_for(orphans.get(), SOON)
    assert (orphan.thread, orphan.id) == ("t", "m") and orphan.seq > 0
    assert [item.id for item in await store.inbox()] == ["m"]


async def test_messages_of_a_commit_whose_slice_was_abandoned_still_reach_a_mailbox(
    store: JournalStore,
) -> None:
    thread = await create(store)
    await create(store, "friend")
    orphans: asyncio.Queue[Sequence[Message]] = asyncio.Queue()
    store.orphaned = orphans.put_nowait
    thread.send("friend", "note", "parent", b"{}")
    task = asyncio.create_task(store.commit(thread.delta(NOW)))
    await asyncio.sleep(0)
    task.cancel()
    [orphan] = await asyncio.wait_for(orphans.get(), SOON)
    assert orphan.id == "note"


async def test_messages_of_an_import_that_was_abandoned_still_reach_a_mailbox(
    store: JournalStore, tmp_path: Path
) -> None:
    await create(store)
    await store.accept(message("t", "m"))
    await store.export_tree("t", str(tmp_path / "tree"))
    await store.delete_tree("t")
    orphans: asyncio.Queue[Sequence[Message]] = asyncio.Queue()
    store.orphaned = orphans.put_nowait
    task = asyncio.create_task(store.import_tree(str(tmp_path / "tree")))
    await asyncio.sleep(0)
    task.cancel()
    [orphan] = await asyncio.wait_for(orphans.get(), SOON)
    assert orphan.id == "m"


async def test_a_closed_store_says_so(store: JournalStore) -> None:
    await store.close()
    with pytest.raises(Stopped, match="closed"):
        await store.meta("key")
    await store.close()


async def test_what_was_submitted_before_closing_is_durable(store: JournalStore, tmp_path: Path) -> None:
    writes = [asyncio.create_task(store.put_meta(f"k{number}", b"x")) for number in range(50)]
    await asyncio.sleep(0)
    await store.close()
    outcomes = await asyncio.wait_for(asyncio.gather(*writes, return_exceptions=True), SOON)
    assert outcomes == [None] * 50
    wakeup = Wakeup(Wake())
    again = JournalStore(Journal.open(str(tmp_path / "infinity.db"), wakeup.wake), wakeup)
    wakeup.start()
    assert await again.meta("k49") == b"x"
    await again.close()
    wakeup.stop()


def _open(path: Path) -> None:
    try:
        Journal.open(str(path), Wake()).close()
    except CoreError as error:
        raise from_core(error) from None


@pytest.mark.trap("L16")
def test_a_damaged_database_refuses_to_open(tmp_path: Path) -> None:
    path = tmp_path / "infinity.db"
    _open(path)
    data = bytearray(path.read_bytes())
    data[0:16] = b"not a database!!"
    path.write_bytes(data)
    with pytest.raises(DamagedStore, match=r"infinity\.db"):
        _open(path)


def test_a_database_of_a_newer_version_refuses_to_open(tmp_path: Path) -> None:
    path = tmp_path / "infinity.db"
    _open(path)
    data = bytearray(path.read_bytes())
    data[60:64] = (99).to_bytes(4, "big")  # SQLite keeps the user version here
    path.write_bytes(data)
    with pytest.raises(NewerStore):
        _open(path)


@pytest.mark.trap("B7")
def test_a_second_owner_of_a_database_is_refused(tmp_path: Path) -> None:
    held = Journal.open(str(tmp_path / "infinity.db"), Wake())
    with pytest.raises(StoreLocked):
        _open(tmp_path / "infinity.db")
    held.close()
