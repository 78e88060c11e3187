"""What every ``abc.Store`` does, whatever it is made of."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from tests.contract.stores import Opened
from tests.contract.threads import NOW, answer, blocks, call, calling, commit, create, message, snapshot

from infinity._core import Thread
from infinity.abc import Expect, Imported, Status, Store
from infinity.errors import BadRequest, Conflict, DamagedStore, UnknownThread

# -- accept


async def test_an_accepted_message_carries_its_place_and_is_in_the_inbox(store: Store) -> None:
    await create(store)
    first = await store.accept(message("t", "m1", body={"n": 1}))
    second = await store.accept(message("t", "m2"))
    assert (first.status, second.status) == (Status.ACCEPTED, Status.ACCEPTED)
    assert first.message is not None and second.message is not None
    assert 0 < first.message.seq < second.message.seq
    inbox = await store.inbox()
    assert [(item.thread, item.id, item.seq) for item in inbox] == [
        ("t", "m1", first.message.seq),
        ("t", "m2", second.message.seq),
    ]
    assert json.loads(inbox[0].body) == {"n": 1} and inbox[0].accepted_at == NOW


@pytest.mark.rap("CB-4")
async def test_a_message_that_is_queued_already_is_a_duplicate(store: Store) -> None:
    await create(store)
    await store.accept(message("t", "m"))
    assert await store.accept(message("t", "m")) == (Status.DUPLICATE, None)
    assert len(await store.inbox()) == 1


@pytest.mark.rap("CB-4")
async def test_a_message_that_was_consumed_is_a_duplicate_for_ever(store: Store) -> None:
    thread = await create(store)
    accepted = await store.accept(message("t", "m"))
    assert accepted.message is not None
    thread.consume(accepted.message)
    await commit(store, thread)
    assert await store.inbox() == []
    assert await store.accept(message("t", "m")) == (Status.DUPLICATE, None)
    assert await store.inbox() == []


async def test_the_same_id_for_another_thread_is_another_message(store: Store) -> None:
    await create(store, "a")
    await create(store, "b")
    assert (await store.accept(message("a", "m"))).status is Status.ACCEPTED
    assert (await store.accept(message("b", "m"))).status is Status.ACCEPTED


@pytest.mark.parametrize("expect", list(Expect))
async def test_a_message_for_a_thread_that_is_not_there_touches_nothing(store: Store, expect: Expect) -> None:
    assert await store.accept(message("nobody", "m"), expect, "c") == (Status.UNKNOWN_THREAD, None)
    assert (await store.counts())["inbox"] == 0


@pytest.mark.rap("CB-2")
@pytest.mark.trap("S6")
async def test_a_result_is_accepted_only_for_an_open_call_of_its_thread(store: Store) -> None:
    thread = await calling(store, "t", "c1", "c2", "c3")
    await create(store, "other")
    answer(thread, "c2")
    answer(thread, "c3", state="cancelled")
    await commit(store, thread)

    async def offer(thread: str, id: str, call_id: str) -> Status:
        return (await store.accept(message(thread, id, "result"), Expect.CALL, call_id)).status

    assert await offer("t", "c1", "c1") is Status.ACCEPTED
    assert await offer("t", "c1", "c1") is Status.DUPLICATE
    assert await offer("t", "oauth", "c2") is Status.NOT_PENDING
    assert await offer("t", "c9", "c9") is Status.UNKNOWN_CALL
    assert await offer("other", "c1", "c1") is Status.UNKNOWN_CALL
    assert len(await store.inbox()) == 1


@pytest.mark.rap("CAN-2")
async def test_a_result_of_a_cancelled_call_is_discarded_on_record(store: Store) -> None:
    thread = await calling(store, "t", "c")
    answer(thread, "c", state="cancelled")
    await commit(store, thread)
    assert (await store.accept(message("t", "c", "result"), Expect.CALL, "c")).status is Status.DISCARDED
    assert await store.inbox() == []
    assert [id for id, _, _ in await store.discards("t")] == ["c"]


@pytest.mark.rap("SUB-1")
async def test_an_event_is_accepted_only_for_a_subscription_or_a_call_that_may_become_one(
    store: Store,
) -> None:
    thread = await calling(store, "t", "open", "plain", "sub")
    answer(thread, "plain")
    answer(thread, "sub", subscription=True)
    await commit(store, thread)

    async def offer(id: str, call_id: str) -> Status:
        return (await store.accept(message("t", id, "event"), Expect.EVENT, call_id)).status

    assert await offer("e1", "sub") is Status.ACCEPTED
    assert await offer("e2", "open") is Status.ACCEPTED
    assert await offer("e3", "plain") is Status.NOT_SUBSCRIBED
    assert await offer("e4", "unheard-of") in (Status.NOT_SUBSCRIBED, Status.UNKNOWN_CALL)
    thread.end_subscription("sub")
    await commit(store, thread)
    assert await offer("e5", "sub") is Status.NOT_SUBSCRIBED


@pytest.mark.rap("SUB-8")
async def test_a_closed_thread_discards_on_record(store: Store) -> None:
    thread = await create(store)
    thread.close()
    await commit(store, thread)
    assert await store.accept(message("t", "late")) == (Status.DISCARDED, None)
    assert await store.inbox() == []
    [(id, reason, _)] = await store.discards("t")
    assert id == "late" and reason


@pytest.mark.trap("R1")
async def test_many_senders_at_once_are_each_accepted_once(store: Store) -> None:
    await create(store)
    offered = [message("t", f"m{number % 50}") for number in range(200)]
    outcomes = await asyncio.gather(*(store.accept(each) for each in offered))
    accepted = [outcome.message for outcome in outcomes if outcome.message is not None]
    assert len(accepted) == len({each.id for each in accepted}) == len({each.seq for each in accepted}) == 50
    assert sorted(outcome.status for outcome in outcomes) == ["accepted"] * 50 + ["duplicate"] * 150


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


# -- timers


@pytest.mark.trap("L14")
async def test_a_due_timer_becomes_one_message(store: Store) -> None:
    thread = await create(store)
    thread.set_timer("soon", NOW + 10, "timer", b'{"purpose":"sleep"}')
    thread.set_timer("later", NOW + 20, "timer", b"{}")
    await commit(store, thread)
    assert await store.next_timer() == NOW + 10
    assert await store.fire_timers(NOW + 9) == []
    [fired] = await store.fire_timers(NOW + 10)
    assert (fired.thread, fired.id, fired.kind, fired.body) == ("t", "soon", "timer", b'{"purpose":"sleep"}')
    assert fired.seq > 0 and [item.id for item in await store.inbox()] == ["soon"]
    assert await store.fire_timers(NOW + 10) == []
    assert await store.next_timer() == NOW + 20


async def test_a_cancelled_timer_never_fires(store: Store) -> None:
    thread = await create(store)
    thread.set_timer("never", NOW, "timer", b"{}")
    await commit(store, thread)
    thread.cancel_timer("never")
    await commit(store, thread)
    assert await store.next_timer() is None
    assert await store.fire_timers(NOW + 1_000_000) == []


# -- outbox


@pytest.mark.trap("L3")
async def test_what_has_left_is_gone_and_its_call_is_sent(store: Store) -> None:
    thread = await create(store)
    call(thread, "c")
    thread.plan_outbox("invoke.c", "invoke", "http://tool", b"{}", "c")
    await commit(store, thread)
    assert await store.outbox_done("invoke.c", "c") is None
    assert await store.outbox() == []
    found = await store.find_call("c")
    assert found is not None and found[1] == "sent"


async def test_a_failed_try_is_counted_and_postponed(store: Store) -> None:
    thread = await create(store)
    thread.plan_outbox("k", "close", "", b"{}")
    await commit(store, thread)
    await store.outbox_retry("k", NOW + 500)
    await store.outbox_retry("k", NOW + 900)
    [row] = await store.outbox()
    assert (row.attempts, row.due_at) == (2, NOW + 900)


@pytest.mark.rap("INV-7")
async def test_what_never_leaves_tells_its_thread_in_the_same_step(store: Store) -> None:
    thread = await create(store)
    call(thread, "c")
    thread.plan_outbox("invoke.c", "invoke", "http://tool", b"{}", "c")
    await commit(store, thread)
    accepted = await store.outbox_done("invoke.c", None, message("t", "c", "result", {"failed": True}))
    assert accepted is not None and accepted.status is Status.ACCEPTED
    assert await store.outbox() == [] and [item.id for item in await store.inbox()] == ["c"]
    # The same again, after a crash before anybody heard of it.
    again = await store.outbox_done("invoke.c", None, message("t", "c", "result", {"failed": True}))
    assert again is None or again.message is None
    assert len(await store.inbox()) == 1


async def test_what_a_commit_takes_back_does_not_leave(store: Store) -> None:
    thread = await create(store)
    thread.plan_outbox("a", "close", "", b"{}")
    thread.plan_outbox("b", "close", "", b"{}")
    await commit(store, thread)
    thread.cancel_outbox("a")
    await commit(store, thread)
    assert [row.key for row in await store.outbox()] == ["b"]


async def test_the_outbox_is_read_by_key(store: Store) -> None:
    thread = await create(store)
    for key in ("c", "a", "b"):
        thread.plan_outbox(key, "close", "", b"{}")
    await commit(store, thread)
    assert [row.key for row in await store.outbox()] == ["a", "b", "c"]
    assert [row.key for row in await store.outbox("a")] == ["b", "c"]


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
