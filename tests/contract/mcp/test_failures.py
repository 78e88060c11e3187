"""What goes wrong with an MCP server, and who hears of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.patience import PATIENCE

from infinity.mcp import catalogue


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


async def until_noted(path: Path, word: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while word not in lines(path):
            await asyncio.sleep(0.02)


async def problem_of(bridged: Any) -> str:
    """Why there are no tools, once that is settled."""
    async with asyncio.timeout(PATIENCE):
        while True:
            status, body = await bridged.discover()
            assert status == 503
            text = str(body["error"]["text"])
            if "still starting" not in text:
                return text


async def test_a_server_that_does_not_start_says_how_it_ended(bridge: Any) -> None:
    bridged = await bridge("crash")
    assert "MCP server scripted exited with status 7" in await problem_of(bridged)
    result = await bridged.call("add", a=1, b=2)
    assert result["text"].startswith("Error: MCP server scripted exited with status 7")


async def test_a_command_that_does_not_exist_is_named(bridge: Any) -> None:
    bridged = await bridge(command="/nowhere/server", args=())
    assert "/nowhere/server does not exist; correct 'command' or 'cwd'" in await problem_of(bridged)


async def test_an_address_where_nothing_listens_is_told(bridge: Any) -> None:
    bridged = await bridge(url="http://127.0.0.1:9/mcp")
    assert "cannot be reached at its 'url'" in await problem_of(bridged)


@pytest.mark.trap("B1")
async def test_a_server_that_hangs_holds_nobody_up_for_long(
    bridge: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "START_PATIENCE", 0.5)
    bridged = await bridge("hang", start_timeout=1.0)
    status, body = await bridged.discover()
    assert status == 503 and "is still starting" in body["error"]["text"]
    result = await bridged.call("add", a=1, b=2)
    assert result["text"] == "Error: MCP server scripted did not answer within 1 s"


async def test_a_list_of_tools_without_end_is_refused(bridge: Any) -> None:
    bridged = await bridge("endless")
    assert "its list of tools does not end" in await problem_of(bridged)


async def test_garbage_on_standard_output_harms_nothing_and_is_not_logged(
    bridge: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "infinity")
    bridged = await bridge("garbage")
    await bridged.tools()
    assert (await bridged.call("add", a=1, b=2))["text"] == "3"
    assert "its logging belongs to standard error" in caplog.text
    assert "please wait" not in caplog.text


async def test_a_server_that_ends_in_a_call_is_told_and_started_again(bridge: Any, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    bridged = await bridge("journal", str(journal))
    died = await bridged.call("die", "c1")
    assert "exited with status 3 while die was running; it may or may not have taken effect" in died["text"]
    assert (await bridged.call("add", "c2", a=1, b=2))["text"] == "3"
    assert lines(journal) == ["started", "die", "started", "add"], (
        "a call that may have had an effect is not repeated"
    )


async def test_a_harmless_call_is_repeated_in_a_new_session(bridge: Any, tmp_path: Path) -> None:
    bridged = await bridge()
    await bridged.tools()
    again = await bridged.call("die_once", marker=str(tmp_path / "marker"))
    assert again["text"] == "second time"


@pytest.mark.rap("CAN-1", "SRV-5")
async def test_a_cancelled_call_is_cancelled_at_the_server(bridge: Any, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    bridged = await bridge("journal", str(journal))
    await bridged.begin("slow")
    await until_noted(journal, "slow began")
    assert await bridged.notice("cancel_tool_call", thread_id="thread_1", tool_call_id="call_1") == 200
    await until_noted(journal, "slow cancelled")
    assert (await bridged.call("add", "c2", a=1, b=2))["text"] == "3"
    assert [each["id"] for each in bridged.runtime.callbacks] == ["c2"]


@pytest.mark.rap("CAN-1")
async def test_a_cancelled_call_is_cancelled_over_http_too(
    bridge: Any, web_server: Any, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    process = await web_server("journal", str(journal))
    bridged = await bridge(url=process.url)
    await bridged.begin("slow")
    await until_noted(journal, "slow began")
    await bridged.notice("close_thread", thread_id="thread_1")
    await until_noted(journal, "slow cancelled")


async def test_a_silent_call_is_given_up_and_a_talking_one_is_not(bridge: Any, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    bridged = await bridge("journal", str(journal), call_timeout=1.5)
    await bridged.tools()
    await bridged.begin("report", "talking", steps=6, pause=0.4)
    silent = await bridged.call("slow", "silent")
    assert "slow gave no sign of life for 1.5 s and was cancelled" in silent["text"]
    await until_noted(journal, "slow cancelled")
    assert (await bridged.message("tool_result", "talking"))["text"] == "reported"
    views = [each["content"] for each in bridged.runtime.callbacks if each["type"] == "view_update"]
    assert views[-1] == {
        "call_id": "talking",
        "tool": "report",
        "progress": 6,
        "total": 6,
        "message": "step 6",
    }
    assert len(views) < 6, "progress is shown at most once a second"


@pytest.mark.rap("SRV-6", "INV-8")
async def test_an_invocation_that_arrives_twice_reaches_the_server_once(bridge: Any, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    bridged = await bridge("journal", str(journal))
    for _ in range(3):
        await bridged.begin("add", a=1, b=2)
    await bridged.message("tool_result")
    await bridged.call("weather", "c2", city="Oslo")
    assert lines(journal).count("add") == 1


async def test_a_call_is_not_sent_again_by_a_bridge_that_was_restarted(bridge: Any, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    bridged = await bridge("journal", str(journal))
    await bridged.begin("slow")
    await until_noted(journal, "slow began")
    await bridged.restart()
    result = await bridged.message("tool_result")
    assert "the bridge to the MCP server was restarted while slow was running" in result["text"]
    assert lines(journal).count("slow began") == 1


@pytest.mark.trap("S1")
async def test_with_a_token_strangers_learn_and_start_nothing(bridge: Any, tmp_path: Path) -> None:
    bridged = await bridge("journal", str(tmp_path / "journal"), token="secret")
    status, body = await bridged.discover()
    assert status == 401 and "bearer token" in body["error"]["text"]
    assert await bridged.runtime.invoke(bridged.server.base_url, "add", arguments={"a": 1, "b": 2}) == 401
    assert lines(tmp_path / "journal") == []
    headers = {"Authorization": "Bearer secret"}
    async with asyncio.timeout(PATIENCE), aiohttp.ClientSession(headers=headers) as session:
        while True:
            async with session.get(f"{bridged.server.base_url}/.well-known/rap-toolset") as response:
                if response.status == 200:
                    break


@pytest.mark.trap("S4")
async def test_web_pages_are_refused(bridge: Any) -> None:
    bridged = await bridge("hang")
    url = f"{bridged.server.base_url}/invoke"
    async with aiohttp.ClientSession() as session:
        async with session.post(url, data="{}", headers={"Origin": "https://evil.example"}) as response:
            assert response.status == 403
        async with session.post(url, data="{}", headers={"Host": "evil.example"}) as response:
            assert response.status == 403
