"""Subscriptions from the tool server's side: what is taken, what is refused, where events end up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from infinity.testing.tool_server import Invocation, ToolServer

from .conftest import Agent

MakeAgent = Callable[..., Any]


async def subscribe(agent: Agent, server: ToolServer) -> Invocation:
    """A thread with an active subscription."""
    already = len(server.invocations)
    thread = await agent.begin('/call echo {"repo": "a"}')
    invocation = await server.invoked(already + 1)
    assert await server.answer(invocation.id, "Watching a.", subscription=True) == 200
    await agent.until_said(thread, "echo answered: Watching a.")
    return invocation


def waits_for(explained: Any, kind: str) -> list[str]:
    return [reason["id"] for reason in explained["explanation"]["reasons"] if reason["kind"] == kind]


@pytest.mark.rap("RES-4")
async def test_a_result_that_says_so_makes_its_call_a_subscription(agent: Agent, server: ToolServer) -> None:
    invocation = await subscribe(agent, server)
    assert waits_for(await agent.thread(invocation.group_id), "subscription") == [invocation.id]


@pytest.mark.rap("SUB-2", "SUB-4")
async def test_an_associative_event_enters_its_thread_as_a_call_of_its_own(
    agent: Agent, server: ToolServer
) -> None:
    invocation = await subscribe(agent, server)
    assert await server.event(invocation.id, "build 7 failed", associative=True) == 200
    await agent.until_said(invocation.group_id, "build 7 failed")
    entries = await agent.entries(invocation.group_id)
    (event,) = [each for each in entries if each["kind"] == "event"]
    (made,) = event["assistant"]
    assert (made["type"], made["name"]) == ("tool_use", "receive_event__injected")
    assert made["input"] == {
        "original_tool_name": "echo",
        "original_tool_call_id": invocation.id,
        "original_args": {"repo": "a"},
    }
    (answered,) = event["user"]
    assert answered["tool_use_id"] == made["id"] != invocation.id
    results = [each for each in entries if each["kind"] == "result"]
    assert len(results) == 1
    assert await agent.children(invocation.group_id) == []


@pytest.mark.rap("SUB-5")
async def test_other_events_get_a_child_each_and_leave_the_thread_alone(
    agent: Agent, server: ToolServer
) -> None:
    invocation = await subscribe(agent, server)
    thread = invocation.group_id
    before = await agent.entries(thread)
    for number in range(3):
        assert await server.event(invocation.id, f"build {number}", event_id=f"e{number}") == 200
    await agent.until_children(thread, 3)
    children = await agent.children(thread)
    for child in children:
        await agent.until_said(child, "Event from echo: build ")
    told = [await agent.history(child) for child in children]
    assert sorted(sum(f"build {number}" in text for number in range(3)) for text in told) == [1, 1, 1]
    assert await agent.entries(thread) == before


@pytest.mark.rap("SUB-5", "CB-4")
@pytest.mark.trap("R3", "R6")
async def test_an_event_that_is_sent_again_makes_no_second_child(agent: Agent, server: ToolServer) -> None:
    invocation = await subscribe(agent, server)
    for event_id in ("e1", "e1", "e2", "e1"):
        assert await server.event(invocation.id, f"event {event_id}", event_id=event_id) == 200
    await agent.until_children(invocation.group_id, 2)
    await agent.restart()
    assert await server.event(invocation.id, "event e1", event_id="e1") == 200
    assert await server.event(invocation.id, "event e3", event_id="e3") == 200
    await agent.until_children(invocation.group_id, 3)
    assert len(await agent.children(invocation.group_id)) == 3


@pytest.mark.rap("SUB-1")
@pytest.mark.trap("S6")
async def test_an_event_of_a_call_that_did_not_subscribe_is_refused(agent: Agent, server: ToolServer) -> None:
    thread = await agent.begin("/call echo {}")
    invocation = await server.invoked()
    assert await server.answer(invocation.id, "done") == 200
    await agent.until_said(thread, "echo answered: done")
    before = await agent.entries(thread)
    assert await server.event(invocation.id, "surprise", associative=True) == 409
    assert await agent.entries(thread) == before


@pytest.mark.rap("SUB-6")
async def test_a_final_event_is_the_last(agent: Agent, server: ToolServer) -> None:
    invocation = await subscribe(agent, server)
    assert await server.event(invocation.id, "the last one", associative=True, final=True) == 200
    await agent.until_said(invocation.group_id, "the last one")
    assert waits_for(await agent.thread(invocation.group_id), "subscription") == []
    assert await server.event(invocation.id, "one more", associative=True) == 409


@pytest.mark.rap("SUB-7", "CAN-1")
async def test_the_model_cancels_a_subscription_and_the_servers_are_told(
    agent: Agent, server: ToolServer
) -> None:
    invocation = await subscribe(agent, server)
    thread = invocation.group_id
    await agent.say(thread, f'/call cancel_subscription {{"tool_call_id": "{invocation.id}"}}')
    await agent.until_said(thread, "cancel_subscription answered")
    body = {"thread_id": thread, "tool_call_id": invocation.id}
    await server.until(lambda: ("/cancel_tool_call", body) in server.notices, "notice")
    assert waits_for(await agent.thread(thread), "subscription") == []
    assert await server.event(invocation.id, "late") == 409


@pytest.mark.rap("SUB-7")
@pytest.mark.parametrize("name", ["call_unknown", ""])
async def test_what_is_no_subscription_cannot_be_cancelled(
    agent: Agent, server: ToolServer, name: str
) -> None:
    thread = await agent.begin(f'/call cancel_subscription {{"tool_call_id": "{name}"}}')
    await agent.until_said(thread, "cancel_subscription answered: Error: ")
    assert server.notices == []


@pytest.mark.rap("SUB-7")
@pytest.mark.trap("S6")
async def test_a_subscription_of_another_thread_cannot_be_cancelled(agent: Agent, server: ToolServer) -> None:
    invocation = await subscribe(agent, server)
    other = await agent.begin(f'/call cancel_subscription {{"tool_call_id": "{invocation.id}"}}')
    await agent.until_said(other, "cancel_subscription answered: Error: ")
    assert await server.event(invocation.id, "still here", associative=True) == 200
    await agent.until_said(invocation.group_id, "still here")


@pytest.mark.rap("SUB-3")
async def test_the_injected_tool_is_offered_to_nobody(agent: Agent, server: ToolServer) -> None:
    thread = await agent.begin("/call receive_event__injected {}")
    await agent.until_said(thread, "There is no tool 'receive_event__injected'")
    said = (await agent.entries(thread))[-1]["assistant"][0]["text"]
    assert "receive_event__injected" not in said.partition("on offer: ")[2]


@pytest.mark.rap("SUB-8")
async def test_an_event_for_a_closed_thread_is_dropped(agent: Agent, server: ToolServer) -> None:
    invocation = await subscribe(agent, server)
    thread = invocation.group_id
    await agent.post(f"/v1/threads/{thread}/close")
    await server.until(lambda: ("/close_thread", {"thread_id": thread}) in server.notices, "notice")
    before = await agent.entries(thread)
    await server.event(invocation.id, "anybody?", associative=True)
    await server.event(invocation.id, "anybody?")
    assert await agent.entries(thread) == before
    assert await agent.children(thread) == []


@pytest.mark.rap("SUB-8")
@pytest.mark.trap("G2")
async def test_subscriptions_of_a_thread_are_limited(make_agent: MakeAgent, server: ToolServer) -> None:
    agent = await make_agent(server, limits={"subscriptions": 1})
    first = await subscribe(agent, server)
    thread = first.group_id
    await agent.say(thread, '/call echo {"repo": "b"}')
    second = await server.invoked(2)
    await server.answer(second.id, "Watching b.", subscription=True)
    await agent.until_said(thread, "echo answered: ")
    await server.until(
        lambda: any(body.get("tool_call_id") == second.id for _, body in server.notices), "notice"
    )
    assert waits_for(await agent.thread(thread), "subscription") == [first.id]


@pytest.mark.rap("SUB-1", "RES-4")
@pytest.mark.trap("L14", "L15")
async def test_a_subscription_survives_a_restart(agent: Agent, server: ToolServer) -> None:
    invocation = await subscribe(agent, server)
    await agent.restart()
    assert await server.event(invocation.id, "after the restart", associative=True) == 200
    await agent.until_said(invocation.group_id, "after the restart")
