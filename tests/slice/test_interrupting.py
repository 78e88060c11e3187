"""Interrupt, stop, resume, close: explicit, and nothing goes on behind the user's back (B8)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.asking import asked
from tests.slice.scenes import Streaming, World

from infinity.abc import Status
from infinity.api.errors import Refused
from infinity.api.messages import cancel_call, set_title
from infinity.errors import BadRequest
from infinity.message import KEEP_CALLS, Action
from infinity.testing.replies import call, say, texts
from infinity.testing.tool_server import ToolServer, tool


async def test_an_interrupt_ends_the_stream_and_keeps_the_visible_text(world: World) -> None:
    slow = Streaming("Once upon a", say("never"))
    world.model.then(slow, say("as you like"))
    thread = await world.thread("tell a story")
    await slow.started.wait()
    await world.runtime.control(thread, Action.INTERRUPT)
    await world.said(thread, "Once upon a")
    await world.settled(thread)
    assert len(world.model.requests) == 1
    await world.runtime.send(thread, "another one")
    await world.said(thread, "as you like")
    assert [message["role"] for message in world.model.requests[1]["messages"]] == [
        "user",
        "assistant",
        "user",
    ]


async def test_text_sent_with_an_interrupt_is_answered(world: World) -> None:
    slow = Streaming("Once upon a", say("never"))
    world.model.then(slow, say("the other one"))
    thread = await world.thread("tell a story")
    await slow.started.wait()
    await world.runtime.control(thread, Action.INTERRUPT)
    await world.runtime.send(thread, "no, the other one")
    await world.said(thread, "the other one")


async def test_an_interrupt_of_the_completion_alone_keeps_open_calls(
    tooled: World, server: ToolServer
) -> None:
    slow = Streaming("Once upon a", say("never"))
    tooled.model.then(call(("a", {})), slow, say("the result is there"))
    thread = await tooled.thread("go")
    invocation = await server.invoked()
    await tooled.runtime.send(thread, "tell a story meanwhile")
    await slow.started.wait()
    await tooled.runtime.control(thread, Action.INTERRUPT, KEEP_CALLS)
    await tooled.said(thread, "Once upon a")
    await tooled.settled(thread)
    assert not server.notices
    await server.answer(invocation.id, text="42")
    await tooled.said(thread, "the result is there")


@pytest.mark.trap("B8")
async def test_an_interrupted_thread_stays_quiet_until_the_user_speaks(
    tooled: World, server: ToolServer
) -> None:
    tooled.model.then(call(("a", {}), ("b", {})), say("welcome back"))
    thread = await tooled.thread("go")
    await server.invoked(2)
    first, second = server.invocations
    await server.answer(first.id, text="done")
    await tooled.noted(thread, "call_ended", id=first.id)
    await tooled.runtime.control(thread, Action.INTERRUPT)
    await tooled.noted(thread, "call_ended", id=second.id, state="cancelled")
    await tooled.settled(thread)
    assert len(tooled.model.requests) == 1
    assert (await tooled.runtime.explain(thread)).state == "idle"
    await tooled.runtime.send(thread, "hello?")
    await tooled.said(thread, "welcome back")


@pytest.mark.trap("B8")
async def test_a_stopped_thread_takes_results_but_does_not_speak_until_it_is_resumed(
    tooled: World, server: ToolServer
) -> None:
    tooled.model.then(call(("a", {})), say("resumed"))
    thread = await tooled.thread("go")
    invocation = await server.invoked()
    await tooled.settled(thread)
    await tooled.runtime.control(thread, Action.STOP)
    await tooled.noted(thread, "status", status="stopped")
    await server.answer(invocation.id, text="42")
    await tooled.noted(thread, "call_ended", id=invocation.id)
    await tooled.settled(thread)
    assert len(tooled.model.requests) == 1
    assert (await tooled.runtime.explain(thread)).state == "stopped"
    await tooled.runtime.control(thread, Action.RESUME)
    await tooled.said(thread, "resumed")


async def test_a_stop_during_a_stream_takes_the_text_back_and_resume_asks_again(world: World) -> None:
    slow = Streaming("Once upon a", say("never"))
    world.model.then(slow, say("whole story"))
    thread = await world.thread("tell a story")
    await slow.started.wait()
    await world.runtime.control(thread, Action.STOP)
    await world.noted(thread, "status", status="stopped")
    await world.settled(thread)
    assert "turn" not in await world.kinds(thread)
    await world.runtime.control(thread, Action.RESUME)
    await world.said(thread, "whole story")


async def test_user_text_resumes_a_stopped_thread(world: World) -> None:
    world.model.then(say("here"))
    thread = await world.thread()
    await world.runtime.control(thread, Action.STOP)
    await world.noted(thread, "status", status="stopped")
    await world.runtime.send(thread, "are you there?")
    await world.said(thread, "here")


@pytest.mark.rap("THR-2", "SUB-8")
@pytest.mark.trap("B2")
async def test_closing_cancels_what_is_open_tells_the_servers_and_discards_what_comes_later(
    tooled: World, server: ToolServer
) -> None:
    tooled.model.then(call(("a", {}), ("watch", {})), say("watching"))
    thread = await tooled.thread("go")
    await server.invoked(2)
    ids = {each.operation: each.id for each in server.invocations}
    await server.answer(ids["watch"], text="subscribed", subscription=True)
    await tooled.noted(thread, "subscription", active=True)
    await tooled.runtime.control(thread, Action.CLOSE)
    await tooled.noted(thread, "status", status="closed")
    await server.until(lambda: len(server.notices) == 3, "a cancel notice for each and a close notice")
    assert ("/close_thread", {"thread_id": thread}) in server.notices
    assert await server.answer(ids["a"], text="late") == 200
    assert await server.event(ids["watch"], text="late") == 200
    accepted = await tooled.runtime.send(thread, "hello?")
    assert accepted.status is Status.DISCARDED
    assert len(tooled.model.requests) == 1
    reasons = {reason for _, reason, _ in await tooled.store.discards(thread)}
    assert len(await tooled.store.discards(thread)) == 3, reasons


async def test_the_model_of_a_thread_can_be_changed(world: World) -> None:
    from infinity.errors import ConfigError

    thread = await world.thread()
    with pytest.raises(ConfigError, match="test/model"):
        await world.runtime.control(thread, Action.MODEL, "nobody/knows")
    await world.runtime.control(thread, Action.MODEL, "test/model")
    await world.noted(thread, "status", status="model", model="test/model")
    world.model.then(say("hello"))
    await world.runtime.send(thread, "hi")
    await world.said(thread, "hello")
    assert "hi" in texts(world.model.requests[0]["messages"][-1])


async def test_an_interrupt_ends_the_wait_for_another_try(world: World) -> None:
    from infinity.errors import Overloaded

    world.model.then(Overloaded("busy"), say("never asked"))
    thread = await world.thread("hi")
    await world.until(lambda: world.clock.sleeping() == 1)
    await world.runtime.control(thread, Action.INTERRUPT)
    await world.noted(thread, "status", status="interrupted")
    await world.settled(thread)
    assert len(world.model.requests) == 1


@pytest.mark.rap("CAN-1")
async def test_one_call_is_cancelled_and_the_others_go_on(tooled: World, server: ToolServer) -> None:
    tooled.model.then(call(("a", {}), ("b", {})), say("one of the two"))
    thread = await tooled.thread("go")
    await server.invoked(2)
    first, second = (each.id for each in sorted(server.invocations, key=lambda each: each.operation))
    await tooled.settled(thread)
    for _ in range(2):  # as a client does that never heard the answer
        status, _ = await asked(tooled.runtime, cancel_call, body={}, id=thread, call_id=first)
        assert status == 200
    await tooled.noted(thread, "call_ended", id=first, state="cancelled")
    await server.until(lambda: bool(server.notices), "a cancel notice")
    assert server.notices == [("/cancel_tool_call", {"thread_id": thread, "tool_call_id": first})]
    await tooled.settled(thread)
    with pytest.raises(Refused, match="has no call"):
        await asked(tooled.runtime, cancel_call, body={}, id=thread, call_id="call_nobody")
    assert len(tooled.model.requests) == 1
    await server.answer(second, text="42")
    await tooled.said(thread, "one of the two")
    with pytest.raises(Refused, match="has ended: answered"):
        await asked(tooled.runtime, cancel_call, body={}, id=thread, call_id=second)
    told = texts(tooled.model.requests[1]["messages"][-1])
    assert "42" in told and "the user cancelled this call" in told


async def test_a_thread_is_named_and_named_again(world: World) -> None:
    world.model.then(say("hello"))
    thread = await world.thread("hi")
    await world.said(thread, "hello")
    for title in ("Trip to Bergen", "Trip to Oslo", ""):
        await asked(world.runtime, set_title, body={"title": title}, id=thread)
        await world.noted(thread, "status", status="title", title=title)
        await world.settled(thread)
        row = await world.store.thread(thread)
        assert row is not None and row.title == title
    assert len(world.model.requests) == 1
    with pytest.raises(BadRequest):
        await asked(world.runtime, set_title, body={"title": "x" * 501}, id=thread)


async def test_a_call_that_waits_for_consent_is_cancelled_with_its_question_and_never_leaves(
    open_world: Any,
) -> None:
    async with ToolServer([tool("drop", annotations={"destructive": True})]) as server:
        world: World = await open_world(servers=[server]).start()
        world.model.then(call(("drop", {})), say("as you like"))
        thread = await world.thread("go")
        asked_for = await world.noted(thread, "prompt")
        await world.settled(thread)
        status, _ = await asked(world.runtime, cancel_call, body={}, id=thread, call_id=asked_for["call_id"])
        assert status == 200
        await world.said(thread, "as you like")
        await world.settled(thread)
        assert await world.store.prompts(thread) == [] and await world.store.attention() == []
        assert server.invocations == [] and server.notices == []
        with pytest.raises(BadRequest):
            await world.runtime.choose(thread, asked_for["id"], 0)
        await world.close()
