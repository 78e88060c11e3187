"""The armed alarm: what falls due while timers fire is not forgotten (B11)."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from tests.patience import PATIENCE

from infinity.engine.timers import Timers
from infinity.testing.clock import START, VirtualClock


class SlowStore:
    """Answers what is due next as of the moment of the question, when the test lets it."""

    def __init__(self) -> None:
        self.fired: list[int] = []
        self.may_answer = asyncio.Event()
        self.asked = asyncio.Event()

    async def fire_timers(self, now: int) -> list[Any]:
        self.fired.append(now)
        return []

    async def next_timer(self) -> int | None:
        self.asked.set()
        await self.may_answer.wait()
        return None


@pytest.mark.trap("B11")
async def test_a_timer_that_is_set_and_falls_due_while_others_fire_rings() -> None:
    store, clock = SlowStore(), VirtualClock()
    services: Any = SimpleNamespace(
        store=store,
        clock=clock,
        mailbox=SimpleNamespace(put=lambda messages: None),
        observer=SimpleNamespace(gate=lambda where: None),
    )
    timers = Timers(services)
    timers.arm("thread", [("first", START + 1_000)])
    clock.advance(1.0)
    await asyncio.wait_for(store.asked.wait(), PATIENCE)
    timers.arm("thread", [("second", START + 2_000)])
    clock.advance(1.0)
    assert store.fired == [START + 1_000]
    store.asked.clear()
    store.may_answer.set()
    await asyncio.wait_for(store.asked.wait(), PATIENCE)
    assert store.fired == [START + 1_000, START + 2_000]
    await timers.stop()
