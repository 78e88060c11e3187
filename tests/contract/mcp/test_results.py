"""What an MCP server's answers become for the model, over both transports and both versions of the protocol."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from tests.contract.mcp.pixel import PIXEL
from tests.patience import PATIENCE

from infinity.mcp import catalogue
from infinity.rap.manifest import parse_manifest


@pytest.mark.rap("DISC-2", "DISC-9")
async def test_each_tool_of_the_server_is_a_tool_of_the_toolset(bridge: Any) -> None:
    bridged = await bridge()
    tools = await bridged.tools()
    assert tools["add"]["inputSchema"]["required"] == ["a", "b"]
    assert tools["add"]["annotations"] == {"readOnly": True}
    assert tools["wipe"]["annotations"] == {"destructive": True}
    assert tools["weather"]["annotations"] == {}, "what the server does not say is not said for it"
    _, manifest = await bridged.discover()
    assert parse_manifest(json.dumps(manifest).encode(), bridged.server.base_url).name == "scripted"
    assert manifest["description"] == "Does what tests need."


async def test_a_prefix_keeps_names_apart(bridge: Any) -> None:
    bridged = await bridge(prefix="mine_")
    assert "mine_add" in await bridged.tools()
    assert (await bridged.call("mine_add", a=1, b=2))["text"] == "3"


@pytest.mark.parametrize("ways", [(), ("legacy",)], ids=["2026-07-28", "2025-11-25"])
async def test_answers_in_all_their_forms_reach_the_model(bridge: Any, ways: tuple[str, ...]) -> None:
    bridged = await bridge(*ways)
    assert (await bridged.call("add", "c1", a=20, b=22))["text"] == "42"
    weather = await bridged.call("weather", "c2", city="Oslo")
    assert json.loads(weather["text"]) == {"city": "Oslo", "degrees": 21}
    summary = await bridged.call("summary", "c3")
    assert summary["text"].splitlines() == ["two rows", '{"rows": [1, 2]}']
    picture = await bridged.call("picture", "c4")
    assert picture["content"] == [
        {"type": "text", "text": "a pixel"},
        {"type": "image", "data": base64.b64encode(PIXEL).decode(), "mediaType": "image/png"},
    ]
    mixed = (await bridged.call("mixed", "c5"))["text"]
    assert "[audio, audio/wav, 6 bytes: it cannot be passed on]" in mixed
    assert "[resource memo://embedded]\nembedded words" in mixed
    assert "[resource report, text/plain; read it at memo://report]" in mixed


@pytest.mark.rap("RES-5", "SRV-2")
async def test_a_failure_is_an_error_the_model_can_read(bridge: Any) -> None:
    bridged = await bridge()
    assert (await bridged.call("fail", "c1"))["text"] == "Error: Error executing tool fail: the disk is full"
    assert "nothing_of_the_kind" in (await bridged.call("nothing_of_the_kind", "c2"))["text"]
    bad = (await bridged.call("add", "c3", a="x"))["text"]
    assert bad.startswith("Error: ") and "validation error" in bad


async def test_resources_are_listed_and_read_by_tools(bridge: Any) -> None:
    bridged = await bridge()
    assert {"scripted_list_resources", "scripted_read_resource"} <= (await bridged.tools()).keys()
    listed = await bridged.call("scripted_list_resources", "c1")
    assert listed["text"] == "memo://report report (text/plain): The report."
    read = await bridged.call("scripted_read_resource", "c2", uri="memo://report")
    assert read["text"] == "[resource memo://report]\nall is well"
    missing = await bridged.call("scripted_read_resource", "c3", uri="memo://nowhere")
    assert missing["text"].startswith("Error: scripted_read_resource was refused")


async def test_resources_can_be_left_out(bridge: Any) -> None:
    bridged = await bridge(resources=False)
    assert "scripted_read_resource" not in await bridged.tools()


@pytest.mark.rap("DISC-5")
async def test_a_conversation_that_begins_sees_the_tools_of_now(bridge: Any) -> None:
    bridged = await bridge()
    assert "extra" not in await bridged.tools()
    await bridged.call("grow", "c1")
    assert "extra" in await bridged.tools()
    assert (await bridged.call("extra", "c2"))["text"] == "extra!"


@pytest.mark.parametrize("http", [False, True], ids=["pipe", "http"])
async def test_a_server_that_says_its_tools_have_changed_is_asked_at_once(
    bridge: Any,
    web_server: Any,
    http: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(catalogue, "BETWEEN_LISTS", 0.05)
    bridged = await bridge(**({"url": (await web_server()).url} if http else {}))
    assert "extra" not in await bridged.tools()
    await bridged.call("grow", "c1")
    async with asyncio.timeout(PATIENCE):
        while "MCP server scripted has changed its tools: new: extra" not in caplog.text:
            await asyncio.sleep(0.02)


async def test_a_server_over_http_works_like_one_over_a_pipe(bridge: Any, web_server: Any) -> None:
    process = await web_server()
    bridged = await bridge(url=process.url)
    assert "add" in await bridged.tools()
    assert (await bridged.call("add", "c1", a=1, b=2))["text"] == "3"
    await process.stop()
    lost = await bridged.call("add", "c2", a=1, b=2)
    assert lost["text"].startswith("Error: MCP server scripted")
    await process.start()
    assert (await bridged.call("weather", "c3", city="Rome"))["text"], "a new session is made"
