"""Calls that an MCP server turns into tasks: the agent sleeps, the bridge asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.contract.mcp.test_failures import lines, until_noted


async def test_a_task_is_asked_for_until_it_is_done(bridge: Any, tmp_path: Path) -> None:
    journal, finish = tmp_path / "journal", tmp_path / "finish"
    bridged = await bridge("journal", str(journal))
    await bridged.begin("long_work", finish=str(finish))
    await until_noted(journal, "asked for task-0")
    view = await bridged.message("view_update")
    assert view["content"]["message"] == "counting"
    finish.touch()
    assert (await bridged.message("tool_result"))["text"] == "finished task-0"


async def test_a_task_goes_on_when_the_bridge_is_restarted(
    bridge: Any, web_server: Any, tmp_path: Path
) -> None:
    journal, finish = tmp_path / "journal", tmp_path / "finish"
    process = await web_server("journal", str(journal))
    bridged = await bridge(url=process.url)
    await bridged.begin("long_work", finish=str(finish))
    await until_noted(journal, "asked for task-0")
    await bridged.restart()
    finish.touch()
    assert (await bridged.message("tool_result"))["text"] == "finished task-0"
    noted = lines(journal)
    assert "began task-1" not in noted, "the call was not made a second time"
    assert "cancelled task-0" not in noted


async def test_a_task_asks_the_user_once(bridge: Any, tmp_path: Path) -> None:
    finish = tmp_path / "finish"
    bridged = await bridge()
    finish.touch()
    await bridged.begin("long_work", finish=str(finish), ask=True)
    question = await bridged.choose(1, 0)
    assert question["prompt"] == "Go on?"
    text = (await bridged.message("tool_result"))["text"]
    assert "'go': True" in text
    assert len([each for each in bridged.runtime.callbacks if each["type"] == "user_choice"]) == 1


async def test_a_cancelled_call_cancels_its_task(bridge: Any, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    bridged = await bridge("journal", str(journal))
    await bridged.begin("long_work", finish=str(tmp_path / "never"))
    await until_noted(journal, "asked for task-0")
    await bridged.notice("cancel_tool_call", thread_id="thread_1", tool_call_id="call_1")
    await until_noted(journal, "cancelled task-0")
