"""An agent that uses MCP servers: a real daemon, its bridges, real processes behind them."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import aiohttp
from tests.conformance.conftest import Agent
from tests.contract.mcp.conftest import SCRIPT
from tests.patience import PATIENCE


def server(*ways: str, **more: Any) -> dict[str, Any]:
    return {"command": sys.executable, "args": [SCRIPT, "stdio", *ways], **more}


async def answer(agent: Agent, thread: str, words: str, selected: int) -> None:
    """Choose, once the thread asks the question with these words."""
    async with asyncio.timeout(PATIENCE):
        async for kind, data in agent.events(thread):
            if kind == "prompt" and words in data["prompt"]:
                await agent.post(f"/v1/threads/{thread}/choices/{data['id']}", {"selected": selected})
                return


async def _refuses_strangers(bridge: str) -> None:
    """Other users of the machine reach the bridge's port, and have no token of it."""
    call = {
        "operation": "add",
        "arguments": {"a": 1, "b": 1},
        "id": "c",
        "group_id": "t",
        "callback_url": bridge,
    }
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{bridge}/invoke", json=call) as response:
            assert response.status == 401
        async with session.get(f"{bridge}/.well-known/rap-toolset") as response:
            assert response.status == 401


async def _once_started(agent: Agent) -> dict[str, Any]:
    """The toolsets by name, once the good server has tools and the one that crashes has ended: servers start beside the conversations."""
    async with asyncio.timeout(60):
        while True:
            described = {each["name"]: each for each in (await agent.get("/v1/toolsets"))["toolsets"]}
            ended = "exited with status 7" in (described["crashes"]["problem"] or "")
            if described["good"]["tools"] and ended:
                return described
            await asyncio.sleep(0.05)


async def test_an_agent_uses_an_mcp_server_beside_one_that_hangs(tmp_path: Path) -> None:
    servers = {
        "good": server(),
        "hangs": server("hang", prefix="h_", start_timeout=60.0),
        "crashes": server("crash", prefix="c_"),
    }
    agent = Agent(tmp_path, [], {"mcp_servers": servers})
    await agent.start()
    try:
        described = await _once_started(agent)
        assert "add" in [tool["name"] for tool in described["good"]["tools"]]
        for name, state in (("crashes", "exited with status 7"), ("hangs", "is still starting")):
            problem = described[name]["problem"]
            assert f"MCP server {name}" in problem
            assert state in problem
        assert f"(command {sys.executable}" in described["hangs"]["problem"], "it names what was started"
        await _refuses_strangers(described["good"]["url"])
        thread = await agent.begin('/call add {"a": 20, "b": 22}')
        await agent.until_said(thread, "42")
        asking = await agent.begin("/call ask_first {}")
        await answer(agent, asking, "Are you sure?", 0)
        await answer(agent, asking, "Which size?", 1)
        await agent.until_said(asking, "sure=True size=large")
    finally:
        await agent.stop()
