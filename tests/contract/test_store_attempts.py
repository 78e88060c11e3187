"""What every ``abc.Store`` does with failed attempts and unclean stops (I12), and what it finds by an index."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.contract.stores import Opened
from tests.contract.threads import NOW, blocks, call, commit, create, message, snapshot

from infinity._core import Thread
from infinity.abc import Store
from infinity.errors import Conflict, UnknownThread


async def test_attempts_are_counted_beside_the_version_until_a_turn_is_bought(store: Store) -> None:
    thread = await create(store)
    assert await store.record_attempt("t", "unavailable", NOW, tokens=7, microdollars=20) == 1
    assert await store.record_attempt("t", "unavailable", NOW + 1, tokens=3) == 2
    assert await store.spent("t") == (10, 20)
    loaded = Thread.load(await snapshot(store, "t"))
    assert (loaded.version, loaded.attempts) == (thread.version, 2)
    call(loaded, "c")
    assert loaded.attempts == 0
    await commit(store, loaded)
    assert Thread.load(await snapshot(store, "t")).attempts == 0


async def test_an_attempt_that_failed_after_the_turn_of_an_uncommitted_slice_still_counts(
    store: Store,
) -> None:
    await create(store)
    await store.record_attempt("t", "unavailable", NOW)
    thread = Thread.load(await snapshot(store, "t"))
    call(thread, "c")
    thread.attempted(await store.record_attempt("t", "unavailable", NOW + 1))
    assert thread.attempts == 1
    await commit(store, thread)
    assert Thread.load(await snapshot(store, "t")).attempts == 1


async def test_a_thread_with_attempts_is_loaded_although_its_version_is_known(store: Store) -> None:
    thread = await create(store)
    await store.record_attempt("t", "unavailable", NOW)
    found = await store.load("t", thread.version)
    assert found is not None and Thread.load(found).attempts == 1


async def test_attempts_of_a_thread_that_is_gone_or_has_moved_are_not_recorded(store: Store) -> None:
    await create(store)
    with pytest.raises(UnknownThread):
        await store.record_attempt("nobody", "unavailable", NOW)
    await store.retire_tree("t", "elsewhere")
    with pytest.raises(Conflict):
        await store.record_attempt("t", "unavailable", NOW, tokens=1)
    assert await store.spent("t") == (0, 0)


async def test_what_was_queued_at_an_unclean_stop_gets_an_attempt(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        assert await store.begin(NOW) == 0
        await create(store, "queued")
        await create(store, "idle")
        for id in ("m1", "m2"):
            await store.accept(message("queued", id))
        # Once more without a close between: what a process does whose predecessor was killed.
        assert await store.begin(NOW) == 1
        assert Thread.load(await snapshot(store, "queued")).attempts == 1
        assert Thread.load(await snapshot(store, "idle")).attempts == 0
    async with opened(tmp_path) as store:
        assert await store.begin(NOW) == 0, "the last stop was clean"
        assert await store.begin(NOW) == 1
        assert Thread.load(await snapshot(store, "queued")).attempts == 2


async def test_a_stop_is_only_recorded_by_a_process_that_has_begun(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.begin(NOW)
        await create(store)
        await store.accept(message("t", "m"))
        await store.begin(NOW)
    async with opened(tmp_path) as store:
        assert await store.meta("clean_stop") is not None
    async with opened(tmp_path) as store:
        assert await store.begin(NOW) == 0
        assert await store.begin(NOW) == 1


async def test_living_children_are_counted_and_closed_ones_are_not(store: Store) -> None:
    thread = await create(store)
    made = []
    for number in range(3):
        child = thread.fork(f"t.{number}", now=NOW, origin=b"{}", placeholder=blocks("later"))
        child.add_user(blocks("go"), now=NOW)
        made.append(child)
    made[0].close()
    await commit(store, thread)
    assert await store.open_children("t") == 2
    child = Thread.load(await snapshot(store, "t.1"))
    child.close()
    await commit(store, child)
    assert await store.open_children("t") == 1
    assert await store.open_children("t.1") == 0


async def test_a_fork_comes_with_a_commit_of_its_own_and_is_not_counted_among_children(store: Store) -> None:
    thread = await create(store)
    thread.add_user(blocks("hello"), now=NOW)
    await commit(store, thread)
    row, entries = await store.thread("t"), await store.entries("t")
    assert row is not None
    past = Thread.past(row.header, thread.position, entries)
    fork = past.branch("fork_1", now=NOW, origin=b"{}", seed=blocks("you are a fork"))
    await store.commit(fork.delta(NOW))
    assert (await store.open_children("t"), await store.living("t")) == (0, 0)
    loaded = Thread.load(await snapshot(store, "fork_1"))
    assert (loaded.root, loaded.parent, loaded.live_entries()) == ("t", "t", len(entries) + 1)
    loaded.fork("t.1", now=NOW, origin=b"{}", placeholder=blocks("later"))
    await commit(store, loaded)
    assert (await store.open_children("fork_1"), await store.living("t")) == (1, 1)
    again = past.branch("fork_1", now=NOW, origin=b"{}", seed=blocks("you are another"))
    with pytest.raises(Conflict):
        await store.commit(again.delta(NOW))


async def test_the_prompts_of_a_tree_are_found_by_its_root(store: Store) -> None:
    thread = await create(store)
    child = thread.fork("t.1", now=NOW, origin=b"{}", placeholder=blocks("later"))
    child.add_user(blocks("go"), now=NOW)
    child.open_prompt("choice.c", "choice", b"{}")
    await commit(store, thread)
    other = await create(store, "u")
    other.open_prompt("choice.d", "choice", b"{}")
    await commit(store, other)
    assert [(row.thread, row.id) for row in await store.prompts(root="t")] == [("t.1", "choice.c")]
    assert [(row.thread, row.id) for row in await store.prompts("u", root="u")] == [("u", "choice.d")]
    assert await store.prompts("u", root="t") == []
