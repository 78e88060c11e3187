"""The inspection on every tool server that we show to people, each in a process of its own: nothing is broken, nothing could be better."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.e2e.stage import EXAMPLES, LEISURELY, PATIENCE, eventually, status
from tests.ports import free_port

from infinity.rap.address import Server
from infinity.rap.inspection import Outcome, Report, inspect_server
from infinity.tools.builtins import BUILTINS

SERVING = {path.parent for path in EXAMPLES.glob("*/*.toml") if "[toolsets." in path.read_text()}
SERVE = ("-m", "infinity.cli", "rap", "serve")
SERVERS = {
    **{folder.name: (str(EXAMPLES / folder.name / "server.py"),) for folder in sorted(SERVING)},
    "first_tool": (*SERVE, str(EXAMPLES / "first_tool" / "tools.py") + ":tools"),
    "first_tool in the cloud": (*SERVE, str(EXAMPLES / "first_tool" / "cloud.py") + ":tools"),
    "the office of lambda": (*SERVE, str(EXAMPLES / "lambda" / "office" / "office.py") + ":tools"),
    "tool_server": (str(EXAMPLES / "tool_server.py"),),
    "demo repository": ("-m", "infinity.demo.repository_server", "--port", "{port}", "--state", "."),
    "demo tests": ("-m", "infinity.demo.tests_server", "--port", "{port}", "--state", "."),
    "mcp bridge": (
        *("-m", "infinity.cli", "rap", "mcp", "time", "--port", "{port}"),
        *("--", sys.executable, "-m", "mcp_server_time", "--local-timezone=UTC"),
    ),
}


@asynccontextmanager
async def running(arguments: tuple[str, ...], folder: Path) -> AsyncIterator[str]:
    """The server, once it answers; ``folder``: where it keeps its state."""
    folder.mkdir()
    port = free_port()
    environment = {**os.environ, "PORT": str(port), "GITHUB_WEBHOOK_SECRET": "secret", "APPROVAL_SECRET": "s"}
    with (folder / "output.log").open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *(each.replace("{port}", str(port)) for each in arguments)),
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
        )
    url = f"http://127.0.0.1:{port}"

    async def answers() -> bool:
        assert process.returncode is None, (folder / "output.log").read_text()
        return await status(f"{url}/.well-known/rap-toolset") == 200

    try:
        await eventually(answers, f"answer of {folder.name}")
        yield url
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), PATIENCE)


async def inspected(name: str, folder: Path) -> Report:
    async with running(SERVERS[name], folder) as url:
        builtins = frozenset(tool.name for tool in BUILTINS)
        return await inspect_server(Server(url), limits=LEISURELY, reserved=builtins)


@pytest.mark.rap("SRV-1", "SRV-2", "SRV-3", "SRV-5", "SRV-6", "THR-3", "DISC-2")
async def test_the_inspection_finds_nothing_to_say_against_the_servers_that_we_show(tmp_path: Path) -> None:
    reports = await asyncio.gather(*(inspected(name, tmp_path / name) for name in SERVERS))
    for name, report in zip(SERVERS, reports, strict=True):
        wrong = [*report.of(Outcome.BROKEN), *report.of(Outcome.WARNED)]
        assert (name, wrong, report.conforms) == (name, [], True)
        assert len(report.of(Outcome.PASSED)) >= 10, name


def test_every_example_with_a_toolset_is_inspected() -> None:
    """But for those that are tests themselves or explain an idea, which are run elsewhere."""
    written = {path for path in EXAMPLES.rglob("*.py") if "= Toolset(" in path.read_text()}
    others = {path for path in written if "test" in path.name or path.parent.name == "concepts"}
    started = " ".join(word for arguments in SERVERS.values() for word in arguments)
    assert not [path for path in written - others if str(path) not in started], "add it to SERVERS"
