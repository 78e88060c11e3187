"""Timers and the outbox of every ``abc.Store``."""

from __future__ import annotations

import pytest
from tests.contract.threads import NOW, call, commit, create, message

from infinity.abc import Status, Store

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
