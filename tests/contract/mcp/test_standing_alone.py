"""``infinity rap mcp``: the bridge as a process of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
from click.testing import CliRunner
from tests.contract.mcp.conftest import SCRIPT
from tests.patience import PATIENCE
from tests.ports import free_port

from infinity.cli.main import infinity


async def manifest(port: int) -> Any:
    address = f"http://127.0.0.1:{port}/.well-known/rap-toolset"
    async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(address) as response:
                    if response.status == 200:
                        return await response.json()
            except aiohttp.ClientConnectorError:
                pass
            await asyncio.sleep(0.05)


async def test_a_bridge_serves_until_it_is_stopped_and_leaves_nothing_behind(tmp_path: Path) -> None:
    port, journal = free_port(), tmp_path / "journal"
    arguments = [
        "rap",
        "mcp",
        "alone",
        "--port",
        str(port),
        "--prefix",
        "x_",
        "--state",
        str(tmp_path / "state.db"),
    ]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "infinity.cli",
        *arguments,
        "--",
        sys.executable,
        SCRIPT,
        "stdio",
        "journal",
        str(journal),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        found = await manifest(port)
        assert found["name"] == "alone"
        assert found["endpoint"] == f"http://127.0.0.1:{port}/invoke"
        assert "x_add" in {tool["name"] for tool in found["tools"]}
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            assert await process.wait() == 0


def test_what_is_missing_is_told() -> None:
    neither = CliRunner().invoke(infinity, ["rap", "mcp", "x"])
    assert neither.exit_code == 2 and "needs either a command, after '--', or --url" in neither.output
    pair = CliRunner().invoke(infinity, ["rap", "mcp", "x", "--env", "KEY", "--", "server"])
    assert pair.exit_code == 2 and "--env wants NAME=VALUE" in pair.output
