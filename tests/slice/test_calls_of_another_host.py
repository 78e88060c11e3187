"""Calls that came along with a conversation pass the policy of this host before they leave, with its callback URL."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from tests.slice.scenes import World

from infinity import Agent
from infinity.settings import Policy
from infinity.testing.replies import call, say
from infinity.testing.tool_server import Behaviour, ToolServer, failing

pytestmark = pytest.mark.trap("S14")

Verdict = Literal["allow", "ask", "deny"]


async def moved(world: World, server: ToolServer, verdict: Verdict, reply: str) -> str:
    """A thread whose call had not left at its old home, at its new one."""
    server.behaviour = failing(503)
    world.model.then(call(("a", {})), say(reply))
    thread = await world.thread("go")
    await server.until(lambda: bool(server.counts), "first try")
    server.invocations.clear()
    server.behaviour = Behaviour()
    await world.another_host()
    world.agent = Agent(policy=Policy(tools={"a": verdict}))
    await world.restart()
    world.clock.advance(120)
    return thread


async def test_what_is_allowed_leaves_with_the_callback_url_of_this_host(
    tooled: World, server: ToolServer
) -> None:
    thread = await moved(tooled, server, "allow", "done")
    invocation = await server.invoked()
    assert await server.answer(invocation.id, text="42") == 200
    await tooled.said(thread, "done")


async def test_what_is_denied_does_not_leave_and_the_model_hears_it(
    tooled: World, server: ToolServer
) -> None:
    thread = await moved(tooled, server, "deny", "a pity")
    await tooled.said(thread, "a pity")
    assert server.invocations == [] and "denied by this agent's policy" in str(tooled.model.requests[-1])


@pytest.mark.parametrize("allowed", [True, False])
async def test_what_is_asked_about_waits_for_the_user(
    tooled: World, server: ToolServer, allowed: bool
) -> None:
    thread = await moved(tooled, server, "ask", "done")
    prompt = await tooled.noted(thread, "prompt", prompt_kind="consent")
    await tooled.settled(thread)
    await tooled.restart()
    assert server.invocations == []
    await tooled.runtime.choose(thread, str(prompt["id"]), 0 if allowed else 1)
    if allowed:
        invocation = await server.invoked()
        assert await server.answer(invocation.id, text="42") == 200
    await tooled.said(thread, "done")
    assert len(server.invocations) == allowed


async def test_what_was_asked_elsewhere_is_not_sent_where_it_is_denied(
    open_world: Any, server: ToolServer
) -> None:
    world = await open_world(servers=[server], agent=Agent(policy=Policy(tools={"a": "ask"}))).start()
    world.model.then(call(("a", {})), say("a pity"))
    thread = await world.thread("go")
    prompt = await world.noted(thread, "prompt", prompt_kind="consent")
    await world.settled(thread)
    world.agent = Agent(policy=Policy(tools={"a": "deny"}))
    await world.restart()
    await world.runtime.choose(thread, str(prompt["id"]), 0)
    await world.said(thread, "a pity")
    assert server.invocations == []
