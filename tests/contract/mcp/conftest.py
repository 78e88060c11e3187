"""Bridges as a runtime sees them, over the kit's listener, with scripted MCP servers behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.contract.mcp.warm import Warm
from tests.contract.rap_server.conftest import FakeRuntime
from tests.patience import PATIENCE
from tests.ports import free_port

from infinity.backoff import Backoff
from infinity.mcp.server import BridgeServer
from infinity.mcp.specification import ServerSpecification

SCRIPT = str(Path(__file__).with_name("scripted_mcp_server.py"))


class Bridged:
    """One bridge and the runtime that calls it."""

    def __init__(
        self, runtime: FakeRuntime, specification: ServerSpecification, state: Path, token: str | None
    ) -> None:
        self.runtime = runtime
        self.specification = specification
        self._state = state
        self._token = token
        self.server = self._made()

    def _made(self) -> BridgeServer:
        return BridgeServer(self.specification, self._state, token=self._token, backoff=Backoff(0.01, 0.05))

    async def restart(self) -> None:
        await self.server.stop()
        self.server = self._made()
        await self.server.start()

    async def discover(self) -> tuple[int, Any]:
        address = f"{self.server.base_url}/.well-known/rap-toolset"
        async with aiohttp.ClientSession() as session, session.get(address) as response:
            return response.status, await response.json()

    async def tools(self) -> dict[str, Any]:
        """The tools by name, once they are there; a busy machine may need a while."""
        async with asyncio.timeout(PATIENCE):
            while True:
                status, manifest = await self.discover()
                if status == 200:
                    return {tool["name"]: tool for tool in manifest["tools"]}
                assert "still starting" in manifest["error"]["text"], manifest

    async def begin(self, tool: str, id: str = "call_1", thread: str = "thread_1", **arguments: Any) -> None:
        assert (
            await self.runtime.invoke(self.server.base_url, tool, id, arguments=arguments, group_id=thread)
            == 200
        )

    async def message(self, kind: str, id: str = "call_1") -> dict[str, Any]:
        """The first callback of this kind for this call."""

        def found() -> dict[str, Any] | None:
            for each in self.runtime.callbacks:
                if each["type"] == kind and each.get("id", id) == id:
                    return each
            return None

        await self.runtime.until(lambda: found() is not None)
        message = found()
        assert message is not None
        return message

    async def call(self, tool: str, id: str = "call_1", **arguments: Any) -> dict[str, Any]:
        await self.begin(tool, id, **arguments)
        return await self.message("tool_result", id)

    async def choose(self, count: int, selected: int) -> dict[str, Any]:
        """Answer the ``count``-th question."""

        def asked() -> list[dict[str, Any]]:
            return [each for each in self.runtime.callbacks if each["type"] == "user_choice"]

        await self.runtime.until(lambda: len(asked()) >= count)
        question = asked()[count - 1]
        answer = {"id": question["id"], "selected": selected}
        assert await self.runtime.post(question["response_url"], answer) == 200
        return question

    async def notice(self, path: str, **body: Any) -> int:
        return await self.runtime.post(f"{self.server.base_url}/{path}", body)


Bridge = Callable[..., Any]


@pytest.fixture
async def runtime() -> AsyncIterator[FakeRuntime]:
    runtime = FakeRuntime()
    await runtime.start()
    yield runtime
    await runtime.stop()


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """Starts scripted servers in a tenth of the time."""
    made = Warm(tmp_path_factory.mktemp("warm"))
    yield made
    made.close()


@pytest.fixture
async def bridge(runtime: FakeRuntime, tmp_path: Path, warm: Warm) -> AsyncIterator[Bridge]:
    """``await bridge(*ways, **specification)``: a bridge to the scripted server."""
    made: list[Bridged] = []

    async def make(*ways: str, token: str | None = None, **specification: Any) -> Bridged:
        if "url" not in specification:
            command, *arguments = warm.command
            specification = {"command": command, "args": (*arguments, "stdio", *ways), **specification}
        state = tmp_path / f"bridge{len(made)}.db"
        specified = ServerSpecification(**{"name": "scripted", **specification})
        bridged = Bridged(runtime, specified, state, token)
        made.append(bridged)
        await bridged.server.start()
        return bridged

    yield make
    for each in made:
        await each.server.stop()


class WebProcess:
    """The scripted server over HTTP; ``stop`` and ``start`` on the same port."""

    def __init__(self, command: tuple[str, ...], ways: tuple[str, ...]) -> None:
        self._command = command
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        self._ways = ways
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._command, "http", str(self.port), *self._ways, stderr=asyncio.subprocess.DEVNULL
        )
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

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@pytest.fixture
async def web_server(warm: Warm) -> AsyncIterator[Callable[..., Any]]:
    async with AsyncExitStack() as stack:

        async def make(*ways: str) -> WebProcess:
            process = WebProcess(warm.command, ways)
            stack.push_async_callback(process.stop)
            await process.start()
            return process

        yield make
