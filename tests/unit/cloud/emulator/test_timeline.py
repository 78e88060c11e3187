"""The emulator's time: alarms in order on one clock, and none of it moves while nothing is due."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any

import pytest
from tests.patience import PATIENCE

from infinity.emulator import Emulator, WallClock
from infinity.emulator.clock import Timeline
from infinity.testing.clock import START, VirtualClock


async def turns() -> None:
    """Let everything that is ready run."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_alarms_ring_in_order_and_not_before_their_time() -> None:
    clock = VirtualClock()
    timeline = Timeline(clock)
    timeline.start()
    rung: list[str] = []
    timeline.at(START + 2000, lambda: rung.append("second"))
    timeline.at(START + 1001, lambda: rung.append("first"))
    timeline.at(START + 2000, lambda: rung.append("third"))
    await turns()
    clock.advance(1.0)
    await turns()
    assert rung == []
    clock.advance(0.001)
    await turns()
    assert rung == ["first"]
    clock.advance(1)
    await turns()
    assert rung == ["first", "second", "third"]
    await timeline.close()


async def test_a_cancelled_alarm_does_not_ring() -> None:
    clock = VirtualClock()
    timeline = Timeline(clock)
    timeline.start()
    rung: list[str] = []
    timeline.at(START + 1000, lambda: rung.append("cancelled")).cancel()
    timeline.at(START + 3000, lambda: rung.append("kept"))
    await turns()
    clock.advance(10)
    await turns()
    assert rung == ["kept"]
    await timeline.close()


async def test_an_earlier_alarm_goes_before_one_that_is_waited_for() -> None:
    clock = VirtualClock()
    timeline = Timeline(clock)
    timeline.start()
    rung: list[str] = []
    timeline.at(START + 86_400_000, lambda: rung.append("late"))
    await turns()
    timeline.at(START + 1000, lambda: rung.append("early"))
    await turns()
    clock.advance(1)
    await turns()
    assert rung == ["early"]
    await timeline.close()


async def test_an_alarm_may_set_another() -> None:
    clock = VirtualClock()
    timeline = Timeline(clock)
    timeline.start()
    rung: list[int] = []

    def again() -> None:
        rung.append(clock.now())
        if len(rung) < 3:
            timeline.at(clock.now() + 1000, again)

    timeline.at(START + 1000, again)
    for _ in range(5):
        await turns()
        clock.advance(1)
    await turns()
    assert len(rung) == 3
    await timeline.close()


async def test_the_systems_clock_serves_as_well() -> None:
    timeline = Timeline(WallClock())
    timeline.start()
    async with asyncio.timeout(PATIENCE):
        await timeline.sleep(20)
    await timeline.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel counts wake-ups per thread on Linux")
async def test_an_emulator_with_nothing_to_do_does_not_wake_up() -> None:
    def serve(started: threading.Event, stop: list[Any], wakes: list[int]) -> None:
        async def main() -> None:
            async with Emulator(WallClock()) as aws:
                url = aws.sqs.create("inbox.fifo", VisibilityTimeout=30)

                async def handler(event: Any, context: Any) -> None: ...

                aws.lambdas.create("agent", handler, timeout=30)
                aws.lambdas.map(url, "agent")
                done = asyncio.Event()
                stop.append((asyncio.get_running_loop(), done))
                await turns()
                wakes.append(threading.get_native_id())
                started.set()
                await done.wait()

        asyncio.run(main())

    started, stop, thread_ids = threading.Event(), [], []
    thread = threading.Thread(target=serve, args=(started, stop, thread_ids))
    thread.start()
    await asyncio.to_thread(started.wait, 10)

    def switches() -> int:
        with open(f"/proc/self/task/{thread_ids[0]}/status") as status:
            return sum(int(line.split()[1]) for line in status if "ctxt_switches" in line)

    # The loop has turned for the last time before it waits.
    await asyncio.to_thread(threading.Event().wait, 0.2)
    before = switches()
    await asyncio.to_thread(threading.Event().wait, 1.0)
    assert switches() - before <= 1
    loop, done = stop[0]
    loop.call_soon_threadsafe(done.set)
    await asyncio.to_thread(thread.join, 10)
