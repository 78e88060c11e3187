"""What was left open at a tool server that is not configured any more ends with words at the next start."""

from __future__ import annotations

from typing import Any

import pytest
from tests.slice.scenes import World
from tests.slice.test_subscriptions import subscribed

from infinity import Agent
from infinity.settings import Policy
from infinity.testing.replies import call, say, texts
from infinity.testing.tool_server import ToolServer, tool


def _last(world: World) -> str:
    return texts(world.model.requests[-1]["messages"][-1])


@pytest.mark.trap("B3")
@pytest.mark.parametrize("asked", [False, True])
async def test_an_open_call_without_a_deadline_fails_and_its_question_is_gone(
    open_world: Any, asked: bool
) -> None:
    async with ToolServer([tool("slow", annotations={"longRunning": True})]) as server:
        world: World = await open_world(servers=[server]).start()
        world.model.then(call(("slow", {})))
        thread = await world.thread("go")
        invocation = await server.invoked()
        await world.settled(thread)
        if asked:
            assert await server.choice(invocation.id, prompt="Which?", choices=["x"]) == 200
            await world.noted(thread, "prompt")
        world.servers = []
        world.model.then(say("a pity"))
        await world.restart()
        await world.said(thread, "a pity")
        assert "not configured any more" in _last(world)
        await world.settled(thread)
        assert (await world.runtime.explain(thread)).reasons == []
        assert await world.store.prompts(thread) == []
        await world.close()


async def test_a_subscription_ends_and_the_agent_hears_of_it(tooled: World, server: ToolServer) -> None:
    thread, call_id = await subscribed(tooled, server)
    tooled.servers = []
    tooled.model.then(say("no more events then"))
    await tooled.restart()
    await tooled.said(thread, "no more events then")
    assert "The subscription of watch has ended" in _last(tooled)
    await tooled.settled(thread)
    assert (await tooled.runtime.explain(thread)).reasons == []
    assert await server.event(call_id, text="late") == 409


async def test_permission_is_not_asked_for_what_cannot_be_sent(open_world: Any) -> None:
    async with ToolServer([tool("a")]) as server:
        world: World = await open_world(servers=[server], agent=Agent(policy=Policy(default="ask"))).start()
        world.model.then(call(("a", {})))
        thread = await world.thread("go")
        await world.noted(thread, "prompt", prompt_kind="consent")
        world.servers = []
        world.model.then(say("never mind"))
        await world.restart()
        await world.said(thread, "never mind")
        assert await world.store.prompts(thread) == []
        await world.close()


async def test_calls_of_servers_that_stay_go_on_and_nothing_is_read_while_none_is_removed(
    open_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ToolServer([tool("a")]) as stays, ToolServer([tool("b")], name="other") as goes:
        world: World = await open_world(servers=[stays, goes]).start()
        world.model.then(call(("a", {})))
        thread = await world.thread("go")
        invocation = await stays.invoked()
        await world.settled(thread)
        world.servers = [stays]
        await world.restart()
        await world.until(lambda: world.runtime._ending is not None and world.runtime._ending.done())
        assert len((await world.runtime.explain(thread)).reasons) == 1
        await world.restart()
        await world.until(lambda: world.runtime._ending is not None and world.runtime._ending.done())
        world.model.then(say("done"))
        await stays.answer(invocation.id, text="42")
        await world.said(thread, "done")
        assert await world.runtime.end_removed() == 0
        await world.close()
