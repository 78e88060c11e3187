"""What has ended is not sent (I13): however a call ends, its invocation does not leave any more, its function does not run again, and what is said of it is true."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from tests.slice.scenes import World

from infinity import Agent, tool
from infinity.message import Action
from infinity.settings import Policy, Retries, Timeouts
from infinity.testing.replies import call, say, texts
from infinity.testing.tool_server import CLOSE, HANG, Behaviour, ToolServer, failing
from infinity.testing.tool_server import tool as manifest_tool

HOUR = 3600


async def _world(open_world: Any, *functions: Any, **how: Any) -> World:
    made: World = open_world(**how)
    made.agent = replace(made.agent, tools=functions)
    return await made.start()


async def _nothing_leaves(world: World) -> bool:
    return await world.store.outbox() == []


def _last(world: World) -> str:
    return texts(world.model.requests[-1]["messages"][-1])


@pytest.mark.trap("R9")
async def test_a_call_past_its_deadline_is_not_sent_any_more(open_world: Any, server: ToolServer) -> None:
    settings = Agent(timeouts=Timeouts(call=30.0, dispatch_first=40.0), retries=Retries(dispatch=8))
    world = await _world(open_world, agent=settings, servers=[server])
    server.behaviours["a"] = failing(503)
    world.model.then(call(("a", {})), say("too late"))
    thread = await world.thread("go")
    await server.invoked()
    await world.until(lambda: world.clock.sleeping() > 0)
    world.clock.advance(30.1)
    await world.said(thread, "too late")
    del server.behaviours["a"]
    await world.until(lambda: _nothing_leaves(world))
    for _ in range(5):
        world.clock.advance(60)
        await world.settled(thread)
    assert len(server.invocations) == 1
    assert "attempted and not acknowledged" in _last(world)
    await world.close()


@pytest.mark.trap("R9")
async def test_a_deadline_that_passes_while_nobody_runs_ends_the_call_before_it_leaves_again(
    tooled: World, server: ToolServer
) -> None:
    """With the settings as they are: a laptop that is closed for two hours."""
    server.behaviours["a"] = failing(503)
    tooled.model.then(call(("a", {"pay": "1000 euros"})), say("I shall pay by another way."))
    thread = await tooled.thread("go")
    await server.invoked()
    await tooled.until(lambda: tooled.clock.sleeping() > 0)
    await tooled.stop(0)
    tooled.clock._now += 2 * HOUR * 1000
    del server.behaviours["a"]
    await tooled.start()
    await tooled.said(thread, "another way")
    await tooled.settled(thread)
    assert len(server.invocations) == 1
    assert "it may have arrived, or not" in _last(tooled)


@pytest.mark.trap("R9")
async def test_an_answered_call_whose_acknowledgement_was_lost_is_not_sent_again(
    tooled: World, server: ToolServer
) -> None:
    server.behaviours["a"] = Behaviour(status=503, text="done")
    tooled.model.then(call(("a", {})), say("thanks"))
    thread = await tooled.thread("go")
    invocation = await server.invoked()
    await tooled.until(lambda: tooled.clock.sleeping() > 0)
    await server.answer(invocation.id, text="done")
    await tooled.said(thread, "thanks")
    await tooled.settled(thread)
    for _ in range(10):
        tooled.clock.advance(61)
        await tooled.settled(thread)
    assert len(server.invocations) == 1
    await tooled.until(lambda: _nothing_leaves(tooled))
    assert [path for path, _ in server.notices] == [], "what is answered is not cancelled"


@pytest.mark.trap("R9")
async def test_a_hung_function_past_its_deadline_is_stopped_and_never_runs_again(open_world: Any) -> None:
    runs: list[str] = []

    @tool
    async def hang() -> str:
        """Hang."""
        runs.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            runs.append("ended")
        return "never"

    world = await _world(open_world, hang)
    world.model.then(call(("hang", {})), say("too late"))
    thread = await world.thread("go")
    await world.until(lambda: len(runs) == 1)
    world.clock.advance(world.settings.timeouts.call + 1)
    await world.said(thread, "too late")
    assert "was told to stop" in _last(world)
    await world.until(lambda: runs == ["begun", "ended"])
    for _ in range(3):
        await world.restart()
        await world.settled(thread)
    assert runs == ["begun", "ended"]
    assert await world.store.outbox() == []
    await world.close()


async def _refused_port(server: ToolServer) -> None:
    """Nobody listens at the server's address any more."""
    await server.__aexit__(None, None, None)


@pytest.mark.trap("M7")
async def test_the_deadline_of_what_never_left_says_so_and_nobody_is_told_to_cancel_it(
    open_world: Any,
) -> None:
    server = await ToolServer([manifest_tool("a")]).__aenter__()
    other = await ToolServer([manifest_tool("b")], name="other").__aenter__()
    settings = Agent(timeouts=Timeouts(call=30.0, dispatch_first=40.0))
    world = await _world(open_world, agent=settings, servers=[server, other])
    await world.runtime.create(id="warm")
    await world.runtime.catalogs.of("warm")
    await _refused_port(server)
    world.model.then(call(("a", {})), say("too late"))
    await world.runtime.send("warm", "go")
    await world.until(lambda: world.clock.sleeping() > 0)
    world.clock.advance(30.1)
    await world.said("warm", "too late")
    assert "a was never sent" in _last(world)
    await world.until(lambda: len(world.runtime.outbox) == 0)
    assert other.notices == []
    await world.close()
    await other.__aexit__(None, None, None)


@pytest.mark.trap("M7")
@pytest.mark.parametrize("behaviour", [HANG, CLOSE, failing(503)], ids=["hangs", "closes", "503"])
async def test_the_deadline_of_what_may_have_arrived_says_so(
    open_world: Any, server: ToolServer, behaviour: Behaviour
) -> None:
    settings = Agent(timeouts=Timeouts(call=5.0, dispatch_first=40.0))
    world = await _world(open_world, agent=settings, servers=[server])
    server.behaviours["a"] = behaviour
    world.model.then(call(("a", {})), say("too late"))
    thread = await world.thread("go")
    await server.invoked()
    await world.settled(thread)
    world.clock.advance(5.1)
    await world.said(thread, "too late")
    assert "attempted and not acknowledged" in _last(world)
    await world.close()


@pytest.mark.trap("M7")
async def test_the_deadline_of_what_was_acknowledged_says_so(tooled: World, server: ToolServer) -> None:
    tooled.model.then(call(("a", {})), say("too late"))
    thread = await tooled.thread("go")
    invocation = await server.invoked()
    await tooled.until(lambda: len(tooled.runtime.outbox) == 0)
    await tooled.restart()
    tooled.clock.advance(tooled.settings.timeouts.call)
    await tooled.said(thread, "too late")
    assert "had acknowledged it" in _last(tooled)
    notice = ("/cancel_tool_call", {"thread_id": thread, "tool_call_id": invocation.id})
    await server.until(lambda: notice in server.notices, "the cancel notice")


@pytest.mark.rap("CAN-1")
async def test_nobody_is_told_to_cancel_what_the_user_has_not_allowed_yet(open_world: Any) -> None:
    async with ToolServer([manifest_tool("a")]) as server:
        world = await open_world(servers=[server], agent=Agent(policy=Policy(default="ask"))).start()
        world.model.then(call(("a", {})))
        thread = await world.thread("go")
        await world.noted(thread, "prompt", prompt_kind="consent")
        await world.runtime.control(thread, Action.INTERRUPT)
        await world.noted(thread, "call_ended", state="cancelled")
        await world.until(lambda: len(world.runtime.outbox) == 0)
        assert server.notices == []
        assert await world.store.prompts(thread) == []
        await world.close()
