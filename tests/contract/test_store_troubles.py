"""Threads that rest with a problem, the threads of a tree that live, and trees that are out of service: each by one look-up, however many others there are."""

from __future__ import annotations

from pathlib import Path

from tests.contract.threads import NOW, blocks, commit, create, snapshot

from infinity._core import Thread
from infinity.abc import Store


async def _loaded(store: Store, id: str) -> Thread:
    return Thread.load(await snapshot(store, id))


async def _troubled(store: Store, limit: int = 100) -> list[str]:
    """By pages."""
    found: list[str] = []
    after = ""
    while rows := await store.threads(troubled=True, after=after, limit=limit):
        found += [row.id for row in rows]
        after = f"{rows[-1].updated_at}:{rows[-1].id}"
    return found


async def test_threads_with_a_problem_are_listed_newest_first_until_it_is_gone(store: Store) -> None:
    for number, id in enumerate(("a", "b", "c", "d", "fine")):
        thread = await create(store, id)
        if id != "fine":
            thread.set_problem(f"limit: {id}")
            await commit(store, thread, NOW + number)
    assert await _troubled(store) == await _troubled(store, 1) == ["d", "c", "b", "a"]
    thread = await _loaded(store, "b")
    thread.set_problem(None)
    await commit(store, thread)
    thread = await _loaded(store, "c")
    thread.close()
    await commit(store, thread)
    assert await _troubled(store) == ["d", "a"]
    assert [row.id for row in await store.threads(root="a", troubled=True)] == ["a"]
    assert await store.threads(root="fine", troubled=True) == []
    await store.mark_deleted("d", NOW)
    assert await _troubled(store) == ["a"]


async def test_a_child_that_is_born_with_a_problem_is_listed(store: Store) -> None:
    thread = await create(store)
    child = thread.fork("t.1", now=NOW, origin=b"{}", placeholder=blocks("later"))
    child.set_problem("limit: at once")
    await commit(store, thread)
    assert await _troubled(store) == ["t.1"]


async def test_a_thread_keeps_its_problem_on_its_way_through_a_file(store: Store, tmp_path: Path) -> None:
    thread = await create(store)
    fine = thread.fork("t.1", now=NOW, origin=b"{}", placeholder=blocks("later"))
    fine.add_user(blocks("go"), now=NOW)
    thread.set_problem("limit: it stops here")
    await commit(store, thread)
    file = str(tmp_path / "tree")
    await store.export_tree("t", file)
    await store.delete_tree("t")
    assert await _troubled(store) == []
    await store.import_tree(file)
    assert await _troubled(store) == ["t"]
    assert await store.living("t") == 1


async def test_living_threads_of_a_tree_are_counted_at_any_depth(store: Store) -> None:
    thread = await create(store)
    assert await store.living("t") == 0
    for number in range(3):
        child = thread.fork(f"t.{number}", now=NOW, origin=b"{}", placeholder=blocks("later"))
        child.add_user(blocks("go"), now=NOW)
        if number == 0:
            child.close()
    await commit(store, thread)
    child = await _loaded(store, "t.1")
    grandchild = child.fork("t.1.1", now=NOW, origin=b"{}", placeholder=blocks("later"))
    grandchild.add_user(blocks("go"), now=NOW)
    await commit(store, child)
    await create(store, "another")
    assert (await store.living("t"), await store.living("another"), await store.living("t.1")) == (3, 0, 0)
    grandchild = await _loaded(store, "t.1.1")
    grandchild.close()
    await commit(store, grandchild)
    assert await store.living("t") == 2


async def test_the_notes_of_several_trees_are_read_at_once(store: Store) -> None:
    for id in ("a", "b", "c"):
        await create(store, id)
    await store.retire_tree("b", "lives elsewhere")
    assert await store.out_of_service(["a", "b", "c", "nobody"]) == {"b": "lives elsewhere"}
    assert await store.out_of_service(["a"]) == {} == await store.out_of_service([])
    await store.unretire_tree("b")
    assert await store.out_of_service(["b"]) == {}
