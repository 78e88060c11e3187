"""What every ``abc.Store`` does when a call ends, and until then: endings are complete (I13), early events wait (SUB-9), a late result is no
repeat (CB-9)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.contract.stores import Opened
from tests.contract.threads import NOW, answer, blocks, calling, commit, create, message, snapshot

from infinity._core import Message, Thread
from infinity.abc import Expect, Status, Store


async def early(store: Store, id: str, text: str = "", call_id: str = "c") -> Message:
    accepted = await store.accept(message("t", id, "event", {"text": text}), Expect.EVENT, call_id)
    assert accepted.message is not None, accepted.status
    return accepted.message


async def keep(store: Store, thread: Thread, *events: Message, call_id: str = "c") -> None:
    for event in events:
        thread.keep(event, call_id)
    await commit(store, thread)


@pytest.mark.rap("SUB-9")
async def test_early_events_wait_beside_their_call_until_it_is_confirmed(store: Store) -> None:
    thread = await calling(store, "t", "c")
    first, second = await early(store, "e1", "one"), await early(store, "e2", "two")
    await keep(store, thread, first, second)
    assert await store.inbox() == [] and (await store.counts())["inbox"] == 0
    assert (await store.accept(message("t", "e1"), Expect.EVENT, "c")).status is Status.DUPLICATE
    later = await early(store, "e3", "three")
    thread = Thread.load(await snapshot(store, "t", ["e1"]))
    assert not thread.seen("e1")
    answer(thread, "c", subscription=True)
    assert thread.early("c"), "what comes now must not overtake what is kept"
    thread.keep(later, "c")
    messages = await commit(store, thread)
    assert [(item.id, json.loads(item.body)["text"]) for item in messages] == [
        ("e1", "one"),
        ("e2", "two"),
        ("e3", "three"),
    ]
    assert [item.seq for item in messages] == sorted(item.seq for item in messages)
    assert [(item.id, item.seq) for item in await store.inbox()] == [(item.id, item.seq) for item in messages]
    assert not thread.early("c")
    for item in messages:
        thread.consume(item)
    await commit(store, thread)
    assert await store.inbox() == []
    assert (await store.accept(message("t", "e2"), Expect.EVENT, "c")).status is Status.DUPLICATE


@pytest.mark.rap("SUB-9")
@pytest.mark.parametrize("state", ["answered", "failed", "cancelled"])
async def test_early_events_of_a_call_that_ends_otherwise_are_discarded_on_record(
    store: Store, state: str
) -> None:
    thread = await calling(store, "t", "c")
    await keep(store, thread, await early(store, "e1"))
    answer(thread, "c", state=state)
    assert await commit(store, thread) == []
    assert await store.inbox() == []
    [(id, reason, _)] = await store.discards("t")
    assert (id, reason) == ("e1", "the call ended without a subscription")
    assert (await store.accept(message("t", "e1"), Expect.EVENT, "c")).status is Status.DUPLICATE


@pytest.mark.rap("SUB-9")
async def test_at_most_a_hundred_early_events_of_a_call_wait(store: Store) -> None:
    thread = await calling(store, "t", "c", "d")
    events = [await early(store, f"e{number}") for number in range(60)]
    await keep(store, thread, *events)
    for number in range(60, 100):
        await early(store, f"e{number}")
    offered = message("t", "e100", "event")
    assert await store.accept(offered, Expect.EVENT, "c") == (Status.FULL, None)
    await early(store, "other", call_id="d")
    answer(thread, "c", subscription=True)
    await commit(store, thread)
    assert (await store.accept(offered, Expect.EVENT, "c")).status is Status.ACCEPTED


@pytest.mark.rap("SUB-9")
async def test_early_events_of_a_call_have_a_mebibyte_together(store: Store) -> None:
    thread = await calling(store, "t", "c")
    await keep(store, thread, await early(store, "e1", "x" * 600_000))
    large = message("t", "e2", "event", {"text": "x" * 500_000})
    assert (await store.accept(large, Expect.EVENT, "c")).status is Status.FULL
    await early(store, "e3", "small")


async def test_kept_events_and_attempts_travel_with_their_tree(
    store: Store, opened: Opened, tmp_path: Path
) -> None:
    thread = await calling(store, "t", "c")
    await keep(store, thread, await early(store, "e1"), await early(store, "e2"))
    await early(store, "e3")
    await store.record_attempt("t", "unavailable", NOW)
    await store.export_tree("t", str(tmp_path / "tree"))
    (tmp_path / "other").mkdir()
    async with opened(tmp_path / "other") as other:
        # Its own numbers are in use there.
        await create(other, "someone")
        for number in range(5):
            await other.accept(message("someone", f"m{number}"))
        imported = await other.import_tree(str(tmp_path / "tree"))
        assert [item.id for item in imported.messages] == ["e3"]
        thread = Thread.load(await snapshot(other, "t"))
        assert thread.attempts == 1
        answer(thread, "c", subscription=True)
        thread.keep(imported.messages[0], "c")
        assert [item.id for item in await commit(other, thread)] == ["e1", "e2", "e3"]


@pytest.mark.rap("CB-9")
async def test_the_result_of_a_call_that_failed_is_no_repeat_and_recorded(store: Store) -> None:
    thread = await calling(store, "t", "c")
    thread.plan_outbox("invoke.c", "invoke", "http://tool", b"{}", "c")
    await commit(store, thread)
    failure = message("t", "failed.c", "result")
    accepted = await store.outbox_done("invoke.c", None, failure)
    assert accepted is not None and accepted.message is not None
    thread.consume(accepted.message)
    answer(thread, "c", state="failed", error=True)
    await commit(store, thread)
    for _ in range(2):
        late = await store.accept(message("t", "c", "result"), Expect.CALL, "c")
        assert late == (Status.NOT_PENDING, None)
    assert [(id, reason) for id, reason, _ in await store.discards("t")] == [("c", "the call had failed")]


@pytest.mark.rap("CB-9")
async def test_a_failure_that_is_known_under_the_calls_own_id_makes_no_result_a_repeat(store: Store) -> None:
    thread = await calling(store, "t", "c", "d")
    for id, state in (("c", "failed"), ("d", "answered")):
        accepted = await store.accept(message("t", id, "result"), Expect.CALL, id)
        assert accepted.message is not None
        thread.consume(accepted.message)
        answer(thread, id, state=state)
    await commit(store, thread)
    assert (await store.accept(message("t", "c"), Expect.CALL, "c")).status is Status.NOT_PENDING
    assert (await store.accept(message("t", "d"), Expect.CALL, "d")).status is Status.DUPLICATE


@pytest.mark.rap("CB-9")
async def test_a_delivery_that_failed_says_nothing_where_the_result_came_all_the_same(store: Store) -> None:
    thread = await calling(store, "t", "c")
    thread.plan_outbox("invoke.c", "invoke", "http://tool", b"{}", "c")
    await commit(store, thread)
    await store.accept(message("t", "c", "result"), Expect.CALL, "c")
    accepted = await store.outbox_done("invoke.c", None, message("t", "failed.c", "result"))
    assert accepted == (Status.DUPLICATE, None)
    assert [item.id for item in await store.inbox()] == ["c"] and await store.outbox() == []


ENDINGS: dict[str, Callable[[Thread], Any]] = {
    "answered": lambda thread: answer(thread, "c"),
    "subscribed": lambda thread: answer(thread, "c", subscription=True),
    "failed": lambda thread: answer(thread, "c", state="failed", error=True),
    "cancelled": lambda thread: answer(thread, "c", state="cancelled"),
    "detached_and_cancelled": lambda thread: thread.cancel_detached("c"),
    "closed": lambda thread: thread.close(),
}


@pytest.mark.trap("R9")
@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_call_that_ends_takes_everything_with_it_that_has_not_left(store: Store, ending: str) -> None:
    thread = await calling(store, "t", "c", "d")
    answer(thread, "d")
    if ending in ("detached_and_cancelled", "closed"):
        thread.detach("c", blocks("it runs"), now=NOW)
    # Rows of an earlier commit, the key of one of which nobody could guess.
    thread.plan_outbox("invoke.c", "invoke", "http://tool", b"{}", "c")
    thread.plan_outbox("choice.some message", "choice", "http://tool", b"{}", "c")
    thread.plan_outbox("choice.another", "choice", "http://tool", b"{}", "d")
    for id in ("deadline.c", "sleep.c", "prompt.c", "deadline.d", "other"):
        thread.set_timer(id, NOW + 1, "timer", b"{}")
    for kind in ("choice", "oauth", "consent"):
        thread.open_prompt(f"{kind}.c", kind, b"{}")
    await commit(store, thread)
    thread = Thread.load(await snapshot(store, "t"))
    ENDINGS[ending](thread)
    # Anyone who plans for it in the same slice plans in vain.
    thread.plan_outbox("cancel.c", "cancel", "", b"{}", "c")
    thread.plan_outbox("choice.too late", "choice", "http://tool", b"{}", "c")
    thread.set_timer("deadline.c", NOW + 2, "timer", b"{}")
    thread.open_prompt("choice.c", "choice", b"{}")
    delta = thread.delta(NOW)
    assert delta.ended == ["c"]
    await store.commit(delta)
    assert [row.key for row in await store.outbox()] == ["cancel.c"]
    assert [row.id for row in await store.timers("t")] == ["other"]
    assert await store.prompts("t") == []
