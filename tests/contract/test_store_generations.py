"""Which copy of a tree is the newer one: a file that comes back takes the place of what left, and of nothing else (I8)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contract.stores import Opened
from tests.contract.test_store_trees import grow, portrait
from tests.contract.threads import NOW, commit, create, message, snapshot

from infinity._core import Thread
from infinity.abc import Generation, Status, Store
from infinity.errors import Conflict, DamagedStore, InfinityError, ThreadDeleted

EXPORTED = "it was exported to a file"
marks = iter(bytes([number, *bytes(7)]) for number in range(256))


@pytest.fixture
async def other(opened: Opened, tmp_path: Path) -> AsyncIterator[Store]:
    (tmp_path / "other").mkdir()
    async with opened(tmp_path / "other") as store:
        yield store


async def leave(store: Store, file: Path, root: str = "t") -> Path:
    """As ``infinity export`` does."""
    await store.retire_tree(root, EXPORTED, next(marks))
    await store.export_tree(root, str(file))
    return file


async def go_on(store: Store, words: str) -> None:
    for id in ("t", "t.child"):
        thread = Thread.load(await snapshot(store, id))
        thread.note("status", b'{"status":"%s"}' % words.encode())
        await commit(store, thread)
    accepted = await store.accept(message("t", words))
    assert accepted.status is Status.ACCEPTED


async def refused(store: Store, file: Path, words: str, error: type[InfinityError] = Conflict) -> None:
    """The import changes nothing."""
    before = await everything(store)
    with pytest.raises(error, match=words):
        await store.import_tree(str(file))
    assert await everything(store) == before


async def everything(store: Store) -> object:
    there = await store.thread("t") is not None
    tree = await portrait(store) if there else None
    return tree, await store.counts(), await store.retired("t"), await store.generation("t")


async def test_a_tree_comes_back_by_file_with_all_that_happened_elsewhere(
    store: Store, other: Store, tmp_path: Path
) -> None:
    await grow(store)
    await grow(other, "resident")
    assert await store.generation("t") == Generation(0, departed=False)
    await leave(store, tmp_path / "out")
    assert await store.generation("t") == Generation(1, departed=True)
    arrived = await other.import_tree(str(tmp_path / "out"))
    assert (arrived.replaced, arrived.copy) == (False, False)
    assert await other.generation("t") == Generation(1, departed=False)
    await go_on(other, "elsewhere")
    await leave(other, tmp_path / "back")
    await other.unretire_tree("t")
    await other.delete_tree("resident")
    there = await portrait(other)
    await create(store, "neighbour")
    neighbours = await store.entries("neighbour"), (await store.counts())["threads"]
    back = await store.import_tree(str(tmp_path / "back"), expected="t", resting="its tools are fetched")
    assert (back.replaced, back.copy, back.messages) == (True, False, [])
    assert await store.retired("t") == "its tools are fetched"
    assert await store.generation("t") == Generation(2, departed=False), "it is here, and has not left"
    await store.unretire_tree("t")
    assert await portrait(store) == await portrait(other) == there
    assert (await store.entries("neighbour"), (await store.counts())["threads"]) == neighbours
    assert await store.accept(message("t", "elsewhere")) == (Status.DUPLICATE, None)
    # And once more the other way: what left from there is older than what comes.
    await go_on(store, "at home")
    await leave(store, tmp_path / "again")
    await other.retire_tree("t", EXPORTED, next(marks))
    await refused(other, tmp_path / "again", "have parted")


async def test_the_file_that_left_comes_back_as_it_left(store: Store, tmp_path: Path) -> None:
    await grow(store)
    before = await portrait(store)
    await leave(store, tmp_path / "out")
    assert (await store.import_tree(str(tmp_path / "out"))).replaced
    assert await portrait(store) == before and await store.generation("t") == Generation(1, departed=False)
    await refused(store, tmp_path / "out", "is here already; nothing was imported")


async def test_what_left_before_it_was_taken_back_is_older_for_good(
    store: Store, other: Store, tmp_path: Path
) -> None:
    await grow(store)
    out = await leave(store, tmp_path / "out")
    await store.unretire_tree("t", next(marks))
    assert await store.generation("t") == Generation(2, departed=False)
    await refused(store, out, "is here already")
    await go_on(store, "on")
    newer = await leave(store, tmp_path / "newer")
    await refused(store, out, "the file is older .*generation 1, here 3.*export t --undo")
    await other.import_tree(str(newer))
    await other.retire_tree("t", EXPORTED, next(marks))
    await refused(other, out, "the file is older .*generation 1, here 4")


async def test_copies_that_went_on_without_each_other_do_not_replace_each_other(
    store: Store, other: Store, tmp_path: Path
) -> None:
    await grow(store)
    await store.export_tree("t", str(tmp_path / "copy"))
    assert (await other.import_tree(str(tmp_path / "copy"))).copy, "it is in service where it was"
    for number in range(3):
        await go_on(other, f"there {number}")
        await leave(other, tmp_path / f"there-{number}")
        await other.unretire_tree("t", next(marks))
    await go_on(store, "here")
    await leave(store, tmp_path / "here")
    there = tmp_path / "there-2"
    await refused(store, there, "have parted.*generation 5, here 1.*export t --undo.*another home")
    await other.retire_tree("t", EXPORTED, next(marks))
    await refused(other, tmp_path / "here", "the file is older")


async def test_a_home_that_a_tree_has_moved_from_takes_only_what_is_newer(
    store: Store, other: Store, tmp_path: Path
) -> None:
    await grow(store)
    await store.export_tree("t", str(tmp_path / "copy"))
    await leave(store, tmp_path / "moved")
    await store.delete_tree("t")
    assert await store.generation("t") == Generation(1, departed=False)
    await refused(store, tmp_path / "copy", "the file is older.*It lives elsewhere")
    await other.import_tree(str(tmp_path / "moved"))
    await leave(other, tmp_path / "back")
    assert not (await store.import_tree(str(tmp_path / "back"))).replaced
    assert await store.generation("t") == Generation(2, departed=False)


async def test_what_rests_for_another_reason_is_not_replaced(store: Store, tmp_path: Path) -> None:
    await grow(store)
    await store.export_tree("t", str(tmp_path / "tree"))
    await store.retire_tree("t", "it arrives from another host")
    await refused(store, tmp_path / "tree", "is here already")


async def test_a_file_that_is_not_whole_leaves_what_rests_here(store: Store, tmp_path: Path) -> None:
    await grow(store)
    out = await leave(store, tmp_path / "out")
    out.write_bytes(out.read_bytes()[:-4096])
    await refused(store, out, "cannot be imported", DamagedStore)


async def test_a_tree_that_was_deleted_does_not_come_back(store: Store, other: Store, tmp_path: Path) -> None:
    await grow(store)
    await leave(store, tmp_path / "out")
    await other.import_tree(str(tmp_path / "out"))
    await leave(other, tmp_path / "back")
    await store.mark_deleted("t", NOW)
    await refused(store, tmp_path / "back", "was deleted", ThreadDeleted)
    while await store.erase("t"):
        pass
    await store.compact()
    assert await store.generation("t") == Generation(0, departed=False), "nothing of it stays but tombstones"
    await refused(store, tmp_path / "back", "was deleted", ThreadDeleted)


async def test_a_departure_said_twice_is_one(store: Store) -> None:
    await grow(store)
    mark = next(marks)
    for _ in range(2):
        await store.retire_tree("t", EXPORTED, mark)
    assert await store.generation("t") == Generation(1, departed=True)
    await store.unretire_tree("t", next(marks))
    await store.unretire_tree("t", next(marks))
    assert await store.generation("t") == Generation(2, departed=False), "it was in service already"
