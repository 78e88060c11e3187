"""How questions end that nobody answers: with their call, whose deadline passes, which is interrupted, or whose thread closes; in children too."""

from __future__ import annotations

from typing import Any

import pytest
from tests.slice.test_subscriptions import subscribed
from tests.slice.world import World, call, say, texts

from infinity.errors import BadRequest
from infinity.message import Action
from infinity.settings import Settings, Timeouts
from infinity.testing.tool_server import ToolServer, tool


async def _asked(world: World, server: ToolServer, kind: str = "choice") -> tuple[str, str]:
    """A thread whose call waits for the user: its id and the call's."""
    world.model.then(call(("a", {})))
    thread = await world.thread("go")
    invocation = await server.invoked()
    if kind == "choice":
        assert await server.choice(invocation.id, prompt="Which?", choices=["x", "y"]) == 200
    else:
        assert await server.oauth(invocation.id) == 200
    await world.noted(thread, "prompt", id=f"{kind}.{invocation.id}")
    return thread, invocation.id


@pytest.mark.rap("CHO-1", "OAU-1", "RUN-5")
@pytest.mark.parametrize("kind", ["choice", "oauth"])
async def test_a_question_expires_with_its_call_which_fails_and_its_server_is_told(
    open_world: Any, kind: str
) -> None:
    async with ToolServer([tool("a")]) as server:
        world = await open_world(servers=[server], settings=Settings(timeouts=Timeouts(call=600))).start()
        thread, call_id = await _asked(world, server, kind)
        world.model.then(say("nobody answered"))
        world.clock.advance(599)
        await world.settled(thread)
        assert len(await world.store.prompts(thread)) == 1
        world.clock.advance(1)
        await world.said(thread, "nobody answered")
        assert "Error: a gave no result within 600 seconds" in texts(world.model.requests[-1]["messages"][-1])
        assert await world.store.prompts(thread) == []
        with pytest.raises(BadRequest, match="answered already"):
            await world.runtime.choose(thread, f"{kind}.{call_id}", 0)
        await server.until(lambda: bool(server.notices), "the cancel notice")
        assert server.choices == []
        await world.close()


@pytest.mark.rap("CHO-1")
async def test_a_question_of_a_long_running_tool_waits_for_as_long_as_it_takes(open_world: Any) -> None:
    async with ToolServer([tool("a", annotations={"longRunning": True})]) as server:
        world = await open_world(servers=[server]).start()
        thread, call_id = await _asked(world, server)
        world.clock.advance(90 * 24 * 3600)
        await world.settled(thread)
        await world.restart()
        await world.runtime.choose(thread, f"choice.{call_id}", None)
        await server.until(lambda: bool(server.choices), "the choice")
        assert server.choices == [{"id": call_id, "selected": 0}], "dismissed selects the default"
        await world.close()


@pytest.mark.rap("CHO-1", "CAN-1")
@pytest.mark.parametrize("action", [Action.INTERRUPT, Action.CLOSE])
async def test_a_question_ends_with_the_interrupt_or_the_thread(
    tooled: World, server: ToolServer, action: Action
) -> None:
    thread, _ = await _asked(tooled, server)
    await tooled.runtime.control(thread, action)
    await tooled.noted(thread, "call_ended", state="cancelled")
    await tooled.settled(thread)
    assert await tooled.store.prompts(thread) == []


@pytest.mark.rap("CHO-1", "CHO-2")
async def test_a_question_in_a_child_is_answered_there_after_a_restart(
    tooled: World, server: ToolServer
) -> None:
    thread, call_id = await subscribed(tooled, server)
    tooled.model.when("created for the event", call(("a", {})))
    await server.event(call_id, text="push")
    invocation = await server.invoked(2)
    child = invocation.group_id
    assert child != thread
    assert await server.choice(invocation.id, prompt="Which?", choices=["x", "y"]) == 200
    await tooled.noted(child, "prompt", id=f"choice.{invocation.id}")
    await tooled.restart()
    (row,) = await tooled.store.prompts()
    assert row.thread == child, "a listing of all questions has those of children"
    with pytest.raises(BadRequest, match="no prompt"):
        await tooled.runtime.choose(thread, f"choice.{invocation.id}", 1)
    await tooled.runtime.choose(child, f"choice.{invocation.id}", 1, user_id="bob")
    await server.until(lambda: bool(server.choices), "the choice")
    assert server.choices == [{"id": invocation.id, "selected": 1}]
    tooled.model.when("42", say("child is done"))
    await server.answer(invocation.id, text="42")
    await tooled.said(child, "child is done")


@pytest.mark.rap("DISC-9")
async def test_consent_waits_for_as_long_as_it_takes_and_keeps_who_gave_it(open_world: Any) -> None:
    async with ToolServer([tool("drop", annotations={"destructive": True})]) as server:
        world = await open_world(servers=[server]).start()
        world.model.then(call(("drop", {"table": "t"})), say("dropped"))
        thread = await world.thread("go")
        prompt = await world.noted(thread, "prompt", prompt_kind="consent")
        world.clock.advance(90 * 24 * 3600)
        await world.settled(thread)
        assert server.invocations == []
        await world.restart()
        await world.runtime.choose(thread, prompt["id"], 0, user_id="alice")
        closed = await world.noted(thread, "prompt_closed", id=prompt["id"])
        assert (closed["selected"], closed["user_id"], closed["at"]) == (0, "alice", world.clock.now())
        invocation = await server.invoked()
        assert invocation.arguments == {"table": "t"}
        await server.answer(invocation.id, text="ok")
        await world.said(thread, "dropped")
        await world.close()
