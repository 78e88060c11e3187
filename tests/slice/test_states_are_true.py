"""What is said of a thread is true: it is not idle while something goes on, and says what, since when and until when (I7, I14)."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import msgspec
from tests.asking import asked
from tests.slice.scenes import SOON, Streaming, World

from infinity import Agent
from infinity.api.threads import list_threads
from infinity.errors import BadRequest
from infinity.message import Action
from infinity.settings import Limits
from infinity.testing.replies import call, say
from infinity.testing.tool_server import ToolServer


async def _listed(world: World) -> dict[str, Any]:
    _, found = await asked(world.runtime, list_threads)
    return {row["id"]: row for row in found["threads"]}


async def test_a_thread_whose_slice_runs_is_not_listed_as_idle(world: World) -> None:
    streaming = Streaming("so", say("so it is"))
    world.model.then(streaming)
    thread = await world.thread("go")
    async with asyncio.timeout(SOON):
        await streaming.started.wait()
    assert (await _listed(world))[thread]["status"] == "waiting"
    explained = await world.runtime.explain(thread)
    assert explained.state == "running"
    assert [reason.since for reason in explained.reasons if reason.kind == "running"] == [world.clock.now()]
    streaming.go_on.set()
    await world.said(thread, "so it is")
    await world.settled(thread)
    assert (await _listed(world))[thread]["status"] == "idle"


async def test_a_thread_that_is_held_back_says_so_and_until_when(open_world: Any) -> None:
    world = await open_world(agent=Agent(limits=Limits(requests_per_minute=1))).start()
    world.model.then(say("first"), say("second"))
    await world.said(await world.thread("one"), "first")
    held = await world.thread("two")
    await world.until(lambda: world.clock.sleeping() == 1)
    explained = await world.runtime.explain(held)
    assert explained.state == "waiting"
    (reason,) = [reason for reason in explained.reasons if reason.kind == "pace"]
    assert "limits.requests_per_minute" in reason.text and reason.until == world.clock.now() + 60_000
    assert (await _listed(world))[held]["status"] == "waiting"
    world.clock.advance(61)
    await world.said(held, "second")
    assert "pace" not in {reason.kind for reason in (await world.runtime.explain(held)).reasons}
    await world.close()


async def test_an_open_call_says_since_when_it_runs(tooled: World, server: ToolServer) -> None:
    tooled.model.then(call(("a", {})))
    began = tooled.clock.now()
    thread = await tooled.thread("go")
    await server.invoked()
    tooled.clock.advance(90)
    (reason,) = [each for each in (await tooled.runtime.explain(thread)).reasons if each.kind == "call"]
    assert reason.since == began


async def test_a_refused_event_is_told_of_the_call_that_is_still_open(
    tooled: World, server: ToolServer
) -> None:
    tooled.model.then(call(("a", {})))
    thread = await tooled.thread("go")
    id = (await server.invoked()).id
    await tooled.runtime.refuse_callback(thread, id, "subscription_event", BadRequest("it has no text"))
    await tooled.noted(thread, "problem")
    (reason,) = [each for each in (await tooled.runtime.explain(thread)).reasons if each.kind == "call"]
    assert "was refused" in reason.text and "it has no text" in reason.text
    tooled.model.then(say("good"))
    await server.answer(id, text="fine")
    await tooled.said(thread, "good")


async def test_a_result_of_a_cancelled_call_appears_in_the_stream_as_discarded(
    tooled: World, server: ToolServer
) -> None:
    tooled.model.then(call(("a", {})))
    thread = await tooled.thread("go")
    id = (await server.invoked()).id
    await tooled.runtime.control(thread, Action.INTERRUPT)
    await tooled.noted(thread, "call_ended", state="cancelled")
    seen: list[dict[str, Any]] = []

    async def look() -> None:
        async with aclosing(tooled.runtime.watch(thread)) as events:
            async for event in events:
                if event.kind == "discard":
                    seen.append(msgspec.json.decode(event.data))
                    return

    looking = asyncio.create_task(look())
    await tooled.until(lambda: tooled.runtime.feed.watching() == 1)
    await server.answer(id, text="too late")
    async with asyncio.timeout(SOON):
        await looking
    assert seen[0]["call_id"] == id and "cancelled" in seen[0]["reason"]
