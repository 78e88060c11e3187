"""Subscriptions and their events: to a child thread each, or to the thread itself, never lost, never doubled."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.slice.scenes import World

from infinity import Agent
from infinity._core import Delta
from infinity.errors import Conflict
from infinity.settings import Limits
from infinity.testing.replies import call, say, texts
from infinity.testing.tool_server import ToolServer, tool

INJECTED = "receive_event__injected"


async def subscribed(world: World, server: ToolServer) -> tuple[str, str]:
    """A thread with one subscription: its id and the call's."""
    world.model.then(call(("watch", {"repo": "infinity"})), say("watching"))
    thread = await world.thread("watch it")
    invocation = await server.invoked()
    assert await server.answer(invocation.id, text="ok", subscription=True) == 200
    await world.said(thread, "watching")
    return thread, invocation.id


async def _children(world: World, thread: str) -> list[str]:
    return [row.id for row in await world.store.threads(parent=thread, limit=1000)]


@pytest.mark.rap("RES-4", "SUB-2", "SUB-4")
async def test_an_associative_event_enters_the_thread_as_a_synthetic_call(
    tooled: World, server: ToolServer
) -> None:
    thread, call_id = await subscribed(tooled, server)
    tooled.model.then(say("I saw it"))
    await server.event(call_id, text="push to main", associative=True)
    await tooled.said(thread, "I saw it")
    messages = tooled.model.requests[-1]["messages"]
    injected = messages[-2]["content"][-1]
    assert injected["name"] == INJECTED
    assert injected["input"] == {
        "original_tool_name": "watch",
        "original_tool_call_id": call_id,
        "original_args": {"repo": "infinity"},
    }
    assert texts(messages[-1]) == "push to main"
    assert call_id in str(messages)


@pytest.mark.rap("SUB-5")
@pytest.mark.trap("R6")
async def test_an_event_gets_a_child_that_knows_the_history_and_the_parent_sees_only_its_report(
    tooled: World, server: ToolServer
) -> None:
    thread, call_id = await subscribed(tooled, server)
    tooled.model.when("created for the event", call(("close_thread", {"report": "main was pushed"})))
    tooled.model.when("main was pushed", say("good to know"))
    await server.event(call_id, text="push to main")
    await tooled.said(thread, "good to know")
    (child,) = await _children(tooled, thread)
    by_child = next(
        each for each in tooled.model.requests if "created for the event" in texts(each["messages"][-1])
    )
    assert "watch it" in str(by_child["messages"]) and "push to main" in texts(by_child["messages"][-1])
    assert child in texts(by_child["messages"][-1])
    assert "push to main" not in str(tooled.model.requests[-1]["messages"])


@pytest.mark.trap("R6")
async def test_the_child_of_an_event_is_the_same_one_when_its_slice_is_repeated_later(
    tooled: World, server: ToolServer, monkeypatch: Any
) -> None:
    thread, call_id = await subscribed(tooled, server)
    genuine = tooled.store.commit
    made: list[list[str]] = []

    async def conflicting(delta: Delta) -> Any:
        if delta.children:
            made.append([child.thread for child in delta.children])
            if len(made) == 1:
                raise Conflict("another commit came first")
        return await genuine(delta)

    monkeypatch.setattr(tooled.store, "commit", conflicting)
    tooled.model.when("created for the event", call(("close_thread", {"report": "main was pushed"})))
    tooled.model.when("main was pushed", say("good to know"))
    await server.event(call_id, text="push to main")
    await tooled.until(lambda: tooled.runtime.failing(thread) is not None)
    await tooled.until(lambda: tooled.clock.sleeping() > 0)
    tooled.clock.advance(2)
    await tooled.said(thread, "good to know")
    assert made[0] == made[1] == await _children(tooled, thread)


@pytest.mark.trap("R3")
async def test_an_event_with_an_id_is_applied_once_however_often_it_comes(
    tooled: World, server: ToolServer
) -> None:
    thread, call_id = await subscribed(tooled, server)
    tooled.model.then(say("saw it"))
    for _ in range(3):
        assert await server.event(call_id, text="push", associative=True, event_id="delivery-1") == 200
    await tooled.said(thread, "saw it")
    await tooled.settled(thread)
    assert (await tooled.kinds(thread)).count("event") == 1


@pytest.mark.rap("SUB-6", "SUB-1")
async def test_a_final_event_ends_the_subscription(tooled: World, server: ToolServer) -> None:
    thread, call_id = await subscribed(tooled, server)
    tooled.model.then(say("it is over"))
    await server.event(call_id, text="closed", associative=True, final=True)
    await tooled.said(thread, "it is over")
    assert await server.event(call_id, text="more", associative=True) == 409
    assert (await tooled.runtime.explain(thread)).state == "idle"


@pytest.mark.rap("SUB-7", "CAN-1")
async def test_the_agent_can_cancel_its_subscription(tooled: World, server: ToolServer) -> None:
    thread, call_id = await subscribed(tooled, server)
    tooled.model.then(call(("cancel_subscription", {"tool_call_id": call_id})), say("no more"))
    await tooled.runtime.send(thread, "stop watching")
    await tooled.said(thread, "no more")
    await server.until(lambda: bool(server.notices), "a cancel notice")
    assert server.notices == [("/cancel_tool_call", {"thread_id": thread, "tool_call_id": call_id})]
    assert await server.event(call_id, text="more", associative=True) == 409


@pytest.mark.rap("SUB-1")
async def test_an_event_right_behind_the_confirmation_is_not_lost(tooled: World, server: ToolServer) -> None:
    tooled.model.then(call(("watch", {})), say("first"), say("second"))
    thread = await tooled.thread("watch it")
    invocation = await server.invoked()
    statuses = [
        await server.answer(invocation.id, text="ok", subscription=True),
        await server.event(invocation.id, text="push", associative=True),
    ]
    assert statuses == [200, 200]
    await tooled.until(lambda: _has_event(tooled, thread))


async def _has_event(world: World, thread: str) -> bool:
    return "event" in await world.kinds(thread)


async def test_an_event_for_a_call_that_is_no_subscription_is_refused(
    tooled: World, server: ToolServer
) -> None:
    tooled.model.then(call(("a", {})), say("done"))
    thread = await tooled.thread("go")
    invocation = await server.invoked()
    await server.answer(invocation.id, text="42")
    await tooled.said(thread, "done")
    assert await server.event(invocation.id, text="psst") == 409
    assert "event" not in await tooled.kinds(thread)


async def test_a_hundred_events_at_once_each_get_their_child(tooled: World, server: ToolServer) -> None:
    thread, call_id = await subscribed(tooled, server)
    count = 100
    for number in range(count):
        tooled.model.when(f"event number {number}.", say(f"handled {number}"))
    statuses = await asyncio.gather(
        *(
            server.event(call_id, text=f"event number {number}.", event_id=str(number))
            for number in range(count)
        )
    )
    assert set(statuses) == {200}
    await tooled.model.request(2 + count)
    children = await _children(tooled, thread)
    assert len(children) == count


@pytest.mark.rap("SUB-8")
async def test_the_number_of_subscriptions_is_limited_and_the_model_is_told(open_world: Any) -> None:
    async with ToolServer([tool("watch")]) as server:
        world = await open_world(servers=[server], agent=Agent(limits=Limits(subscriptions=1))).start()
        thread, _ = await subscribed(world, server)
        world.model.then(call(("watch", {})), say("no more then"))
        await world.runtime.send(thread, "another")
        second = await server.invoked(2)
        await server.answer(second.id, text="ok", subscription=True)
        await world.said(thread, "no more then")
        assert "limit of 1" in texts(world.model.requests[-1]["messages"][-1])
        assert await server.event(second.id, text="psst") == 409
        await world.close()


async def test_a_subscription_survives_a_restart(tooled: World, server: ToolServer) -> None:
    thread, call_id = await subscribed(tooled, server)
    await tooled.restart()
    tooled.model.then(say("still here"))
    await server.event(call_id, text="push", associative=True)
    await tooled.said(thread, "still here")


@pytest.mark.trap("R3")
async def test_a_gap_in_the_sequence_of_events_is_told_to_the_user(tooled: World, server: ToolServer) -> None:
    thread, call_id = await subscribed(tooled, server)
    tooled.model.then(say("one"), say("four"))
    await server.event(call_id, text="one", associative=True, seq=1, event_id="1")
    await tooled.said(thread, "one")
    await server.event(call_id, text="four", associative=True, seq=4, event_id="4")
    gap = await tooled.noted(thread, "gap")
    assert (gap["expected"], gap["got"]) == (2, 4)
    await tooled.said(thread, "four")


@pytest.mark.rap("SUB-5")
async def test_the_parent_sees_nothing_of_an_event_whose_thread_closes_without_a_report(
    tooled: World, server: ToolServer
) -> None:
    thread, call_id = await subscribed(tooled, server)
    tooled.model.when("created for the event", call(("close_thread", {})))
    await server.event(call_id, text="nothing of note")
    await tooled.until(lambda: _has_children(tooled, thread))
    (child,) = await _children(tooled, thread)
    await tooled.noted(child, "status", status="closed")
    await tooled.settled(thread)
    assert len(tooled.model.requests) == 3, "two of the parent's, one of the child's"
    assert "event" not in await tooled.kinds(thread)


async def _has_children(world: World, thread: str) -> bool:
    return bool(await _children(world, thread))
