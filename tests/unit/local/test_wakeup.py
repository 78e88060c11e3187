from __future__ import annotations

import asyncio

from tests.patience import PATIENCE as SOON

from infinity._core import Mailboxes, Message, Wake
from infinity.local.clock import SystemClock
from infinity.local.mailboxes import LocalMailbox
from infinity.stores.sqlite.wakeup import Wakeup


async def test_the_alarm_goes_off_once_at_its_time() -> None:
    wakeup = Wakeup(Wake())
    clock = SystemClock(wakeup)
    wakeup.start()
    went_off: asyncio.Queue[int] = asyncio.Queue()
    due_at = clock.now() + 30
    clock.wake_at(due_at, lambda: went_off.put_nowait(clock.now()))
    assert await asyncio.wait_for(went_off.get(), SOON) >= due_at
    wakeup.wake.signal()
    await asyncio.sleep(0.02)
    assert went_off.empty()
    wakeup.stop()


async def test_an_alarm_in_the_past_goes_off_soon() -> None:
    wakeup = Wakeup(Wake())
    clock = SystemClock(wakeup)
    wakeup.start()
    went_off = asyncio.Event()
    clock.wake_at(1, went_off.set)
    await asyncio.wait_for(went_off.wait(), SOON)
    wakeup.stop()


async def test_a_later_alarm_replaces_an_earlier_one() -> None:
    wakeup = Wakeup(Wake())
    clock = SystemClock(wakeup)
    wakeup.start()
    first, second = asyncio.Event(), asyncio.Event()
    clock.wake_at(clock.now() + 20, first.set)
    clock.wake_at(clock.now() + 40, second.set)
    await asyncio.wait_for(second.wait(), SOON)
    assert not first.is_set()
    clock.wake_at(clock.now() + 10, first.set)
    clock.wake_at(None, first.set)
    await asyncio.sleep(0.05)
    assert not first.is_set()
    wakeup.stop()


async def test_a_message_put_from_another_thread_wakes_a_taker() -> None:
    wakeup = Wakeup(Wake())
    boxes = Mailboxes(wakeup.wake)
    mailbox = LocalMailbox(boxes, wakeup, _no_inbox)
    wakeup.start()
    taking = asyncio.create_task(mailbox.take())
    await asyncio.sleep(0)
    await asyncio.to_thread(boxes.put, Message("t", "m", "user", b"{}"))
    assert (await asyncio.wait_for(taking, SOON)).thread == "t"
    wakeup.stop()


async def test_nothing_ticks_while_everything_waits() -> None:
    """I9, for the parts of the local host that wait: a taker, an alarm, the loop itself."""
    wakeup = Wakeup(Wake())
    clock = SystemClock(wakeup)
    mailbox = LocalMailbox(Mailboxes(wakeup.wake), wakeup, _no_inbox)
    wakeup.start()
    clock.wake_at(clock.now() + 3_600_000, lambda: None)
    taking = asyncio.create_task(mailbox.take())
    await asyncio.sleep(0.05)
    loop = asyncio.get_running_loop()
    turns, select = 0, loop._selector.select  # type: ignore[attr-defined]

    def counting(timeout: float | None) -> list[object]:
        nonlocal turns
        turns += 1
        found: list[object] = select(timeout)
        return found

    loop._selector.select = counting  # type: ignore[attr-defined]
    async with asyncio.timeout(SOON):
        # Until half a second goes by at rest; what ticks lets none.
        while turns > 2 or not turns:
            turns = 0
            await asyncio.sleep(0.5)
    taking.cancel()
    wakeup.stop()


async def _no_inbox(after: int) -> list[Message]:
    return []
