"""The guide for newcomers, walked: its tools served by the command on the page, inspected, and used by an agent."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contract.rap_server.conftest import FakeRuntime

from infinity import Agent, Runtime
from infinity.models.registry import Models
from infinity.models.scripted import ScriptedModel
from infinity.testing.script import Script

FOLDER = Path(__file__).parents[2] / "examples" / "first_tool"
COMMAND = [sys.executable, "-m", "infinity.cli"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("INFINITY_")}


@pytest.fixture
async def kitchen(tmp_path: Path) -> AsyncIterator[str]:
    """``infinity rap serve tools:tools``; yields the address that it prints."""
    command = [
        *COMMAND,
        "rap",
        "serve",
        "tools:tools",
        "--port",
        "0",
        "--state",
        str(tmp_path / "kitchen.db"),
    ]
    process = subprocess.Popen(
        command, cwd=FOLDER, env={**ENVIRONMENT, "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        name, url, *tools = (await asyncio.to_thread(process.stdout.readline)).split()
        assert (name, tools[0]) == ("kitchen", "price,")
        yield url
    finally:
        process.terminate()
        assert await asyncio.to_thread(process.wait, 20) == 0
        process.stdout.close()


async def test_the_inspection_on_the_page_finds_nothing_wrong(kitchen: str, tmp_path: Path) -> None:
    arguments = ["rap", "inspect", kitchen, "--call", "price", "--arguments", '{"item": "flour"}', "--strict"]
    found = await asyncio.to_thread(
        subprocess.run,
        [*COMMAND, *arguments, "--json"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    report = json.loads(found.stdout)
    assert found.returncode == 0, report
    assert report["conforms"] and report["answer"]["text"] == "flour costs 1.20 euros."
    page = (FOLDER.parents[1] / "docs" / "guides" / "tools.md").read_text()
    assert f"it keeps the protocol: {report['counts']['passed']} checks passed" in page


async def test_an_agent_uses_the_tools(kitchen: str, tmp_path: Path) -> None:
    script = (
        Script().when("flour").call("price", item="flour").then().say(lambda prompt: prompt.results[0].text)
    )
    models = Models(providers={"scripted": ScriptedModel(script)})
    async with Runtime.open(Agent(toolsets=[kitchen]), tmp_path / "agent.db", models=models) as runtime:
        thread = await runtime.create()
        assert await runtime.ask(thread, "What does flour cost?") == "flour costs 1.20 euros."


async def test_the_tools_do_what_the_page_says(kitchen: str) -> None:
    runtime = FakeRuntime()
    await runtime.start()
    try:
        await runtime.invoke(kitchen, "order", arguments={"item": "salt"})
        question = await runtime.called_back()
        assert question["choices"] == ["Order it", "Leave it"]
        await runtime.post(question["response_url"], {"id": "call_1", "selected": 0})
        assert (await runtime.called_back(2))["text"] == "salt is on its way."
        await runtime.invoke(kitchen, "bake", "call_2", arguments={"recipe": "bread", "minutes": 0})
        assert (await runtime.called_back(13))["text"] == "The bread is ready."
        await runtime.invoke(kitchen, "watch_oven", "call_3", arguments={"degrees": 150})
        assert (await runtime.called_back(16))["final"] is True
    finally:
        await runtime.stop()


@pytest.mark.parametrize(
    ("module", "name"), [("asgi", "application"), ("cloud", "handler")], ids=["asgi", "cloud"]
)
def test_the_other_ways_to_serve_can_be_made(module: str, name: str, tmp_path: Path) -> None:
    probe = f"import {module}; print(callable({module}.{name}))"
    path = os.pathsep.join([str(FOLDER), *sys.path])
    ran = subprocess.run(
        [sys.executable, "-c", probe],
        cwd=tmp_path,
        env={**ENVIRONMENT, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.stdout.strip() == "True", ran.stderr
