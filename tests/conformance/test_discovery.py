"""Where tools come from, and what a toolset must be before any of it is offered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from infinity.testing.tool_server import ToolServer, answering, tool

from .conftest import Agent

MakeAgent = Callable[..., Any]


async def offered(agent: Agent) -> list[str]:
    """What a new thread is offered: the scripted model lists it when it is told to call what is not there."""
    thread = await agent.begin("/call no_such_tool {}")
    await agent.until_said(thread, "Tools on offer: ")
    said = (await agent.entries(thread))[-1]["assistant"][0]["text"]
    return str(said).partition("Tools on offer: ")[2].strip().rstrip(".").split(", ")


async def problem_of(agent: Agent, server: ToolServer) -> Any:
    for toolset in (await agent.get("/v1/toolsets"))["toolsets"]:
        if toolset["url"] == server.base_url:
            return toolset["problem"]
    raise AssertionError(f"{server.base_url} is not listed")


@pytest.mark.rap("DISC-1", "DISC-5")
async def test_tools_come_from_the_well_known_address_of_each_server(make_agent: MakeAgent) -> None:
    async with ToolServer([tool("a")], name="one") as one, ToolServer([tool("b")], name="two") as two:
        agent = await make_agent(one, two)
        assert {"a", "b"} <= set(await offered(agent))
        assert one.discoveries >= 1 and two.discoveries >= 1


@pytest.mark.rap("DISC-2", "DISC-3")
@pytest.mark.trap("S10")
@pytest.mark.parametrize(
    "broken",
    [
        {"name": ""},
        {"endpoint": "nonsense"},
        {"endpoint": "http://169.254.169.254/invoke"},
        {"tools": []},
        {"tools": [tool("good"), tool("two words")]},
        {"tools": [tool("good"), tool("bad", schema={"type": "strin"})]},
        {"tools": [tool("good"), tool("good")]},
        {"tools": [tool("good"), tool("bad", description="")]},
    ],
    ids=lambda broken: str(broken)[:60],
)
async def test_an_invalid_toolset_is_refused_whole_and_told(make_agent: MakeAgent, broken: Any) -> None:
    async with ToolServer([tool("fine")], name="fine") as fine, ToolServer() as bad:
        document = {"name": "bad", "endpoint": f"{bad.base_url}/invoke", "tools": [tool("good")], **broken}
        bad.manifest = document
        agent = await make_agent(bad, fine)
        tools = await offered(agent)
        assert "fine" in tools
        assert "good" not in tools
        assert "is refused: $." in await problem_of(agent, bad)
        assert await problem_of(agent, fine) is None


@pytest.mark.rap("DISC-4")
@pytest.mark.trap("S10")
async def test_a_name_that_two_servers_or_a_built_in_have_is_offered_by_neither(
    make_agent: MakeAgent,
) -> None:
    ours = [tool("shared"), tool("mine"), tool("cancel_subscription")]
    async with (
        ToolServer(ours, name="one") as one,
        ToolServer([tool("shared"), tool("yours")], name="two") as two,
    ):
        agent = await make_agent(one, two)
        tools = await offered(agent)
        assert "shared" not in tools
        assert {"mine", "yours"} <= set(tools)
        assert tools.count("cancel_subscription") == 1
        # It is the built-in that answers to the name.
        thread = await agent.begin('/call cancel_subscription {"tool_call_id": "none"}')
        await agent.until_said(thread, "cancel_subscription answered")
        assert one.invocations == []


@pytest.mark.rap("DISC-5")
async def test_a_new_thread_gets_fresh_definitions_and_an_old_one_keeps_its_own(
    agent: Agent, server: ToolServer
) -> None:
    server.behaviour = answering("done")
    old = await agent.begin("/call echo {}")
    await agent.until_said(old, "echo answered: done")
    server.tools = [tool("replaced")]
    assert "replaced" in await offered(agent)
    fetched = server.discoveries
    await agent.say(old, "/call echo {}\n/call echo {}")
    await server.invoked(3)
    assert server.discoveries == fetched


@pytest.mark.rap("DISC-6")
async def test_a_server_that_is_down_is_told_and_its_last_copy_serves(
    agent: Agent, server: ToolServer
) -> None:
    assert "echo" in await offered(agent)
    await agent.restart()
    await server.close()
    assert "echo" in await offered(agent)
    assert "cannot reach" in await problem_of(agent, server)


@pytest.mark.rap("DISC-6")
async def test_a_server_that_was_never_there_is_told_and_spoils_nothing(make_agent: MakeAgent) -> None:
    async with ToolServer() as server, ToolServer(name="gone") as gone:
        await gone.close()
        agent = await make_agent(gone, server)
        assert "echo" in await offered(agent)
        assert "cannot reach" in await problem_of(agent, gone)


@pytest.mark.rap("DISC-9")
async def test_a_destructive_tool_asks_the_user_first(make_agent: MakeAgent) -> None:
    tools = [
        tool("drop_table", annotations={"destructive": True}),
        tool("read", annotations={"readOnly": True}),
    ]
    async with ToolServer(tools, behaviour=answering("done")) as server:
        agent = await make_agent(server)
        thread = await agent.begin("/call drop_table {}")
        await agent.until_event(thread, "prompt")
        (prompt,) = (await agent.thread(thread))["prompts"]
        other = await agent.begin("/call read {}")
        await agent.until_said(other, "read answered: done")
        assert [each.operation for each in server.invocations] == ["read"]
        await agent.post(f"/v1/threads/{thread}/choices/{prompt['id']}", {"selected": 0})
        await agent.until_said(thread, "drop_table answered: done")


@pytest.mark.rap("DISC-9")
async def test_a_destructive_tool_that_the_user_refuses_is_not_called(make_agent: MakeAgent) -> None:
    async with ToolServer([tool("drop_table", annotations={"destructive": True})]) as server:
        agent = await make_agent(server)
        thread = await agent.begin("/call drop_table {}")
        await agent.until_event(thread, "prompt")
        (prompt,) = (await agent.thread(thread))["prompts"]
        await agent.post(f"/v1/threads/{thread}/choices/{prompt['id']}", {"selected": None})
        await agent.until_said(thread, "drop_table answered: Error: ")
        assert server.invocations == []


@pytest.mark.rap("DISC-8")
@pytest.mark.trap("B4")
@pytest.mark.parametrize(
    ("script", "shown"),
    [
        ('"PR #" + args.number', "PR #42"),
        ("args.number", 'echo({"number":42})'),
        ("this is not a script", 'echo({"number":42})'),
        ("args.missing.field", 'echo({"number":42})'),
        ("loop {}", 'echo({"number":42})'),
        ('let x = "x"; loop { x += x; }', 'echo({"number":42})'),
    ],
)
async def test_a_display_script_shows_the_call_or_the_plain_call_is_shown(
    make_agent: MakeAgent, script: str, shown: str
) -> None:
    async with ToolServer([tool("echo", displayScript=script)], behaviour=answering("done")) as server:
        agent = await make_agent(server)
        thread = await agent.begin('/call echo {"number": 42}')
        call = await agent.until_event(thread, "call", having="display")
        assert call["display"].replace(" ", "") == shown.replace(" ", "")
        await agent.until_said(thread, "echo answered: done")
