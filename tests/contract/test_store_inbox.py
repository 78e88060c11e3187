"""What every ``abc.Store`` does with what arrives: accepted once, refused, or put aside on record."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.contract.threads import NOW, answer, calling, commit, create, message

from infinity.abc import Expect, Status, Store

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
