"""Budgets pause with a reason that the user sees and can lift; nothing loops and nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.slice.scenes import World

from infinity import Agent
from infinity.abc import Turn, Usage
from infinity.message import Action
from infinity.settings import Limits
from infinity.testing.replies import call, say


def _costly(text: str) -> Turn:
    return Turn([{"type": "text", "text": text}], usage=Usage(input=60, output=40))


async def _world(open_world: Any, **limits: Any) -> World:
    world: World = await open_world(agent=Agent(limits=Limits(**limits))).start()
    return world


async def test_a_tree_that_used_its_tokens_pauses_and_resume_allows_as_much_again(open_world: Any) -> None:
    world = await _world(open_world, tree_tokens=150)
    world.model.then(_costly("one"), _costly("two"), _costly("three"), _costly("four"))
    thread = await world.thread("hi")
    await world.said(thread, "one")
    await world.runtime.send(thread, "more")
    await world.said(thread, "two")
    await world.runtime.send(thread, "even more")
    problem = await world.noted(thread, "problem", code="budget")
    assert "200 of 150 tokens" in problem["text"]
    await world.settled(thread)
    assert len(world.model.requests) == 2
    assert (await world.runtime.explain(thread)).state == "idle"
    await world.runtime.control(thread, Action.RESUME)
    await world.said(thread, "three")
    await world.close()


async def test_what_a_slice_has_bought_counts_before_its_commit(open_world: Any) -> None:
    """A call that is answered within the slice makes another round of it ready; the store knows nothing of the first yet."""
    world = await _world(open_world, tree_tokens=90)
    asking = replace(call(("cancel_subscription", {"tool_call_id": "call_none"})), usage=Usage(60, 40))
    world.model.then(asking, say("bought beyond the budget"))
    thread = await world.thread("hi")
    problem = await world.noted(thread, "problem", code="budget")
    assert "100 of 90 tokens" in problem["text"]
    await world.settled(thread)
    assert len(world.model.requests) == 1
    await world.close()


async def test_money_is_counted_by_the_models_prices_over_the_whole_tree(open_world: Any) -> None:
    world = await _world(open_world, tree_dollars=0.001)
    world.model.info = replace(world.model.info, price=(5.0, 10.0, 0.0, 0.0))
    world.model.then(call(("spawn_thread", {"instructions": "spend money"})))
    world.model.when("was created and works by itself", _costly("spawned"))
    world.model.when("spend money", _costly("spent"))
    parent = await world.thread("go")
    await world.said(parent, "spawned")
    (child,) = await world.store.threads(parent=parent)
    await world.said(child.id, "spent")
    tokens, microdollars = await world.store.spent(parent)
    assert (tokens, microdollars) == (15 + 100 + 100, 100 + 700 + 700)
    await world.runtime.send(parent, "again")
    problem = await world.noted(parent, "problem", code="budget")
    assert "$0.0015 of $0.0010" in problem["text"]
    await world.close()


async def test_requests_beyond_the_pace_wait_their_turn(open_world: Any) -> None:
    world = await _world(open_world, requests_per_minute=2)
    world.model.then(say("one"), say("two"), say("three"))
    threads = [await world.thread("hi") for _ in range(3)]
    await world.model.request(2)
    await world.until(lambda: world.clock.sleeping() == 1)
    assert len(world.model.requests) == 2
    world.clock.advance(60)
    await world.model.request(3)
    for thread in threads:
        await world.noted(thread, "slice")
    await world.close()


async def test_an_interrupt_ends_the_wait_for_the_pace(open_world: Any) -> None:
    world = await _world(open_world, requests_per_minute=1)
    world.model.then(say("one"), say("two"))
    first = await world.thread("hi")
    await world.said(first, "one")
    second = await world.thread("hi")
    await world.until(lambda: world.clock.sleeping() == 1)
    await world.runtime.control(second, Action.INTERRUPT)
    await world.noted(second, "status", status="interrupted")
    assert len(world.model.requests) == 1
    await world.close()
