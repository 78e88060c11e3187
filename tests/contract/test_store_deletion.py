"""A tree that is deleted for good, whatever the store is made of: nobody reaches it from the mark on, nothing of it stays but tombstones."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.contract.stores import Opened
from tests.contract.test_store_trees import grow, portrait
from tests.contract.threads import NOW, create, message

from infinity._core import Thread
from infinity.abc import Condemned, Expect, Status, Store, Tombstone
from infinity.errors import BadRequest, ThreadDeleted, UnknownThread
from infinity.stores.postgres import store as postgres_store

pytestmark = pytest.mark.trap("G7")

AT = NOW + 5_000


async def delete(store: Store, root: str) -> None:
    await store.mark_deleted(root, AT)
    while await store.erase(root):
        pass
    await store.compact()


async def test_a_marked_tree_is_reached_by_nobody(store: Store) -> None:
    await create(store, "other")
    thread = await grow(store)
    condemned = await store.mark_deleted("t", AT)
    assert sorted(condemned.threads) == [("t", True), ("t.child", True)]
    assert condemned.calls == [("t", "t-c")]
    for id in ("t", "t.child"):
        assert await store.accept(message(id, "late")) == (Status.DELETED, None)
        assert await store.thread(id) is None
        with pytest.raises(ThreadDeleted, match=id):
            await store.load(id)
    assert await store.accept(message("t", "t-c", "result"), Expect.CALL, "t-c") == (Status.DELETED, None)
    thread.note("too late", b"{}")
    with pytest.raises(ThreadDeleted):
        await store.commit(thread.delta(NOW))
    with pytest.raises(ThreadDeleted):
        await store.record_attempt("t", "internal", NOW)
    assert not await store.put_view("t", "diff", b"{}")
    assert [row.id for row in await store.threads()] == ["other"]
    assert await store.threads(root="t") == [] and await store.threads(parent="t") == []
    assert (await store.inbox(), await store.outbox(), await store.next_timer()) == ([], [], None)
    assert await store.fire_timers(NOW + 1_000) == [] and await store.prompts() == []
    # Two were queued, one came here; the other for the child counts here as well, until that has a tombstone of its own.
    assert await store.tombstone("t") == Tombstone("t", "t", AT, 5)
    assert await store.tombstone("other") is None
    assert await store.deletions() == ["t"]


async def test_a_deleted_tree_leaves_its_tombstones_and_others_are_as_they_were(store: Store) -> None:
    await grow(store, "other")
    before = await portrait(store, "other"), await store.counts()
    thread = await grow(store)
    await delete(store, "t")
    assert (await portrait(store, "other"), await store.counts()) == before
    assert (await store.spent("t"), await store.meta("catalog.t")) == ((0, 0), None)
    assert (await store.views("t"), await store.feed("t"), await store.entries("t")) == ([], [], [])
    assert await store.find_call("t-c") is None
    assert await store.deletions() == []
    for id in ("t", "t.child"):
        stone = await store.tombstone(id)
        assert stone is not None and (stone.root, stone.at) == ("t", AT)
        assert await store.accept(message(id, "m1")) == (Status.DELETED, None)
        again = await store.tombstone(id)
        assert again is not None and again.discarded == stone.discarded + 1
        with pytest.raises(ThreadDeleted):
            await store.load(id)
        with pytest.raises(ThreadDeleted):
            await store.commit(Thread.create(id, now=NOW, model="m").delta(NOW))
    with pytest.raises(ThreadDeleted):
        await store.commit(thread.delta(NOW))
    with pytest.raises(ThreadDeleted):
        await store.mark_deleted("t", AT)
    assert await store.counts() == before[1]


async def test_a_new_child_cannot_have_the_id_of_a_deleted_thread(store: Store) -> None:
    await create(store, "t")
    await delete(store, "t")
    other = await create(store, "other")
    other.fork("t", now=NOW, origin=b"{}", placeholder=b'[{"type":"text","text":"later"}]')
    with pytest.raises(ThreadDeleted):
        await store.commit(other.delta(NOW))
    assert (await store.counts())["threads"] == 1


async def test_only_a_whole_tree_can_be_deleted(store: Store) -> None:
    await grow(store)
    with pytest.raises(UnknownThread) as unknown:
        await store.mark_deleted("nobody", AT)
    assert not isinstance(unknown.value, ThreadDeleted)
    with pytest.raises(BadRequest, match="delete t"):
        await store.mark_deleted("t.child", AT)
    assert not await store.erase("t") and await store.thread("t") is not None
    assert await store.tombstone("t.child") is None


async def test_a_deletion_that_was_broken_off_goes_on_where_it_was(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_store, "_ROWS_AT_ONCE", 2)
    async with opened(tmp_path) as store:
        await grow(store)
        await store.mark_deleted("t", AT)
    for _ in range(3):
        async with opened(tmp_path) as store:
            assert await store.deletions() == ["t"]
            await store.erase("t")
    async with opened(tmp_path) as store:
        await store.mark_deleted("t", AT + 1)
        assert await store.accept(message("t.child", "late")) == (Status.DELETED, None)
        while await store.erase("t"):
            pass
        assert not await store.erase("t")
        if await store.deletions():
            assert await store.mark_deleted("t", AT) == Condemned([], [])
        await store.compact()
        assert await store.deletions() == []
        stones = [await store.tombstone(id) for id in ("t", "t.child")]
        assert [stone and stone.at for stone in stones] == [AT, AT]
        assert not any((await store.counts()).values())


async def test_a_deleted_tree_can_be_neither_retired_nor_exported_nor_imported(
    store: Store, tmp_path: Path
) -> None:
    await grow(store)
    await store.export_tree("t", str(tmp_path / "copy"))
    await store.mark_deleted("t", AT)
    with pytest.raises(ThreadDeleted):
        await store.retire_tree("t", "moved")
    with pytest.raises(UnknownThread):
        await store.export_tree("t", str(tmp_path / "again"))
    await store.unretire_tree("t")
    assert await store.deletions() == ["t"]
    with pytest.raises(ThreadDeleted):
        await store.import_tree(str(tmp_path / "copy"))
    await delete(store, "t")
    with pytest.raises(ThreadDeleted):
        await store.import_tree(str(tmp_path / "copy"))


async def test_closed_roots_are_listed_from_the_oldest_on(store: Store) -> None:
    for id, at in (("young", 30), ("old", 10), ("moved", 5), ("gone", 6), ("open", 1)):
        thread = await create(store, id)
        if id != "open":
            thread.close()
        await store.commit(thread.delta(NOW + at))
    await store.retire_tree("moved", "moved")
    await store.mark_deleted("gone", AT)
    assert await store.closed_roots() == [("old", NOW + 10), ("young", NOW + 30)]
    assert await store.closed_roots(1) == [("old", NOW + 10)]
