"""What was special to 2025-11-25: tasks that the client asks for, changes told unasked, requests to the client."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.contract.mcp.test_failures import lines, until_noted
from tests.patience import PATIENCE

from infinity.mcp import catalogue, process

SERVER = str(Path(__file__).with_name("early_mcp_server.py"))


@pytest.fixture
async def early(bridge: Any, tmp_path: Path) -> Any:
    """``await early(**specification)``: a bridge to the server, and its journal."""
    journal = tmp_path / "journal"

    async def make(**specification: Any) -> tuple[Any, Path]:
        return await bridge(command=sys.executable, args=(SERVER, str(journal)), **specification), journal

    return make


async def test_a_call_that_must_be_a_task_is_made_one(early: Any, tmp_path: Path) -> None:
    bridged, journal = await early()
    await bridged.tools()
    finish = tmp_path / "finish"
    await bridged.begin("research", finish=str(finish))
    await until_noted(journal, "asked for early-0")
    assert (await bridged.message("view_update"))["content"]["message"] == "reading"
    finish.touch()
    assert (await bridged.message("tool_result"))["text"] == "read it all"


async def test_such_a_task_asks_the_user_and_goes_on(early: Any, tmp_path: Path) -> None:
    bridged, journal = await early(call_timeout=1.0)
    await bridged.tools()
    finish = tmp_path / "finish"
    await bridged.begin("research", finish=str(finish), ask=True)
    question = await bridged.choose(1, 0)
    assert question["prompt"] == "Read on?"
    # For longer than a silent call may last: each answer about the state is a sign of life.
    asked = lines(journal).count("asked for early-0")
    async with asyncio.timeout(PATIENCE):
        while lines(journal).count("asked for early-0") < asked + 7:
            await asyncio.sleep(0.02)
    finish.touch()
    assert (await bridged.message("tool_result"))["text"] == "read it all {'deep': True}"


async def test_such_a_task_that_failed_says_why(early: Any) -> None:
    bridged, _ = await early()
    await bridged.tools()
    failed = await bridged.call("fail")
    assert failed["text"] == "Error: fail was refused: the library has burned down"


@pytest.mark.rap("CAN-1")
async def test_a_cancelled_call_cancels_such_a_task(early: Any, tmp_path: Path) -> None:
    bridged, journal = await early()
    await bridged.tools()
    await bridged.begin("research", finish=str(tmp_path / "never"))
    await until_noted(journal, "asked for early-0")
    await bridged.notice("cancel_tool_call", thread_id="thread_1", tool_call_id="call_1")
    await until_noted(journal, "cancelled early-0")


async def test_a_server_that_wants_a_model_of_ours_hears_that_there_is_none(early: Any) -> None:
    bridged, _ = await early()
    assert (await bridged.call("sample"))["text"] == "sampling: Sampling not supported"


async def test_a_tool_that_is_gone_is_told_with_what_there_is(
    early: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(catalogue, "BETWEEN_LISTS", 0.05)
    bridged, _ = await early()
    assert "fail" in await bridged.tools()
    await bridged.call("shrink", "c1")
    async with asyncio.timeout(PATIENCE):
        while "has changed its tools: new: newcomer; gone: fail" not in caplog.text:
            await asyncio.sleep(0.02)
    gone = (await bridged.call("fail", "c2"))["text"]
    assert gone.startswith("Error: fail was refused: Unknown tool: fail")
    assert gone.endswith(
        "scripted offers no tool fail at present. What it offers: research, deaf, sample, shrink, nonsense, huge, newcomer"
    )


async def test_an_answer_that_is_no_result_is_told_and_the_next_call_works(
    early: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bridged, _ = await early()
    nonsense = await bridged.call("nonsense", "c1")
    assert nonsense["text"] == (
        "Error: MCP server scripted answered nonsense with something that is not an MCP result; its operator has to look"
    )
    assert "nonsense with something that is not an MCP result: wrong at content" in caplog.text
    assert "oops" not in caplog.text
    assert (await bridged.call("sample", "c2"))["text"].startswith("sampling:")


@pytest.mark.trap("G2")
async def test_a_result_of_two_megabytes_is_passed_on_whole(early: Any) -> None:
    bridged, _ = await early()
    assert len((await bridged.call("huge"))["text"]) >= 2_000_000


@pytest.mark.trap("G2")
async def test_a_line_without_end_is_cut_off_and_the_server_started_again(
    early: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "LONGEST_LINE", 1 << 20)
    bridged, journal = await early()
    huge = (await bridged.call("huge", "c1"))["text"]
    assert "wrote a line of more than 1 MiB while huge was running; it may or may not" in huge
    assert (await bridged.call("sample", "c2"))["text"].startswith("sampling:")
    assert lines(journal).count("started") == 2


@pytest.mark.trap("B1")
async def test_a_server_that_stops_listening_holds_up_neither_its_calls_nor_the_end(early: Any) -> None:
    bridged, journal = await early(call_timeout=1.0)
    await bridged.tools()
    await bridged.begin("deaf", "c1")
    await until_noted(journal, "call deaf")
    # More than a pipe holds: writing it never ends.
    large = await bridged.call("sample", "c2", filler="x" * 500_000)
    assert "sample gave no sign of life for 1 s and was cancelled" in large["text"]
    assert "deaf gave no sign of life" in (await bridged.message("tool_result", "c1"))["text"]
    async with asyncio.timeout(PATIENCE):
        await bridged.server.stop()
