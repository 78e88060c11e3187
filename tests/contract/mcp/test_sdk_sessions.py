"""Sessions that servers on the official SDKs have lost: they say so in their own words, and the call goes on in a new one."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.contract.mcp.conftest import PATIENCE
from tests.contract.mcp.test_real_servers import APART
from tests.ports import free_port

HERE = Path(__file__).parent
SDK_SERVER = str(HERE / "sdk_server.py")
MODULES = APART / "node" / "node_modules"


def _python_of_today(port: str) -> list[str]:
    return [sys.executable, SDK_SERVER, port]


def _sessions_of_today(port: str) -> list[str]:
    return [sys.executable, SDK_SERVER, port, "sessions"]


def _python_before(port: str) -> list[str]:
    python = APART / "python" / "bin" / "python"
    if not python.exists():
        pytest.skip("the SDK before is not there; 'make target/mcp-servers/.stamp' installs it")
    return [str(python), SDK_SERVER, port]


def _typescript(port: str) -> list[str]:
    if shutil.which("node") is None:
        pytest.skip("Node is not installed")
    if not (MODULES / "@modelcontextprotocol" / "sdk").exists():
        pytest.skip("the TypeScript SDK is not there; 'make target/mcp-servers/.stamp' installs it, with npm")
    return ["node", str(HERE / "servers" / "sessions.mjs"), str(MODULES), port]


class SdkServer:
    """A process on a port of its own, which it keeps when it is started again."""

    def __init__(self, command: Any) -> None:
        self.port = free_port()
        self._command: Sequence[str] = command(str(self.port))
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(*self._command)
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    assert self._process.returncode is None, "the MCP server did not start"
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    return

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@pytest.fixture(
    params=[_python_of_today, _sessions_of_today, _python_before, _typescript],
    ids=lambda made: made.__name__[1:],
)
async def sdk_server(request: Any) -> AsyncIterator[SdkServer]:
    server = SdkServer(request.param)
    await server.start()
    yield server
    await server.kill()


@pytest.mark.trap("B1")
async def test_a_session_that_went_with_its_server_is_begun_again(bridge: Any, sdk_server: SdkServer) -> None:
    bridged = await bridge(url=sdk_server.url)
    assert "whoami" in await bridged.tools()
    assert (await bridged.call("whoami", "c1"))["text"] == f"process {sdk_server.pid}"
    await sdk_server.kill()
    await sdk_server.start()
    assert (await bridged.call("whoami", "c2"))["text"] == f"process {sdk_server.pid}"


@pytest.mark.parametrize("sdk_server", [_typescript], indirect=True)
async def test_a_session_that_another_one_took_the_place_of_is_begun_again(
    bridge: Any, sdk_server: SdkServer
) -> None:
    bridged = await bridge(url=sdk_server.url)
    await bridged.tools()
    about = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "other", "version": "1"},
    }
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": about}
    accepts = {"Accept": "application/json, text/event-stream"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(sdk_server.url, json=message, headers=accepts) as other,
    ):
        assert other.status == 200 and other.headers["Mcp-Session-Id"]
    assert (await bridged.call("whoami"))["text"] == f"process {sdk_server.pid}"
