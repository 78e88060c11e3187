"""Usage has named fields wherever it appears: in each turn, in the event of the slice, and summed for the thread."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.asking import asked
from tests.slice.scenes import World

from infinity.api.threads import get_thread
from infinity.api.usage import list_usage
from infinity.errors import BadRequest, Overloaded
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


async def test_what_a_turn_and_its_slice_have_cost_is_said_in_dollars(world: World) -> None:
    world.model.info = replace(world.model.info, price=(5.0, 10.0, 0.0, 0.0))
    world.model.then(say("one"))
    thread = await world.thread("go")
    slice = await world.noted(thread, "slice")
    (turn,) = [entry["meta"] for entry in await world.history(thread) if entry["kind"] == "turn"]
    assert turn["cost"] == slice["spent"] == (10 * 5 + 5 * 10) / 1_000_000


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
    assert turn["first_ms"] == turn["ms"] == waited > 0 and turn["attempts"] == 2
    slice = await world.noted(thread, "slice")
    assert (slice["started_at"], slice["queued_ms"], slice["messages"]) == (asked_at, 0, 1)


async def test_what_was_used_is_summed_by_day_model_conversation_and_thread(world: World) -> None:
    world.model.then(say("one"), say("two"), say("three"))
    threads = [await world.thread("go") for _ in range(2)]
    for thread in threads:
        await world.settled(thread)
    await world.runtime.send(threads[0], "again")
    await world.said(threads[0], "three")
    await world.settled(threads[0])
    [entry, *_] = [entry for entry in await world.history(threads[0]) if entry["kind"] == "turn"]
    turn, today = entry["meta"], datetime.fromtimestamp(entry["at"] / 1000, UTC).date()

    async def used(**query: str) -> list[tuple[Any, ...]]:
        status, found = await asked(world.runtime, list_usage, query)
        assert status == 200 and found["next"] is None
        sums = [(each["turns"], each["tokens"]["input"], each["tokens"]["output"]) for each in found["usage"]]
        assert sums == [(turns, 10 * turns, 5 * turns) for turns, *_ in sums]
        return [
            (each["day"], each["model"], each["root"], each["thread"], each["turns"])
            for each in found["usage"]
        ]

    assert turn["model"] and await used() == [(str(today), None, None, None, 3)]
    assert await used(by="model") == [(None, turn["model"], None, None, 3)]
    by_thread = [(None, None, thread, thread, count) for thread, count in zip(threads, (2, 1), strict=True)]
    assert await used(by="root,thread") == sorted(by_thread)
    assert await used(by="root", root=threads[1]) == [(None, None, threads[1], None, 1)]
    yesterday = str(today - timedelta(days=1))
    assert await used(to=yesterday) == [] and len(await used(**{"from": yesterday, "to": str(today)})) == 1
    for wrong in ({"by": "user"}, {"from": "soon"}, {"to": "2026-13-01"}, {"after": "x"}):
        with pytest.raises(BadRequest):
            await asked(world.runtime, list_usage, wrong)
    _, page = await asked(world.runtime, list_usage, {"by": "thread", "limit": "1"})
    _, rest = await asked(world.runtime, list_usage, {"by": "thread", "limit": "1", "after": page["next"]})
    assert [each["thread"] for each in (*page["usage"], *rest["usage"])] == sorted(threads)
