"""What every ``abc.Mailbox`` does: FIFO per thread, one taker per thread, threads never waiting for each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.contract.mailboxes import MAILBOXES
from tests.patience import PATIENCE as SOON

from infinity._core import Batch, Message
from infinity.abc import Mailbox


@pytest.fixture(params=sorted(MAILBOXES))
async def mailbox(request: pytest.FixtureRequest) -> AsyncIterator[Mailbox]:
    async with MAILBOXES[request.param]() as made:
        yield made


def message(thread: str, number: int) -> Message:
    return Message(thread, f"m{number}", "user", b"{}", seq=number)


async def taken(mailbox: Mailbox) -> Batch:
    return await asyncio.wait_for(mailbox.take(), SOON)


def ids(messages: list[Message]) -> list[str]:
    return [each.id for each in messages]


@pytest.mark.rap("THR-1")
async def test_a_batch_is_the_whole_queue_in_order_of_arrival(mailbox: Mailbox) -> None:
    mailbox.put([message("t", number) for number in range(5)])
    batch = await taken(mailbox)
    assert batch.thread == "t" and ids(batch.messages) == ["m0", "m1", "m2", "m3", "m4"]


@pytest.mark.rap("THR-1")
async def test_news_of_a_message_that_come_late_change_no_order(mailbox: Mailbox) -> None:
    """A commit may hear of its end after somebody whose message was numbered after those that it sent."""
    mailbox.put([message("t", 3), message("t", 4)])
    mailbox.put([message("t", 1), message("t", 5)])
    assert ids((await taken(mailbox)).messages) == ["m1", "m3", "m4", "m5"]
    mailbox.put([message("t", 2)])
    mailbox.release("t", keep=True)
    assert ids((await taken(mailbox)).messages) == ["m1", "m2", "m3", "m4", "m5"]


async def test_taking_waits_until_something_is_put(mailbox: Mailbox) -> None:
    waiting = asyncio.create_task(mailbox.take())
    await asyncio.sleep(0)
    assert not waiting.done()
    mailbox.put([message("t", 1)])
    assert ids((await asyncio.wait_for(waiting, SOON)).messages) == ["m1"]


@pytest.mark.rap("THR-1")
async def test_a_taken_thread_is_not_taken_again_before_its_release(mailbox: Mailbox) -> None:
    mailbox.put([message("t", 1)])
    await taken(mailbox)
    mailbox.put([message("t", 2)])
    waiting = asyncio.create_task(mailbox.take())
    await asyncio.sleep(0.02)
    assert not waiting.done()
    mailbox.release("t")
    assert ids((await asyncio.wait_for(waiting, SOON)).messages) == ["m2"]


@pytest.mark.trap("B5")
async def test_a_taken_thread_holds_up_no_other(mailbox: Mailbox) -> None:
    mailbox.put([message("slow", 1)])
    await taken(mailbox)
    mailbox.put([message("quick", 2)])
    assert (await taken(mailbox)).thread == "quick"


async def test_threads_are_served_in_the_order_in_which_they_became_ready(mailbox: Mailbox) -> None:
    for number, thread in enumerate(["b", "a", "c", "a"]):
        mailbox.put([message(thread, number)])
    order = [(await taken(mailbox)).thread for _ in range(3)]
    assert order == ["b", "a", "c"]


async def test_a_message_that_is_queued_or_taken_is_not_queued_again(mailbox: Mailbox) -> None:
    mailbox.put([message("t", 1), message("t", 1)])
    assert ids((await taken(mailbox)).messages) == ["m1"]
    mailbox.put([message("t", 1), message("t", 2)])
    mailbox.release("t")
    assert ids((await taken(mailbox)).messages) == ["m2"]


@pytest.mark.trap("L10")
async def test_a_kept_batch_comes_back_first_and_in_order(mailbox: Mailbox) -> None:
    mailbox.put([message("t", 1), message("t", 2)])
    await taken(mailbox)
    mailbox.put([message("t", 3)])
    mailbox.release("t", keep=True)
    assert ids((await taken(mailbox)).messages) == ["m1", "m2", "m3"]


async def test_what_arrives_during_a_slice_can_join_it(mailbox: Mailbox) -> None:
    mailbox.put([message("t", 1)])
    await taken(mailbox)
    mailbox.put([message("t", 2)])
    joined = ids(mailbox.more("t"))
    mailbox.release("t", keep=True)
    rest = ids((await taken(mailbox)).messages)
    assert joined in (["m2"], []) and rest == ["m1", "m2"]


async def test_a_cancelled_taker_takes_nothing_with_it(mailbox: Mailbox) -> None:
    first = asyncio.create_task(mailbox.take())
    second = asyncio.create_task(mailbox.take())
    await asyncio.sleep(0)
    mailbox.put([message("t", 1)])
    first.cancel()
    assert ids((await asyncio.wait_for(second, SOON)).messages) == ["m1"]
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_many_takers_share_the_threads_among_them(mailbox: Mailbox) -> None:
    takers = [asyncio.create_task(mailbox.take()) for _ in range(20)]
    await asyncio.sleep(0)
    mailbox.put([message(f"t{number}", number) for number in range(20)])
    batches = await asyncio.wait_for(asyncio.gather(*takers), SOON)
    assert sorted(batch.thread for batch in batches) == sorted(f"t{number}" for number in range(20))
