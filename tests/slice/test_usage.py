"""Usage has named fields wherever it appears: in each turn, in the event of the slice, and summed for the thread."""

from __future__ import annotations

from tests.asking import asked
from tests.slice.scenes import World

from infinity.api.threads import get_thread
from infinity.errors import Overloaded
from infinity.testing.replies import say

ONCE = {"input": 10, "output": 5, "cache_read": 0, "cache_write": 0}


async def test_usage_has_named_fields_per_turn_and_in_sums(world: World) -> None:
    world.model.then(say("one"), say("two"))
    thread = await world.thread("go")
    await world.said(thread, "one")
    assert (await world.noted(thread, "slice"))["usage"] == ONCE
    await world.settled(thread)
    await world.runtime.send(thread, "again")
    await world.said(thread, "two")
    await world.settled(thread)
    turns = [entry["meta"]["usage"] for entry in await world.history(thread) if entry["kind"] == "turn"]
    assert turns == [ONCE, ONCE]
    _, described = await asked(world.runtime, get_thread, id=thread)
    assert described["usage"] == {"input": 20, "output": 10, "cache_read": 0, "cache_write": 0}


async def test_a_turn_says_who_answered_when_how_long_it_took_and_what_was_tried_before(world: World) -> None:
    world.model.then(Overloaded("busy"), say("there you are"))
    asked_at = world.clock.now()
    thread = await world.thread("go")
    await world.until(lambda: world.clock.next_due() is not None)
    waited = (world.clock.next_due() or 0) - world.clock.now()
    world.clock.advance(waited / 1000)
    await world.said(thread, "there you are")
    turn = (await world.history(thread))[-1]["meta"]
    assert (turn["model_id"], turn["asked_at"], turn["errors"]) == ("model", asked_at, ["overloaded"])
    assert turn["first_ms"] == turn["ms"] == waited > 0
    slice = await world.noted(thread, "slice")
    assert (slice["started_at"], slice["queued_ms"], slice["messages"]) == (asked_at, 0, 1)
