"""A runtime as a tool server sees it: it invokes, takes callbacks, and answers them with whatever status the test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.patience import PATIENCE

from infinity.backoff import Backoff
from infinity.rap.server import Toolset, ToolsetServer

AT_ONCE = Backoff(first=0.01, longest=0.02)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "tools.db"


def served(tools: Toolset, state: Path, **more: Any) -> ToolsetServer:
    return ToolsetServer(tools, state, backoff=AT_ONCE, **more)


def ci() -> Toolset:
    tools = Toolset("ci", "What the build machines know.")

    @tools.tool(read_only=True, display_script='"CI of " + args.branch')
    async def status(branch: str, limit: int = 10) -> str:
        """The state of a branch's last builds."""
        return f"{branch}: green ({limit})"

    return tools


class FakeRuntime:
    """``callbacks``: every callback body that arrived, in order. ``answers``: statuses for the next ones, then 200."""

    def __init__(self) -> None:
        self.callbacks: list[dict[str, Any]] = []
        self.answers: list[int] = []
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self._port = 0
        self.session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        application = web.Application(client_max_size=1 << 26)
        application.router.add_post("/callback/{token}", self._callback)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        self.session = aiohttp.ClientSession()

    async def stop(self) -> None:
        if self.session is not None:
            await self.session.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def invoke(self, base_url: str, operation: Any, id: str | None = "call_1", **more: Any) -> int:
        body = {
            "operation": operation,
            "arguments": more.pop("arguments", {}),
            "id": id,
            "callback_url": self.callback_url,
            "group_id": "thread_1",
            **more,
        }
        return await self.post(f"{base_url}/invoke", {k: v for k, v in body.items() if v is not None})

    async def post(self, url: str, body: Any, **headers: str) -> int:
        assert self.session is not None
        async with self.session.post(url, json=body, headers=headers) as response:
            return response.status

    @property
    def callback_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/callback/token"

    async def called_back(self, count: int = 1) -> dict[str, Any]:
        """The ``count``-th callback; waits for it."""
        await self.until(lambda: len(self.callbacks) >= count)
        return self.callbacks[count - 1]

    async def until(self, condition: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(PATIENCE), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            raise AssertionError(f"did not happen; callbacks so far: {self.callbacks}") from None

    async def _callback(self, request: web.Request) -> web.Response:
        body = await request.json()
        async with self._changed:
            self.callbacks.append(body)
            status = self.answers.pop(0) if self.answers else 200
            self._changed.notify_all()
        return web.Response(status=status)


@pytest.fixture
async def runtime() -> AsyncIterator[FakeRuntime]:
    runtime = FakeRuntime()
    await runtime.start()
    yield runtime
    await runtime.stop()
