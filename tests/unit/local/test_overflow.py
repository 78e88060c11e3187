"""A thread's channel is bounded; what does not fit rests in the store and comes back in order (G2)."""

from __future__ import annotations

import asyncio

import pytest
from tests.patience import PATIENCE as SOON

from infinity._core import Mailboxes, Message, Wake
from infinity.backoff import Backoff
from infinity.errors import StoreError
from infinity.local.mailboxes import LocalMailbox
from infinity.stores.sqlite.wakeup import Wakeup


class Inbox:
    """What is durable; reading fails as often as it is told to."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.failures = 0
        self.page = 3
        self.last = 0

    async def read(self, after: int) -> list[Message]:
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise StoreError("the disk is away")
        return [each for each in self.messages if each.seq > after][: self.page]

    def add(self, thread: str, number: int) -> Message:
        self.last += 1
        message = Message(thread, f"{thread}{number}", "user", b"{}", seq=self.last)
        self.messages.append(message)
        return message


async def _all(mailbox: LocalMailbox, inbox: Inbox, count: int) -> list[str]:
    """Take until so many have come, consuming as slices do."""
    found: list[str] = []
    while len(found) < count:
        batch = await asyncio.wait_for(mailbox.take(), SOON)
        found += [each.id for each in batch.messages]
        inbox.messages = [each for each in inbox.messages if each.id not in found]
        mailbox.release(batch.thread)
    return found


@pytest.mark.trap("G2")
async def test_what_does_not_fit_is_read_back_in_order() -> None:
    inbox, wakeup = Inbox(), Wakeup(Wake())
    wakeup.start()
    mailbox = LocalMailbox(Mailboxes(wakeup.wake, capacity=4), wakeup, inbox.read)
    for number in range(20):
        mailbox.put([inbox.add("t", number)])
        mailbox.put([inbox.add("other", number)] if number < 3 else [])
    found = await _all(mailbox, inbox, 23)
    assert [id for id in found if id.startswith("t")] == [f"t{number}" for number in range(20)]
    assert [id for id in found if id.startswith("other")] == ["other0", "other1", "other2"]
    await mailbox.close()
    wakeup.stop()


async def test_what_arrives_while_reading_back_is_not_lost_and_does_not_overtake() -> None:
    inbox, wakeup = Inbox(), Wakeup(Wake())
    wakeup.start()
    mailbox = LocalMailbox(Mailboxes(wakeup.wake, capacity=2), wakeup, inbox.read)
    for number in range(5):
        mailbox.put([inbox.add("t", number)])
    found: list[str] = []
    number = 5
    while len(found) < 30:
        batch = await asyncio.wait_for(mailbox.take(), SOON)
        found += [each.id for each in batch.messages]
        inbox.messages = [each for each in inbox.messages if each.id not in found]
        mailbox.release("t")
        if number < 30:
            mailbox.put([inbox.add("t", number)])
            await asyncio.sleep(0)
            mailbox.put([inbox.add("t", number + 1)])
            number += 2
    assert found == [f"t{each}" for each in range(number)][: len(found)]
    await mailbox.close()
    wakeup.stop()


@pytest.mark.trap("R1")
async def test_a_store_that_cannot_be_read_for_a_while_costs_nothing_but_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("infinity.local.overflow.BACKOFF", Backoff(0.01, 0.01))
    inbox, wakeup = Inbox(), Wakeup(Wake())
    wakeup.start()
    inbox.failures = 3
    mailbox = LocalMailbox(Mailboxes(wakeup.wake, capacity=1), wakeup, inbox.read)
    for number in range(4):
        mailbox.put([inbox.add("t", number)])
    assert await _all(mailbox, inbox, 4) == ["t0", "t1", "t2", "t3"]
    await mailbox.close()
    wakeup.stop()
