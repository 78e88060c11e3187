"""Slices that take much memory take turns; small ones never wait."""

from __future__ import annotations

import asyncio

import pytest
from tests.patience import PATIENCE

from infinity.engine.room import SMALL, Room, cost

pytestmark = pytest.mark.trap("G6")

LARGE = 4 * SMALL


async def test_large_slices_run_as_many_at_once_as_there_is_room_for() -> None:
    room = Room(3 * LARGE)
    running, most, done = 0, 0, 0

    async def run() -> None:
        nonlocal running, most, done
        await room.take(LARGE)
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running, done = running - 1, done + 1
        room.give(LARGE)

    await asyncio.gather(*(run() for _ in range(50)))
    assert (most, done) == (3, 50)
    assert room.take_now(3 * LARGE)  # everything was given back


async def test_one_that_is_larger_than_the_room_runs_alone() -> None:
    room = Room(LARGE)
    await room.take(10 * LARGE)
    assert not room.take_now(LARGE)
    assert room.take_now(SMALL)
    waiting = asyncio.ensure_future(room.take(20 * LARGE))
    await asyncio.sleep(0)
    assert not waiting.done()
    room.give(10 * LARGE)
    room.give(SMALL)
    await asyncio.wait_for(waiting, PATIENCE)


async def test_they_come_in_order_and_a_large_one_is_not_overtaken_for_ever() -> None:
    room = Room(2 * LARGE)
    await room.take(2 * LARGE)
    order: list[str] = []

    async def run(name: str, size: int) -> None:
        await room.take(size)
        order.append(name)

    tasks = [asyncio.ensure_future(run("two", 2 * LARGE)), asyncio.ensure_future(run("one", LARGE))]
    await asyncio.sleep(0)
    assert not room.take_now(LARGE)
    room.give(2 * LARGE)
    await asyncio.sleep(0)
    assert order == ["two"]
    room.give(2 * LARGE)
    await asyncio.gather(*tasks)
    assert order == ["two", "one"]


async def test_one_that_stops_waiting_takes_nothing_with_it() -> None:
    room = Room(LARGE)
    await room.take(LARGE)
    leaving, waiting = (asyncio.ensure_future(room.take(LARGE)) for _ in range(2))
    await asyncio.sleep(0)
    room.give(LARGE)  # the first of them has its turn, and leaves before it knows
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await asyncio.wait_for(waiting, PATIENCE)
    room.give(LARGE)
    assert room.take_now(LARGE)


def test_a_history_counts_with_the_request_that_is_made_of_it() -> None:
    assert cost(1 << 20) >= 2 << 20
