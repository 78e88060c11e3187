"""An idempotency key makes a repeat harmless; other content under it is refused, never dropped without a word."""

from __future__ import annotations

import pytest
from tests.slice.scenes import World

from infinity.abc import Status
from infinity.message import KEEP_CALLS, Action
from infinity.testing.replies import say


@pytest.mark.parametrize("restarted", [False, True], ids=["in one life", "after a restart"])
async def test_other_content_under_a_used_key_is_refused(world: World, restarted: bool) -> None:
    world.model.then(say("one"))
    thread = await world.thread()
    assert (await world.runtime.send(thread, "first", key="k")).status is Status.ACCEPTED
    await world.said(thread, "one")
    await world.settled(thread)
    if restarted:
        await world.restart()
    for _ in range(2):
        assert (await world.runtime.send(thread, "first", key="k")).status is Status.DUPLICATE
        assert (await world.runtime.send(thread, "second", key="k")).status is Status.REUSED
        assert (await world.runtime.send(thread, "first", key="k", user_id="ann")).status is Status.REUSED
    assert len(world.model.requests) == 1


async def test_other_content_is_refused_while_the_first_is_queued(world: World) -> None:
    thread = await world.thread()
    await world.runtime.control(thread, Action.STOP)
    await world.settled(thread)
    world.runtime._inbox._keys._recent.clear()
    await world.runtime.loop.suspend([thread])
    await world.runtime.send(thread, "first", key="k")
    world.runtime._inbox._keys._recent.clear()
    assert (await world.runtime.send(thread, "second", key="k")).status is Status.REUSED
    assert (await world.runtime.send(thread, "first", key="k")).status is Status.DUPLICATE


async def test_a_key_is_found_far_back_in_a_long_history(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infinity.engine.idempotency._PAGE", 2)
    thread = await world.thread()
    for number in range(4):
        world.model.then(say(f"answer {number}"))
        await world.runtime.send(thread, f"text {number}", key=f"k{number}")
        await world.said(thread, f"answer {number}")
    await world.restart()
    assert (await world.runtime.send(thread, "other", key="k0")).status is Status.REUSED
    assert (await world.runtime.send(thread, "text 0", key="k0")).status is Status.DUPLICATE


async def test_a_control_under_the_key_of_another_is_not_dropped(world: World) -> None:
    thread = await world.thread()
    assert (await world.runtime.control(thread, Action.INTERRUPT, key="k")).status is Status.ACCEPTED
    assert (await world.runtime.control(thread, Action.INTERRUPT, key="k")).status is Status.DUPLICATE
    assert (
        await world.runtime.control(thread, Action.INTERRUPT, KEEP_CALLS, key="k")
    ).status is Status.REUSED
    assert (await world.runtime.control(thread, Action.STOP, key="k")).status is Status.ACCEPTED
    assert (await world.runtime.send(thread, "hi", key="k")).status is Status.ACCEPTED
