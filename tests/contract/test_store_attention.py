"""Who needs a person: a row exactly while a thread asks something, or rests with a problem that nobody but a person ends; whatever way the thread takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.contract.threads import NOW, blocks, calling, commit, create, snapshot

from infinity._core import Thread
from infinity.abc import AttentionRow, Store
from infinity.console import console
from infinity.engine.children import OUTSIDE
from infinity.errors import Conflict


async def _loaded(store: Store, id: str) -> Thread:
    return Thread.load(await snapshot(store, id))


async def _needed(store: Store, root: str | None = None, limit: int = 100) -> list[tuple[str, str, int]]:
    """Thread, reason, and since when after the beginning; by pages."""
    found: list[AttentionRow] = []
    while rows := await store.attention(root=root, after=found[-1].place if found else None, limit=limit):
        found += rows
    return [(row.thread, row.reason, row.since - NOW) for row in found]


async def _parked(store: Store, id: str, now: int) -> Thread:
    thread = await create(store, id)
    thread.set_pending(False)
    thread.set_problem("limit: enough")
    await commit(store, thread, now)
    return thread


async def test_a_thread_that_asks_needs_a_person_until_its_last_prompt_is_closed(store: Store) -> None:
    thread = await calling(store, "t", "c")
    assert await _needed(store) == []
    thread.open_prompt("p1", "choice", b"{}")
    await commit(store, thread, NOW + 1)
    thread.open_prompt("p2", "oauth", b"{}")
    await commit(store, thread, NOW + 2)
    assert await _needed(store) == [("t", "prompt", 1)]
    thread.close_prompt("p1")
    await commit(store, thread, NOW + 3)
    assert await _needed(store) == [("t", "prompt", 1)]
    thread.close_prompt("p2")
    thread.close_prompt("never opened")
    await commit(store, thread, NOW + 4)
    assert await _needed(store) == []
    thread.open_prompt("p3", "choice", b"{}")
    await commit(store, thread, NOW + 5)
    thread.open_prompt("p4", "choice", b"{}")
    thread.close_prompt("p3")
    await commit(store, thread, NOW + 6)
    assert await _needed(store) == [("t", "prompt", 5)]


async def test_a_problem_needs_a_person_only_if_nothing_tries_again_by_itself(store: Store) -> None:
    thread = await create(store)
    thread.set_problem("overloaded: trying again")
    await commit(store, thread, NOW + 1)
    assert thread.pending and await _needed(store) == []
    thread.set_pending(False)
    thread.set_problem("limit: enough")
    await commit(store, thread, NOW + 2)
    thread.set_problem("limit: more than enough")
    await commit(store, thread, NOW + 3)
    assert await _needed(store) == [("t", "problem", 2)]
    thread.set_pending(True)
    await commit(store, thread, NOW + 4)
    assert await _needed(store) == []
    thread.set_stopped(True)
    await commit(store, thread, NOW + 5)
    assert await _needed(store) == [("t", "problem", 5)]
    thread.close()
    await commit(store, thread, NOW + 6)
    assert await _needed(store) == []


async def test_what_only_people_change_needs_one_although_it_is_tried_again(store: Store) -> None:
    thread = await create(store)
    for number, code in enumerate(sorted(OUTSIDE), start=1):
        thread.set_problem(f"{code}: and it is tried again")
        await commit(store, thread, NOW + number)
        assert thread.pending and await _needed(store) == [("t", "problem", 1)]
    thread.set_problem("model_unavailable: trying again")
    await commit(store, thread, NOW + 4)
    assert await _needed(store) == []


def test_the_console_calls_the_same_problems_stuck() -> None:
    found = re.search(r"OF_PEOPLE = /\^\(([a-z_|]+)\):/", console().assets["app/words.js"].body.decode())
    assert found is not None and set(found[1].split("|")) == OUTSIDE


async def test_those_who_have_waited_for_longest_come_first_by_pages_and_by_tree(store: Store) -> None:
    for number, id in enumerate(("d", "b", "c", "a")):
        await _parked(store, id, NOW + number // 2)
    parent = await create(store, "fine")
    child = parent.fork("fine.1", now=NOW, origin=b"{}", placeholder=blocks("later"))
    child.set_problem("limit: at once")
    child.open_prompt("p", "choice", b"{}")
    await commit(store, parent, NOW)
    expected = [
        ("b", "problem", 0),
        ("d", "problem", 0),
        ("fine.1", "problem", 0),
        ("fine.1", "prompt", 0),
        ("a", "problem", 1),
        ("c", "problem", 1),
    ]
    assert await _needed(store) == await _needed(store, limit=1) == await _needed(store, limit=4) == expected
    assert await _needed(store, "fine") == expected[2:4] and await _needed(store, "fine.1") == []
    assert {row.root for row in await store.attention(root="fine")} == {"fine"}


async def test_what_is_deleted_needs_nobody(store: Store) -> None:
    await _parked(store, "gone", NOW)
    await _parked(store, "moved", NOW)
    await store.mark_deleted("gone", NOW)
    assert await _needed(store) == [("moved", "problem", 0)]
    while await store.erase("gone"):
        pass
    await store.delete_tree("moved")
    await create(store, "new")
    assert await _needed(store) == []


async def test_a_tree_needs_a_person_wherever_it_lives(store: Store, tmp_path: Path) -> None:
    thread = await _parked(store, "t", NOW + 7)
    thread.open_prompt("p", "choice", b"{}")
    await commit(store, thread, NOW + 8)
    file = str(tmp_path / "tree")
    await store.export_tree("t", file)
    await store.delete_tree("t")
    await create(store, "another")
    await store.import_tree(file)
    assert await _needed(store) == [("t", "problem", 7), ("t", "prompt", 8)]
    thread = await _loaded(store, "t")
    thread.close_prompt("p")
    thread.set_problem(None)
    await commit(store, thread)
    assert await _needed(store) == []


async def test_a_commit_that_does_not_happen_calls_nobody(store: Store) -> None:
    await create(store)
    stale = await _loaded(store, "t")
    await commit(store, await _changed(store))
    stale.set_pending(False)
    stale.set_problem("limit: enough")
    stale.open_prompt("p", "choice", b"{}")
    with pytest.raises(Conflict):
        await store.commit(stale.delta(NOW))
    assert await _needed(store) == []


async def _changed(store: Store) -> Thread:
    thread = await _loaded(store, "t")
    thread.add_user(blocks("more"), now=NOW)
    return thread
