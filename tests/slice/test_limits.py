"""Limits hold, say what was hit, and can be lifted by anyone who set them; nothing loops and nothing is lost (G2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from tests.slice.scenes import World
from tests.slice.test_compaction import ASKED, talk
from tests.slice.test_subscriptions import subscribed

from infinity import Agent
from infinity.abc import Part, Text, Turn, Usage
from infinity.message import Action
from infinity.settings import Limits, Timeouts
from infinity.testing.replies import call, say
from infinity.testing.tool_server import ToolServer, tool


async def _world(open_world: Any, *servers: ToolServer, **limits: Any) -> World:
    world: World = await open_world(servers=list(servers), agent=Agent(limits=Limits(**limits))).start()
    return world


class Crowd:
    """A reply that counts how many of it run at once, and ends when it is told to."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.go_on = asyncio.Event()

    async def __call__(self, _: dict[str, Any]) -> AsyncIterator[Part]:
        self.now += 1
        self.most = max(self.most, self.now)
        yield Text("…")
        await self.go_on.wait()
        self.now -= 1
        yield say("done")


@pytest.mark.rap("SUB-5")
@pytest.mark.trap("G2")
async def test_a_burst_of_events_runs_as_many_threads_at_once_as_it_may_and_all_in_the_end(
    open_world: Any,
) -> None:
    async with ToolServer([tool("watch")]) as server:
        world = await _world(open_world, server, concurrent_slices=3)
        thread, call_id = await subscribed(world, server)
        crowd = Crowd()
        world.model.then(*[crowd] * 20)
        statuses = await asyncio.gather(*(server.event(call_id, text=f"event {n}") for n in range(20)))
        assert statuses == [200] * 20, "accepted at once, whatever runs"
        await world.until(lambda: crowd.now == 3)
        crowd.go_on.set()
        await world.until(lambda: len(world.model.requests) == 2 + 20)
        await world.until(lambda: not world.runtime.running)
        assert crowd.most == 3
        assert len(await world.store.threads(parent=thread)) == 20
        await world.close()


@pytest.mark.rap("SUB-5")
@pytest.mark.trap("G2")
async def test_an_event_beyond_the_limit_of_children_is_given_to_the_thread_itself(open_world: Any) -> None:
    async with ToolServer([tool("watch")]) as server:
        world = await _world(open_world, server, children=1)
        thread, call_id = await subscribed(world, server)
        world.model.when("event 1", say("in a child"))
        world.model.when("event 2", say("here, then"))
        await server.event(call_id, text="event 1")
        await world.until(lambda: len(world.model.requests) == 3)
        await server.event(call_id, text="event 2")
        await world.said(thread, "here, then")
        problem = await world.noted(thread, "problem", code="limit")
        assert "limits.children" in problem["text"]
        assert len(await world.store.threads(parent=thread)) == 1
        await world.close()


@pytest.mark.parametrize("share", [0.25, 0.75])
async def test_the_share_of_the_window_at_which_a_history_is_summarised_is_configured(
    open_world: Any, share: float
) -> None:
    world = await _world(open_world, compact_above=share)
    thread = await world.thread()
    await talk(world, thread, 6)
    world.model.info = replace(world.model.info, context_window=1000)
    world.model.when("half", Turn([{"type": "text", "text": "half full"}], usage=Usage(input=500)))
    world.model.when(ASKED, say("the summary"))
    await world.runtime.send(thread, "half")
    if share < 0.5:
        await world.noted(thread, "compaction", state="applied")
    else:
        await world.said(thread, "half full")
        await world.settled(thread)
        assert not [request for request in world.model.requests if ASKED in str(request["messages"][-1])]
    await world.close()


async def test_money_that_is_used_up_pauses_and_resume_allows_as_much_again(open_world: Any) -> None:
    world = await _world(open_world, tree_dollars=0.0001)
    world.model.info = replace(world.model.info, price=(10.0, 10.0, 0.0, 0.0))
    world.model.then(say("one"), say("two"))
    thread = await world.thread("hi")
    await world.said(thread, "one")
    await world.runtime.send(thread, "more")
    problem = await world.noted(thread, "problem", code="budget")
    assert "limits.tree_dollars" in problem["text"] and "resume" in problem["text"]
    await world.settled(thread)
    assert len(world.model.requests) == 1
    await world.restart()
    assert (await world.runtime.explain(thread)).reasons[0].text.startswith("budget:")
    await world.runtime.control(thread, Action.RESUME)
    await world.said(thread, "two")
    await world.close()


async def test_too_many_rounds_pause_and_resume_goes_on(open_world: Any) -> None:
    world = await _world(open_world, rounds=2)
    wrong = call(("no_such_tool", {}))
    world.model.then(wrong, wrong, say("got it"))
    thread = await world.thread("hi")
    problem = await world.noted(thread, "problem", code="limit")
    assert "limits.rounds" in problem["text"] and "resume" in problem["text"]
    await world.settled(thread)
    assert len(world.model.requests) == 2
    await world.runtime.control(thread, Action.RESUME)
    await world.said(thread, "got it")
    assert (await world.runtime.explain(thread)).reasons == []
    await world.close()


@pytest.mark.trap("B1")
async def test_a_completion_has_its_time_whatever_the_model_does(open_world: Any) -> None:
    world: World = await open_world(agent=Agent(timeouts=Timeouts(completion=1.0, short_wait=0.0))).start()
    for_ever = Crowd()
    world.model.then(for_ever, say("this time"))
    thread = await world.thread("hi")
    problem = await world.noted(thread, "problem")
    assert problem["code"] == "model_unavailable" and "longer than" in problem["text"]
    await world.settled(thread)
    world.clock.advance(3600)
    await world.said(thread, "this time")
    await world.close()


@pytest.mark.trap("G8")
async def test_children_that_have_closed_do_not_count_against_the_limit(open_world: Any) -> None:
    world: World = await open_world(agent=Agent(limits=Limits(children=2))).start()
    thread = await world.runtime.create()
    for number in range(4):
        world.model.when(f"spawn {number}", call(("spawn_thread", {"instructions": f"part {number}"})))
        world.model.when(f"part {number}", call(("close_thread", {"report": f"report {number}"})))
        world.model.then(say(f"spawned {number}"))
        world.model.when(f"report {number}", say(f"heard {number}"))
        await world.runtime.send(thread, f"spawn {number}")
        await world.said(thread, f"heard {number}")
        await world.settled(thread)
    assert "limits.children" not in str(world.model.requests)
    for number in range(4, 7):
        world.model.when(f"spawn {number}", call(("spawn_thread", {"instructions": f"part {number}"})))
        world.model.when(f"part {number}", call(("sleep_until_event_or_input", {})))
        world.model.then(say(f"asked {number}"))
        await world.runtime.send(thread, f"spawn {number}")
        await world.said(thread, f"asked {number}")
        await world.settled(thread)
    assert "a thread may have 2 children that are not closed (limits.children)" in str(world.model.requests)
    assert await world.store.open_children(thread) == 2
    await world.close()


@pytest.mark.trap("G2")
async def test_the_threads_of_a_tree_are_bounded_whoever_spawns_them(open_world: Any) -> None:
    world: World = await open_world(agent=Agent(limits=Limits(tree_threads=2))).start()
    thread = await world.runtime.create()
    world.model.when("first", call(("spawn_thread", {"instructions": "dig one"})))
    world.model.when("dig one", call(("spawn_thread", {"instructions": "dig two"})))
    world.model.when("dig two", call(("spawn_thread", {"instructions": "dig three"})))
    world.model.then(say("spawned"), say("spawned"), say("refused"))
    await world.runtime.send(thread, "first")
    (child,) = await _until_children(world, thread)
    (grandchild,) = await _until_children(world, child)
    await world.said(grandchild, "refused")
    assert (
        "a conversation may have 2 threads below its root that are not closed (limits.tree_threads)"
        in str(world.model.requests)
    )
    assert await world.store.living(thread) == 2 and await world.store.open_children(grandchild) == 0
    await world.close()


async def _until_children(world: World, thread: str) -> list[str]:
    await world.noted(thread, "child")
    return [row.id for row in await world.store.threads(parent=thread)]
