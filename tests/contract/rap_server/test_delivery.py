"""The kit for tool servers: how its callbacks reach the runtime, once and across restarts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from infinity.rap.server import (
    Image,
    Result,
    Toolset,
)

from .conftest import FakeRuntime, ci, served


@pytest.mark.rap("SRV-3")
@pytest.mark.parametrize("answers", [[500], [503, 500, 502], [429]])
async def test_a_callback_is_sent_again_until_it_is_taken(
    runtime: FakeRuntime, state: Path, answers: list[int]
) -> None:
    runtime.answers = list(answers)
    async with served(ci(), state) as server:
        await runtime.invoke(server.base_url, "status", arguments={"branch": "main"})
        await runtime.called_back(len(answers) + 1)
        await runtime.invoke(server.base_url, "status", "call_2", arguments={"branch": "main"})
        await runtime.called_back(len(answers) + 2)
    assert [callback["id"] for callback in runtime.callbacks] == ["call_1"] * (len(answers) + 1) + ["call_2"]


@pytest.mark.rap("SRV-3")
@pytest.mark.parametrize("status", [400, 403, 404, 409, 410])
async def test_a_callback_that_is_refused_is_not_sent_again(
    runtime: FakeRuntime, state: Path, status: int
) -> None:
    runtime.answers = [status]
    async with served(ci(), state) as server:
        await runtime.invoke(server.base_url, "status", arguments={"branch": "main"})
        await runtime.called_back()
        await runtime.invoke(server.base_url, "status", "call_2", arguments={"branch": "main"})
        await runtime.called_back(2)
    async with served(ci(), state) as server:
        await runtime.invoke(server.base_url, "status", "call_3", arguments={"branch": "main"})
        await runtime.called_back(3)
    assert [callback["id"] for callback in runtime.callbacks] == ["call_1", "call_2", "call_3"]


@pytest.mark.rap("SRV-2")
async def test_a_result_too_large_for_what_is_between_is_sent_again_in_part(
    runtime: FakeRuntime, state: Path
) -> None:
    tools = Toolset("large")

    @tools.tool
    def read() -> str:
        """Reads."""
        return "begin" + "x" * 3_000_000 + "end"

    runtime.answers = [413]
    async with served(tools, state) as server:
        await runtime.invoke(server.base_url, "read")
        text = (await runtime.called_back(2))["text"]
    assert text.startswith("begin") and text.endswith("end")
    assert "characters were left out here" in text and len(text) < 1_000_000


@pytest.mark.rap("CB-8", "SRV-2")
async def test_a_result_larger_than_a_runtime_takes_is_shortened_not_refused(
    runtime: FakeRuntime, state: Path
) -> None:
    tools = Toolset("large")

    @tools.tool
    def read() -> str:
        """Reads."""
        return "begin" + "x" * 9_000_000 + "end"

    @tools.tool
    def look() -> Result:
        """Looks."""
        return Result(content=["what it shows", Image(b"x" * 7_000_000, "image/png")])

    async with served(tools, state) as server:
        await runtime.invoke(server.base_url, "read")
        text = (await runtime.called_back())["text"]
        await runtime.invoke(server.base_url, "look", "call_2")
        shown = (await runtime.called_back(2))["content"]
    assert text.startswith("begin") and text.endswith("end")
    assert 7_000_000 < len(text) < 8 << 20
    assert shown[0]["text"] == "what it shows"
    assert "an image of 700000" in shown[1]["text"]


@pytest.mark.rap("SRV-2")
async def test_a_result_too_large_for_the_runtime_is_replaced_by_an_error(
    runtime: FakeRuntime, state: Path
) -> None:
    tools = Toolset("large")

    @tools.tool
    def read() -> str:
        """Reads."""
        return "x" * 100_000

    runtime.answers = [413]
    async with served(tools, state) as server:
        await runtime.invoke(server.base_url, "read")
        assert (await runtime.called_back(2))["text"].startswith("Error: the runtime refused")


@pytest.mark.rap("SRV-3", "SRV-4")
@pytest.mark.trap("L14")
async def test_a_callback_that_could_not_be_delivered_survives_a_restart(
    runtime: FakeRuntime, state: Path
) -> None:
    async with served(ci(), state) as server:
        await runtime.stop()
        assert runtime.session is not None
        port = runtime.callback_url
        client = FakeRuntime()
        await client.start()
        await client.invoke(server.base_url, "status", arguments={"branch": "main"}, callback_url=port)
        await client.stop()
    await runtime.start()
    async with served(ci(), state):
        assert (await runtime.called_back())["text"] == "main: green (10)"


@pytest.mark.rap("SRV-2")
async def test_a_call_that_a_restart_interrupted_is_answered_with_an_error(
    runtime: FakeRuntime, state: Path
) -> None:
    tools, begun, runs = Toolset("slow"), asyncio.Event(), []

    @tools.tool
    async def pay() -> str:
        """Pays."""
        runs.append(1)
        begun.set()
        await asyncio.Event().wait()
        return "paid"

    async with served(tools, state) as server:
        await runtime.invoke(server.base_url, "pay")
        await begun.wait()
    async with served(tools, state):
        text = (await runtime.called_back())["text"]
    assert text.startswith("Error: ")
    assert "may or may not" in text
    assert runs == [1]


async def test_a_tool_that_may_be_repeated_runs_again_after_a_restart(
    runtime: FakeRuntime, state: Path
) -> None:
    tools, begun, runs = Toolset("slow"), asyncio.Event(), []

    @tools.tool(idempotent=True)
    async def look() -> str:
        """Looks."""
        runs.append(1)
        begun.set()
        if len(runs) == 1:
            await asyncio.Event().wait()
        return "seen"

    async with served(tools, state) as server:
        await runtime.invoke(server.base_url, "look")
        await begun.wait()
    async with served(tools, state):
        assert (await runtime.called_back())["text"] == "seen"
    assert runs == [1, 1]
