"""Whole trees in every ``abc.Store``: retired, deleted, exported, imported."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.contract.stores import Opened
from tests.contract.threads import NOW, blocks, call, commit, create, message

from infinity._core import Thread
from infinity.abc import Expect, Imported, Status, Store
from infinity.errors import BadRequest, Conflict, DamagedStore, UnknownThread

# -- whole trees


async def grow(store: Store, root: str = "t") -> Thread:
    """A tree of two threads that has something of everything."""
    thread = await create(store, root)
    child = thread.fork(f"{root}.child", now=NOW, origin=b"{}", placeholder=blocks("later"))
    child.add_user(blocks("your part"), now=NOW)
    call(thread, f"{root}-c", usage=(1, 2, 3, 4), cost=9)
    thread.plan_outbox(f"invoke.{root}-c", "invoke", "http://tool", b"{}", f"{root}-c")
    thread.set_timer("soon", NOW + 10, "timer", b"{}")
    thread.open_prompt("p", "choice", b"{}")
    thread.note("status", b'{"status":"busy"}')
    await commit(store, thread)
    accepted = await store.accept(message(root, "consumed"))
    assert accepted.message is not None
    thread.consume(accepted.message)
    await commit(store, thread)
    await store.accept(message(root, "m1", body={"n": 1}))
    await store.accept(message(f"{root}.child", "m2"))
    await store.put_view(root, "diff", b'{"n":1}')
    await store.put_meta(f"catalog.{root}", b"d1")
    await store.put_meta("definitions.d1", b"[]")
    return thread


async def portrait(store: Store, root: str = "t") -> list[object]:
    """What a store tells of a tree; the objects that differ from store to store by their contents."""
    told: list[object] = [await store.spent(root), await store.meta(f"catalog.{root}")]
    for id in (root, f"{root}.child"):
        snapshot = await store.load(id, -1, ["consumed"])
        assert snapshot is not None
        loaded = Thread.load(snapshot)
        told += [loaded.version, loaded.position, loaded.seen("consumed"), await store.thread(id)]
        told += [await store.entries(id), await store.feed(id), await store.views(id)]
        told += [await store.prompts(id), await store.timers(id), await store.discards(id)]
        told += [(each.id, each.arguments, state) for each, state in await store.calls(id, False)]
    told += [(item.thread, item.id, item.body, item.accepted_at) for item in await store.inbox()]
    told += await store.outbox()
    return told


async def test_a_retired_tree_refuses_what_is_new_and_keeps_what_it_has(store: Store) -> None:
    thread = await grow(store)
    before = await portrait(store)
    assert await store.retired("t") is None
    await store.retire_tree("t", "moved to the cloud")
    assert await store.retired("t") == "moved to the cloud"
    for id in ("t", "t.child"):
        assert await store.accept(message(id, "late")) == (Status.MOVED, None)
    assert await store.accept(message("t", "m1")) == (Status.MOVED, None)
    assert await store.accept(message("t", "t-c", "result"), Expect.CALL, "t-c") == (Status.MOVED, None)
    thread.note("too late", b"{}")
    with pytest.raises(Conflict):
        await store.commit(thread.delta(NOW))
    assert (await store.inbox(), await store.outbox(), await store.next_timer()) == ([], [], None)
    assert await store.fire_timers(NOW + 1_000) == []
    assert not await store.put_view("t", "diff", b"{}")
    await create(store, "other")
    assert (await store.accept(message("other", "m"))).status is Status.ACCEPTED
    await store.delete_tree("other")
    await store.unretire_tree("t")
    assert await store.retired("t") is None
    assert await portrait(store) == before
    await commit(store, thread)
    assert [item.id for item in await store.fire_timers(NOW + 1_000)] == ["soon"]


async def test_what_is_no_tree_can_be_neither_retired_nor_exported(store: Store, tmp_path: Path) -> None:
    await grow(store)
    for root in ("nobody", "t.child"):
        with pytest.raises(UnknownThread):
            await store.retire_tree(root, "?")
        with pytest.raises(UnknownThread):
            await store.export_tree(root, str(tmp_path / "tree"))
        assert await store.delete_tree(root) == 0
    assert not (tmp_path / "tree").exists()


async def test_a_deleted_tree_is_gone_and_others_are_not(store: Store) -> None:
    await grow(store, "other")
    before = await portrait(store, "other"), await store.counts()
    thread = await grow(store)
    await store.retire_tree("t", "moved")
    assert await store.delete_tree("t") == 2
    assert (await portrait(store, "other"), await store.counts()) == before
    assert await store.thread("t") is None and await store.thread("t.child") is None
    assert (await store.retired("t"), await store.spent("t"), await store.meta("catalog.t")) == (
        None,
        (0, 0),
        None,
    )
    assert await store.accept(message("t", "m")) == (Status.UNKNOWN_THREAD, None)
    with pytest.raises(UnknownThread):
        await store.load("t")
    thread.note("too late", b"{}")
    with pytest.raises(Conflict):
        await store.commit(thread.delta(NOW))
    await grow(store)


async def test_an_exported_tree_arrives_in_another_store_as_it_was(
    store: Store, opened: Opened, tmp_path: Path
) -> None:
    await grow(store)
    before = await portrait(store)
    await store.retire_tree("t", "on its way")
    path = tmp_path / "tree.infinity"
    assert await store.export_tree("t", str(path)) == 2
    (tmp_path / "elsewhere").mkdir()
    async with opened(tmp_path / "elsewhere") as other:
        await create(other, "resident")
        taken = (await other.accept(message("resident", "m"))).message
        assert taken is not None
        imported = await other.import_tree(str(path))
        assert (imported.root, imported.outbox, imported.next_timer) == ("t", 1, NOW + 10)
        assert [(item.thread, item.id) for item in imported.messages] == [("t", "m1"), ("t.child", "m2")]
        assert taken.seq < imported.messages[0].seq < imported.messages[1].seq
        inbox = [(item.id, item.seq) for item in await other.inbox()]
        assert inbox[1:] == [(item.id, item.seq) for item in imported.messages]
        assert await other.delete_tree("resident") == 1
        assert await portrait(other) == before
        assert await other.accept(message("t", "consumed")) == (Status.DUPLICATE, None)
        with pytest.raises(Conflict):
            await other.import_tree(str(path))
        assert await portrait(other) == before


async def test_a_tree_that_is_to_rest_arrives_out_of_service_by_one_operation(
    store: Store, opened: Opened, tmp_path: Path
) -> None:
    await grow(store)
    before = await portrait(store)
    path = str(tmp_path / "tree.infinity")
    await store.export_tree("t", path)
    (tmp_path / "elsewhere").mkdir()
    async with opened(tmp_path / "elsewhere") as other:
        with pytest.raises(BadRequest, match="the file holds the conversation t, not u"):
            await other.import_tree(path, expected="u", resting="on its way")
        assert not any((await other.counts()).values())
        arriving = asyncio.create_task(other.import_tree(path, expected="t", resting="on its way"))
        seen: set[str] = set()
        while not arriving.done():
            seen.add((await other.accept(message("t", f"early-{len(seen)}"))).status)
        assert await arriving == Imported("t", [], 0, None, replaced=False, copy=True)
        assert seen <= {Status.UNKNOWN_THREAD, Status.MOVED}
        assert await other.retired("t") == "on its way"
        assert (await other.inbox(), await other.outbox(), await other.next_timer()) == ([], [], None)
        await other.unretire_tree("t")
        assert await portrait(other) == before


async def test_an_export_never_overwrites_and_a_file_that_is_none_changes_nothing(
    store: Store, tmp_path: Path
) -> None:
    await grow(store)
    path = tmp_path / "precious"
    path.write_bytes(b"data " * 2_000)
    with pytest.raises(Conflict, match="precious"):
        await store.export_tree("t", str(path))
    assert path.read_bytes() == b"data " * 2_000
    before = await portrait(store), await store.counts()
    with pytest.raises(DamagedStore, match=r"precious.*export the tree again"):
        await store.import_tree(str(path))
    assert (await portrait(store), await store.counts()) == before
    whole = tmp_path / "tree"
    await store.export_tree("t", str(whole))
    whole.write_bytes(whole.read_bytes()[:-4096])
    await store.delete_tree("t")
    with pytest.raises(DamagedStore):
        await store.import_tree(str(whole))
    assert await store.thread("t") is None and not any((await store.counts()).values())
