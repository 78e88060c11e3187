"""``GET /v1/toolsets/{name}``: one tool server as people look at it, of a daemon that runs."""

from __future__ import annotations

import asyncio

from tests.boundary.daemons import SOON, Running

from infinity.testing.tool_server import ToolServer


async def test_a_tool_server_tells_its_schemas_how_it_answers_and_what_is_open(
    tooled: Running, server: ToolServer
) -> None:
    listed = (await tooled.get("/v1/toolsets")).body["toolsets"]
    assert [each["name"] for each in listed] == ["ci"] and "health" not in listed[0]
    assert all("input_schema" not in tool for tool in listed[0]["tools"])
    assert (await tooled.get("/v1/toolsets/ci")).body["server"]["health"]["state"] == "unknown"
    thread = await tooled.thread("/call build {}")
    invocation = await server.invoked()
    # Its row goes when the answer to the request has been taken down.
    async with asyncio.timeout(SOON):
        while (await tooled.get("/v1/outbox")).body["deliveries"]:
            pass
    found = (await tooled.get("/v1/toolsets/ci")).body
    told = found["server"]
    assert {tool["name"]: tool["input_schema"]["type"] for tool in told["tools"]}["build"] == "object"
    health = told["health"]
    assert (health["state"], health["answers"], health["last_error"]) == ("answers", 1, None)
    assert health["since"] == health["last_ok_at"] and health["p50_ms"] == health["p95_ms"] is not None
    [one] = found["calls"]
    assert (one["thread"], one["id"], one["tool"], found["more"]) == (
        thread,
        invocation.id,
        "build",
        False,
    )
    await server.answer(invocation.id, text="built")
    await tooled.said(thread, "built")
    assert (await tooled.get("/v1/toolsets/ci")).body["calls"] == []


async def test_a_tool_server_that_is_not_configured_is_not_found(daemon: Running) -> None:
    answer = await daemon.get("/v1/toolsets/nobody")
    assert (answer.status, answer.code) == (404, "not_found")
