"""What every ``abc.Store`` does, whatever it is made of."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.contract.stores import Opened
from tests.contract.threads import NOW, blocks, call, commit, create, message, snapshot

from infinity._core import Thread
from infinity.abc import Status, Store
from infinity.errors import Conflict, UnknownThread

# -- load and commit


async def test_what_was_committed_is_what_is_loaded(store: Store) -> None:
    thread = await create(store)
    thread.set_model("other/model")
    await commit(store, thread)
    snapshot = await store.load("t")
    assert snapshot is not None
    loaded = Thread.load(snapshot)
    assert (loaded.id, loaded.version, loaded.model, loaded.position) == ("t", 2, "other/model", 1)
    assert loaded.render() == thread.render()


@pytest.mark.rap("RUN-1")
@pytest.mark.trap("R1")
async def test_a_thread_that_is_not_there_is_an_error_and_never_an_empty_one(store: Store) -> None:
    with pytest.raises(UnknownThread):
        await store.load("nobody")


async def test_a_load_of_the_known_version_reads_nothing(store: Store) -> None:
    thread = await create(store)
    assert await store.load("t", thread.version) is None
    assert await store.load("t", thread.version - 1) is not None


async def test_a_load_says_which_messages_were_consumed(store: Store) -> None:
    thread = await create(store)
    accepted = await store.accept(message("t", "old"))
    assert accepted.message is not None
    thread.consume(accepted.message)
    await commit(store, thread)
    snapshot = await store.load("t", -1, ["old", "new"])
    assert snapshot is not None
    loaded = Thread.load(snapshot)
    assert loaded.seen("old") and not loaded.seen("new")


@pytest.mark.trap("R4")
async def test_of_two_commits_on_one_version_the_second_changes_nothing(store: Store) -> None:
    winner = await create(store)
    snapshot = await store.load("t")
    assert snapshot is not None
    loser = Thread.load(snapshot)
    winner.add_user(blocks("first"), now=NOW)
    loser.add_user(blocks("second"), now=NOW)
    loser.set_timer("late", NOW, "timer", b"{}")
    loser.plan_outbox("k", "invoke", "http://tool", b"{}")
    await commit(store, winner)
    with pytest.raises(Conflict):
        await store.commit(loser.delta(NOW))
    assert await store.timers("t") == [] and await store.outbox() == []
    assert len(await store.entries("t")) == 2


async def test_a_message_cannot_be_consumed_twice(store: Store) -> None:
    thread = await create(store)
    accepted = await store.accept(message("t", "m"))
    assert accepted.message is not None
    thread.consume(accepted.message)
    await commit(store, thread)
    snapshot = await store.load("t")
    assert snapshot is not None
    again = Thread.load(snapshot)
    again.consume(accepted.message)
    again.add_user(blocks("twice"), now=NOW)
    with pytest.raises(Conflict):
        await store.commit(again.delta(NOW))
    assert len(await store.entries("t")) == 1


@pytest.mark.trap("R11")
async def test_a_message_that_comes_once_more_is_consumed_without_effect(store: Store) -> None:
    thread = await create(store)
    first, second = (
        (await store.accept(message("t", "m"))).message,
        (await store.accept(message("t", "n"))).message,
    )
    assert first is not None and second is not None
    thread.consume(first)
    await commit(store, thread)
    again = Thread.load(await snapshot(store, "t", ["m", "n"]))
    assert again.seen("m") and not again.seen("n")
    again.consume(first, "duplicate")
    again.consume(first, "duplicate")
    again.consume(second)
    again.add_user(blocks("n"), now=NOW)
    await commit(store, again)
    assert (
        len(await store.entries("t")) == 2 and await store.inbox() == [] and await store.discards("t") == []
    )
    assert (await store.counts())["seen"] == 2


async def test_a_thread_cannot_be_created_twice(store: Store) -> None:
    await create(store)
    again = Thread.create("t", now=NOW, model="x")
    with pytest.raises(Conflict):
        await store.commit(again.delta(NOW))


@pytest.mark.trap("L13")
async def test_everything_of_a_slice_is_there_after_its_commit(store: Store) -> None:
    thread = await create(store)
    await create(store, "friend")
    call(thread, "c1")
    thread.plan_outbox("c1", "invoke", "http://tool/invoke", b'{"x":1}', "c1")
    thread.set_timer("timer", NOW + 5, "timer", b'{"why":"sleep"}')
    thread.open_prompt("p", "choice", b'{"choices":["a"]}')
    thread.send("friend", "greeting", "parent", b'{"text":"hi"}')
    thread.note("status", b'{"status":"busy"}')
    child = thread.fork("child", now=NOW, origin=b"{}", placeholder=blocks("later"))
    child.add_user(blocks("do this"), now=NOW)
    messages = await commit(store, thread)

    assert [(item.thread, item.id, item.kind) for item in messages] == [("friend", "greeting", "parent")]
    assert [item.id for item in await store.inbox()] == ["greeting"]
    assert [(row.key, row.target, row.body, row.call_id, row.thread) for row in await store.outbox()] == [
        ("c1", "http://tool/invoke", b'{"x":1}', "c1", "t")
    ]
    assert [(row.id, row.thread, row.due_at) for row in await store.timers("t")] == [("timer", "t", NOW + 5)]
    assert [(row.id, row.kind) for row in await store.prompts("t")] == [("p", "choice")]
    assert [(each.id, state) for each, state in await store.calls("t")] == [("c1", "planned")]
    found = await store.find_call("c1")
    assert found is not None and found[0].thread == "t"
    row = await store.thread("child")
    assert row is not None and (row.parent, row.root) == ("t", "t")
    assert "status" in [event.kind for event in await store.feed("t")]


@pytest.mark.trap("R6")
async def test_a_message_sent_to_a_thread_twice_enters_its_inbox_once(store: Store) -> None:
    thread = await create(store)
    await create(store, "friend")
    thread.send("friend", "same", "parent", b"{}")
    assert len(await commit(store, thread)) == 1
    thread.send("friend", "same", "parent", b"{}")
    assert await commit(store, thread) == []
    assert len(await store.inbox()) == 1


@pytest.mark.trap("G1")
async def test_a_child_is_loaded_with_the_entries_it_inherits(store: Store) -> None:
    parent = await create(store)
    child = parent.fork("child", now=NOW, origin=b"{}", placeholder=blocks("later"))
    child.add_user(blocks("your part"), now=NOW)
    await commit(store, parent)
    parent.add_user(blocks("only for the parent"), now=NOW)
    await commit(store, parent)
    snapshot = await store.load("child")
    assert snapshot is not None
    rendered = Thread.load(snapshot).render()
    assert b"hello t" in rendered and b"your part" in rendered and b"only for the parent" not in rendered
    assert len(await store.entries("child")) == 1


async def test_entries_and_feed_are_read_in_pages(store: Store) -> None:
    thread = await create(store)
    for number in range(9):
        thread.add_user(blocks(f"more {number}"), now=NOW)
    await commit(store, thread)
    seen: list[int] = []
    while page := await store.entries("t", seen[-1] if seen else -1, 4):
        assert len(page) <= 4
        seen += [position for position, _ in page]
    assert seen == list(range(10))
    cursors: list[int] = []
    while rows := await store.feed("t", cursors[-1] if cursors else -1, 3):
        assert all(row.kind == "entry" and row.record is not None for row in rows)
        cursors += [row.position for row in rows]
    assert cursors == sorted(set(cursors)) and len(cursors) == 10


# -- the rest


@pytest.mark.rap("VIEW-1")
async def test_a_view_is_its_latest_content(store: Store) -> None:
    await create(store)
    assert await store.put_view("t", "diff", b'{"n":1}')
    assert await store.put_view("t", "diff", b'{"n":2}')
    assert await store.put_view("t", "plan", b"[]")
    assert sorted(await store.views("t")) == [("diff", b'{"n":2}'), ("plan", b"[]")]
    assert not await store.put_view("nobody", "diff", b"{}")


async def test_prompts_are_there_until_they_are_closed(store: Store) -> None:
    thread = await create(store)
    await create(store, "other")
    thread.open_prompt("p1", "choice", b'{"a":1}')
    thread.open_prompt("p2", "oauth", b"{}")
    await commit(store, thread)
    thread.close_prompt("p1")
    await commit(store, thread)
    assert [(row.id, row.thread) for row in await store.prompts()] == [("p2", "t")]
    assert await store.prompts("other") == []


async def test_meta_keeps_bytes(store: Store) -> None:
    assert await store.meta("key") is None
    await store.put_meta("key", b"\x00one")
    await store.put_meta("key", b"\xfftwo")
    assert await store.meta("key") == b"\xfftwo"


async def test_threads_are_listed_newest_first_in_pages(store: Store) -> None:
    for number in range(7):
        await create(store, f"t{number}", now=NOW + number)
    seen: list[str] = []
    after = ""
    while rows := await store.threads(after=after, limit=3):
        seen += [row.id for row in rows]
        after = f"{rows[-1].updated_at}:{rows[-1].id}"
    assert seen == [f"t{number}" for number in reversed(range(7))]


async def test_threads_are_found_by_state_tree_and_parent(store: Store) -> None:
    parent = await create(store, "p")
    await create(store, "alone")
    child = parent.fork("child", now=NOW, origin=b"{}", placeholder=blocks("later"))
    child.add_user(blocks("x"), now=NOW)
    await commit(store, parent)
    closed = await create(store, "over")
    closed.close()
    await commit(store, closed)
    assert {row.id for row in await store.threads(root="p")} == {"p", "child"}
    assert [row.id for row in await store.threads(parent="p")] == ["child"]
    assert [row.id for row in await store.threads(status="closed")] == ["over"]
    row = await store.thread("p")
    assert row is not None and (row.title, row.root, row.parent) == ("about p", "p", None)
    assert await store.thread("nobody") is None


async def test_a_tree_has_spent_what_its_threads_have(store: Store) -> None:
    thread = await create(store)
    assert await store.spent("t") == (0, 0)
    thread.add_turn(blocks("hi"), [], now=NOW, usage=(10, 20, 30, 40), cost=1_500)
    thread.add_user(blocks("go on"), now=NOW)
    child = thread.fork("child", now=NOW, origin=b"{}", placeholder=blocks("later"))
    child.add_user(blocks("x"), now=NOW)
    child.add_turn(blocks("done"), [], now=NOW, usage=(1, 1, 0, 0), cost=500)
    delta = thread.delta(NOW)
    assert (delta.spent, [each.spent for each in delta.children]) == ((100, 1_500), [(2, 500)])
    await commit(store, thread)
    assert await store.spent("t") == (102, 2_000)
    snapshot = await store.load("t")
    assert snapshot is not None
    loaded = Thread.load(snapshot)
    assert (loaded.cost, loaded.delta(NOW).spent) == (1_500, (0, 0))
    loaded.add_turn(blocks("more"), [], now=NOW, usage=(1, 0, 0, 0), cost=1)
    await commit(store, loaded)
    assert (loaded.cost, await store.spent("t")) == (1_501, (103, 2_001))


async def test_counts_say_how_much_there_is(store: Store) -> None:
    thread = await create(store)
    await store.accept(message("t", "m"))
    thread.plan_outbox("k", "close", "", b"{}")
    thread.set_timer("x", NOW, "timer", b"{}")
    await commit(store, thread)
    counts = await store.counts()
    assert {name: counts[name] for name in ("threads", "entries", "inbox", "outbox", "timers")} == {
        "threads": 1,
        "entries": 1,
        "inbox": 1,
        "outbox": 1,
        "timers": 1,
    }


@pytest.mark.trap("L1")
@pytest.mark.trap("L15")
async def test_everything_is_there_when_the_store_is_opened_again(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        thread = await create(store)
        call(thread, "c")
        thread.plan_outbox("k", "invoke", "http://tool", b"{}", "c")
        thread.set_timer("x", NOW, "timer", b"{}")
        thread.open_prompt("p", "choice", b"{}")
        await commit(store, thread)
        await store.accept(message("t", "m"))
        await store.outbox_retry("k", NOW + 1)
        await store.put_meta("key", b"value")
    async with opened(tmp_path) as store:
        assert [item.id for item in await store.inbox()] == ["m"]
        assert [(row.key, row.attempts) for row in await store.outbox()] == [("k", 1)]
        assert await store.next_timer() == NOW
        assert [row.id for row in await store.prompts()] == ["p"]
        assert await store.meta("key") == b"value"
        assert await store.accept(message("t", "m")) == (Status.DUPLICATE, None)
        snapshot = await store.load("t")
        assert snapshot is not None and Thread.load(snapshot).position == 2
