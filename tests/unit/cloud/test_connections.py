"""Connections: reused, renewed before the server ends them, given up when their state is unclear."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from infinity.stores.postgres import connections
from infinity.stores.postgres.connections import UNTRIED, Connections


class Fake:
    def __init__(self, number: int) -> None:
        self.number = number
        self.closed = self.in_transaction = self.silent = False
        self.tried = 0

    async def fetchval(self, sql: str) -> int:
        self.tried += 1
        if self.silent:
            await asyncio.Event().wait()
        return 1

    def is_closed(self) -> bool:
        return self.closed

    def is_in_transaction(self) -> bool:
        return self.in_transaction

    def terminate(self) -> None:
        self.closed = True

    async def close(self, timeout: float) -> None:
        assert timeout > 0
        self.closed = True


class Desk:
    """Opens connections and knows what time it is."""

    def __init__(self, **how: Any) -> None:
        self.time = 0.0
        self.opened: list[Fake] = []
        self.connections = Connections(self._connect, now=lambda: self.time, **how)

    async def _connect(self) -> Fake:
        self.opened.append(Fake(len(self.opened)))
        return self.opened[-1]

    async def use(self) -> int:
        async with self.connections.one() as connection:
            return int(connection.number)


async def test_a_connection_is_used_again() -> None:
    desk = Desk()
    assert [await desk.use() for _ in range(3)] == [0, 0, 0]


async def test_a_connection_is_renewed_before_its_time_is_over() -> None:
    desk = Desk(lifetime=3_000.0)
    assert await desk.use() == 0
    desk.time = 2_999.0
    assert await desk.use() == 0
    desk.time = 3_000.0
    assert await desk.use() == 1
    assert desk.opened[0].closed
    # Its own time counts from its own beginning.
    desk.time = 5_999.0
    assert await desk.use() == 1


async def test_an_error_of_ours_keeps_the_connection_and_an_open_transaction_does_not() -> None:
    desk = Desk()
    with pytest.raises(ValueError, match="ours"):
        async with desk.connections.one():
            raise ValueError("ours")
    assert await desk.use() == 0
    async with desk.connections.one() as connection:
        connection.in_transaction = True
    assert desk.opened[0].closed
    assert await desk.use() == 1


async def test_a_connection_that_was_cancelled_or_lost_is_not_used_again() -> None:
    desk = Desk()

    async def hang() -> None:
        async with desk.connections.one():
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert desk.opened[0].closed
    assert await desk.use() == 1
    desk.opened[1].closed = True
    assert await desk.use() == 2


async def test_there_are_never_more_than_allowed_and_all_are_closed() -> None:
    desk = Desk(most=2)
    await asyncio.gather(*(desk.use() for _ in range(10)))
    async with desk.connections.one(), desk.connections.one():
        waiting = asyncio.create_task(desk.use())
        await asyncio.sleep(0)
        assert not waiting.done()
    await waiting
    assert len(desk.opened) <= 2
    await desk.connections.close()
    assert all(each.closed for each in desk.opened)


@pytest.mark.trap("R4")
async def test_a_connection_that_rested_for_long_is_tried_before_it_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the clock on the wall: a process that was frozen has not noticed the time."""
    monkeypatch.setattr(connections, "PROBE", 0.01)
    wall = 0.0
    desk = Desk(wall=lambda: wall)
    async with desk.connections.one(), desk.connections.one(), desk.connections.one():
        pass
    wall = UNTRIED - 1
    assert await desk.use() == 0
    assert [fake.tried for fake in desk.opened] == [0, 0, 0]
    wall = 2 * UNTRIED
    assert await desk.use() == 0
    assert [fake.tried for fake in desk.opened] == [1, 0, 0]
    # It has died without a word, and so have those that rested beside it: none of them is tried.
    wall = 4 * UNTRIED
    for fake in desk.opened:
        fake.silent = True
    assert await desk.use() == 3
    assert [fake.tried for fake in desk.opened] == [2, 0, 0, 0]
    assert [fake.closed for fake in desk.opened] == [True, True, True, False]


async def test_after_a_lost_connection_none_that_rests_is_used_again() -> None:
    desk = Desk()
    async with desk.connections.one(), desk.connections.one():
        pass
    desk.connections.drop()
    assert [fake.closed for fake in desk.opened] == [True, True]
    assert await desk.use() == 2


@pytest.mark.parametrize("error", [TimeoutError("no answer"), ConnectionResetError("reset")])
async def test_a_connection_that_gave_no_answer_is_not_used_again(error: OSError) -> None:
    desk = Desk()
    with pytest.raises(type(error)):
        async with desk.connections.one():
            raise error
    assert desk.opened[0].closed
    assert await desk.use() == 1
