"""What a tool server receives, and how the runtime behaves when it does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from infinity.rap.server.application import read_invocation
from infinity.testing.tool_server import HANG, Behaviour, ToolServer, answering, failing, tool

from .conftest import Agent

MakeAgent = Callable[..., Any]
QUICKLY = {"timeouts": {"dispatch_first": 0.01, "dispatch_longest": 0.02}}


@pytest.mark.rap("INV-1", "INV-3")
async def test_an_invocation_has_everything_a_tool_needs(agent: Agent, server: ToolServer) -> None:
    thread = await agent.begin('/call echo {"a": [1, {"b": null}]}', user_id="user_42")
    invocation = await server.invoked()
    body = invocation.body
    assert body["operation"] == "echo"
    assert body["arguments"] == {"a": [1, {"b": None}]}
    assert body["group_id"] == thread
    assert body.get("thread_ancestors") is None
    assert body["user_id"] == "user_42"
    assert body["callback_url"].startswith(f"{agent.address}/callback/")
    assert invocation.key


@pytest.mark.rap("INV-3")
@pytest.mark.trap("L6", "L9")
async def test_every_call_has_an_id_of_its_own(agent: Agent, server: ToolServer) -> None:
    server.behaviour = answering("done")
    first = await agent.begin("/call echo {}\n/call echo {}\n/call echo {}")
    await agent.until_said(first, "echo answered")
    await agent.say(first, "/call echo {}")
    await agent.begin("/call echo {}")
    await server.invoked(5)
    assert len(server.counts) == 5
    assert set(server.counts.values()) == {1}


@pytest.mark.rap("INV-3")
async def test_a_child_names_its_ancestors_from_the_root_down(agent: Agent, server: ToolServer) -> None:
    root = await agent.begin('/call spawn_thread {"instructions": "wait"}')
    await agent.until_said(root, "was created and works by itself")
    (child,) = await agent.children(root)
    await agent.say(child, '/call spawn_thread {"instructions": "wait"}')
    await agent.until_said(child, "was created and works by itself")
    (grandchild,) = await agent.children(child)
    await agent.say(grandchild, "/call echo {}")
    invocation = await server.invoked()
    assert invocation.group_id == grandchild
    assert invocation.body["thread_ancestors"] == [root, child]


@pytest.mark.rap("INV-2")
@pytest.mark.trap("M1")
async def test_arguments_that_do_not_fit_are_told_to_the_model_and_not_sent(make_agent: MakeAgent) -> None:
    schema = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}
    async with ToolServer([tool("get_pr", schema=schema)], behaviour=answering("done")) as server:
        agent = await make_agent(server)
        thread = await agent.begin('/call get_pr {"number": "42"}')
        await agent.until_said(thread, "get_pr answered: Error: ")
        assert "number" in (await agent.entries(thread))[-1]["assistant"][0]["text"]
        await agent.say(thread, '/call get_pr {"number": 42}')
        await agent.until_said(thread, "get_pr answered: done")
        assert len(server.invocations) == 1


@pytest.mark.rap("INV-4", "RUN-4")
async def test_a_server_that_never_acknowledges_does_not_keep_the_agent_from_talking(
    agent: Agent, server: ToolServer
) -> None:
    server.behaviour = HANG
    thread = await agent.begin("/call echo {}")
    await server.invoked()
    await agent.say(thread, "still there?")
    await agent.until_said(thread, "You said: still there?")


@pytest.mark.rap("INV-4")
async def test_a_result_may_come_before_the_acknowledgement(agent: Agent, server: ToolServer) -> None:
    server.behaviour = HANG
    thread = await agent.begin("/call echo {}")
    invocation = await server.invoked()
    assert await server.answer(invocation.id, "early") == 200
    await agent.until_said(thread, "echo answered: early")


@pytest.mark.rap("INV-5", "INV-8")
async def test_a_5xx_is_tried_again_under_the_same_id_until_it_works(make_agent: MakeAgent) -> None:
    async with ToolServer(behaviour=failing(503)) as server:
        agent = await make_agent(server, **QUICKLY)
        thread = await agent.begin("/call echo {}")
        await server.invoked(3)
        server.behaviour = answering("at last")
        await agent.until_said(thread, "echo answered: at last")
        assert len(server.counts) == 1
        assert {each.key for each in server.invocations} == {server.invocations[0].key}


@pytest.mark.rap("INV-5")
async def test_a_server_that_is_down_gets_the_call_when_it_is_back(make_agent: MakeAgent) -> None:
    server = ToolServer(behaviour=answering("back"))
    await server.start()
    agent = await make_agent(
        server, timeouts={"dispatch_first": 0.05, "dispatch_longest": 0.1}, retries={"dispatch": 200}
    )
    warm = await agent.begin("hello")
    await agent.until_said(warm, "hello")
    await server.close()
    await agent.say(warm, "/call echo {}")
    await agent.until_event(warm, "call")
    await server.start()
    await agent.until_said(warm, "echo answered: back")
    await server.close()


@pytest.mark.rap("INV-6", "INV-7")
@pytest.mark.trap("M2")
@pytest.mark.parametrize("status", [400, 401, 404, 410, 422, 302])
async def test_a_4xx_is_final_and_the_model_is_told(make_agent: MakeAgent, status: int) -> None:
    async with ToolServer(behaviour=failing(status)) as server:
        agent = await make_agent(server, **QUICKLY)
        thread = await agent.begin("/call echo {}")
        await agent.until_said(thread, f"HTTP {status}")
        assert len(server.invocations) == 1


@pytest.mark.rap("INV-5", "INV-7")
async def test_when_the_tries_are_spent_the_model_is_told(make_agent: MakeAgent) -> None:
    async with ToolServer(behaviour=failing(503)) as server:
        agent = await make_agent(server, **QUICKLY, retries={"dispatch": 3})
        thread = await agent.begin("/call echo {}")
        await agent.until_said(thread, "echo answered: Error: ")
        assert server.counts.total() == 3


@pytest.mark.trap("S3")
async def test_a_redirect_does_not_send_the_call_elsewhere(make_agent: MakeAgent) -> None:
    async with ToolServer() as elsewhere, ToolServer() as server:
        server.behaviour = Behaviour(status=307, headers={"Location": f"{elsewhere.base_url}/invoke"})
        agent = await make_agent(server, **QUICKLY)
        thread = await agent.begin("/call echo {}")
        await agent.until_said(thread, "echo answered: Error: ")
        assert elsewhere.invocations == []


@pytest.mark.trap("B1")
async def test_a_server_that_hangs_delays_no_call_to_another(make_agent: MakeAgent) -> None:
    async with (
        ToolServer([tool("stuck")], behaviour=HANG) as stuck,
        ToolServer([tool("quick")], behaviour=answering("quick")) as quick,
    ):
        agent = await make_agent(stuck, quick)
        for _ in range(5):
            await agent.begin("/call stuck {}\n" * 10)
        await stuck.invoked(5)
        thread = await agent.begin("/call quick {}")
        await agent.until_said(thread, "quick answered: quick")


@pytest.mark.rap("INV-3")
async def test_the_kits_servers_can_read_what_the_runtime_sends(agent: Agent, server: ToolServer) -> None:
    await agent.begin("/call echo {}", user_id="user_42")
    sent = (await server.invoked()).body
    read = read_invocation(json.dumps(sent).encode(), server.base_url)
    assert (read.id, read.group_id, read.user_id, read.problem) == (
        sent["id"],
        sent["group_id"],
        "user_42",
        None,
    )


@pytest.mark.rap("RUN-5")
@pytest.mark.trap("B3")
async def test_a_call_that_is_never_answered_ends_at_its_deadline(make_agent: MakeAgent) -> None:
    async with ToolServer() as server:
        agent = await make_agent(server, timeouts={"call": 0.3})
        thread = await agent.begin("/call echo {}")
        await agent.until_said(thread, "echo answered: Error: ")
        late = await server.invoked()
        await server.answer(late.id, "too late")
        await agent.say(thread, "hello")
        await agent.until_said(thread, "You said: hello")
        assert "too late" not in await agent.history(thread)
