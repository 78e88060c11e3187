"""A host whose time is nearly over ends a running completion: what is complete is committed, the rest is asked for again by a timer."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from tests.slice.scenes import Streaming, World

from infinity import Agent
from infinity.settings import Limits, Retries
from infinity.testing.replies import call, say

FILL = 2
"""Turns of 64 refused calls that fill a slice: each changes more than half of ``work.FULL_ROWS``."""


@pytest.mark.trap("L14", "M5")
async def test_a_completion_that_does_not_fit_is_taken_back_and_asked_for_again(world: World) -> None:
    cut = Streaming("half of", say("never"))
    world.model.then(cut, say("all of it"))
    thread = await world.thread("hello")
    await cut.started.wait()
    world.runtime.slices.expire(thread)
    await world.said(thread, "all of it")
    assert await world.kinds(thread) == ["user", "user", "turn"], "half a turn is not an entry (L8)"
    assert (await world.model.request(2))["messages"] == (await world.model.request(1))["messages"]


async def test_turns_that_were_complete_are_kept(world: World) -> None:
    cut = Streaming("half of", say("never"))
    world.model.then(call(("no_such_tool", {})), cut, say("all of it"))
    thread = await world.thread("hello")
    await cut.started.wait()
    world.runtime.slices.expire(thread)
    await world.said(thread, "all of it")
    assert await world.kinds(thread) == ["user", "user", "turn", "result", "turn"]
    assert len(world.model.requests) == 3, "the turn that was complete is not asked for again"


@pytest.mark.trap("R5", "L18")
async def test_a_completion_that_never_fits_is_given_up_and_says_so(open_world: Callable[..., World]) -> None:
    world = open_world(agent=Agent(retries=Retries(slices=2)))
    await world.start()
    cuts = [Streaming("half of", say("never")) for _ in range(3)]
    world.model.then(*cuts, say("it fits now"))
    thread = await world.thread("hello")
    for cut in cuts:
        await cut.started.wait()
        world.runtime.slices.expire(thread)
    problem = await world.noted(thread, "problem", code="time_limit")
    assert "3 times in a row" in problem["text"]
    assert await world.store.timers(thread) == []
    await world.runtime.send(thread, "again")
    await world.said(thread, "it fits now")
    await world.close()


async def test_the_time_that_is_over_while_nothing_streams_ends_the_slice_after_its_round(
    world: World,
) -> None:
    world.model.then(say("hello"))
    thread = await world.thread("hello")
    await world.said(thread, "hello")
    world.runtime.slices.expire(thread)
    assert await world.store.timers(thread) == [], "nobody has to be woken for nothing"


@pytest.mark.trap("B15", "G2")
async def test_a_slice_that_has_made_as_many_calls_as_a_commit_takes_goes_on_in_another_one(
    world: World,
) -> None:
    most = FILL + 1
    world.model.then(*[call(*[("no_such_tool", {})] * 64)] * most, say("that is all"))
    thread = await world.thread("use it all day")
    await world.said(thread, "that is all")
    rows = await world.store.feed(thread)
    slices = [json.loads(row.body) for row in rows if row.kind == "slice"]
    assert len(slices) == 2
    assert len(world.model.requests) == most + 1, "nothing is asked twice"


async def test_rounds_are_counted_over_slices_that_go_on_where_another_one_ended(
    open_world: Callable[..., World],
) -> None:
    rounds = FILL + 1
    world = open_world(agent=Agent(limits=Limits(rounds=rounds)))
    await world.start()
    world.model.then(*[call(*[("no_such_tool", {})] * 64)] * rounds)
    thread = await world.thread("never stop")
    problem = await world.noted(thread, "problem", code="limit")
    assert f"{rounds} completions in a row" in problem["text"]
    await world.settled(thread)
    assert len(world.model.requests) == rounds
    await world.close()
