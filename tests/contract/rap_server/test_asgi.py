"""The same kit under other people's servers: hypercorn and uvicorn, on real sockets."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE

from infinity.errors import StoreLocked
from infinity.rap.discovery import fetch
from infinity.rap.server import Call, Subscription, Toolset, Webhook
from infinity.rap.server import store as store_module
from infinity.rap.server.asgi import AsgiApplication

from .conftest import FakeRuntime

Serving = Callable[[Any], AbstractAsyncContextManager[str]]


def listening() -> socket.socket:
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(("127.0.0.1", 0))
    found.listen()
    return found


@asynccontextmanager
async def on_hypercorn(application: Any) -> AsyncIterator[str]:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    listener, stop = listening(), asyncio.Event()
    port = listener.getsockname()[1]
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.errorlog = None
    task = asyncio.create_task(serve(application, config, shutdown_trigger=stop.wait))
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        stop.set()
        await asyncio.wait_for(task, PATIENCE)


@asynccontextmanager
async def on_uvicorn(application: Any, **options: Any) -> AsyncIterator[str]:
    import uvicorn

    listener = listening()
    options = {"lifespan": "on", "log_config": None, "ws": "none", **options}
    server = uvicorn.Server(uvicorn.Config(application, **options))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, PATIENCE)
        listener.close()


async def post_bytes(runtime: FakeRuntime, url: str, size: int) -> int:
    assert runtime.session is not None
    async with runtime.session.post(url, data=io.BytesIO(bytes(size))) as response:
        return response.status


def toolset() -> Toolset:
    tools = Toolset("served")

    @tools.tool
    async def ask(call: Call) -> str:
        """Asks."""
        return await call.ask("Which?", ["one", "two"])

    @tools.subscription
    async def watch(sub: Subscription) -> str:
        """Watches."""
        return "Watching."

    @tools.webhook("/hook")
    async def hook(request: Webhook) -> int:
        for sub in await tools.subscriptions(watch):
            await sub.emit(request.query["text"] + request.body.decode())
        return 202

    return tools


@pytest.mark.rap("SRV-1", "SRV-2", "SRV-4", "SRV-5", "SRV-6")
@pytest.mark.parametrize("serving", [on_hypercorn, on_uvicorn])
async def test_any_asgi_server_serves_a_toolset(
    runtime: FakeRuntime, tmp_path: Path, serving: Serving
) -> None:
    async with serving(toolset().asgi(tmp_path / "state.db")) as base:
        assert runtime.session is not None
        found = await fetch(base, runtime.session)
        assert (found.name, found.endpoint) == ("served", f"{base}/invoke")
        for _ in range(2):
            assert await runtime.invoke(base, "ask") == 200
        question = await runtime.called_back()
        assert await runtime.post(question["response_url"], {"id": "call_1", "selected": 1}) == 200
        assert (await runtime.called_back(2))["text"] == "two"
        assert await runtime.invoke(base, "watch", "call_2") == 200
        await runtime.called_back(3)
        assert await runtime.post(f"{base}/hook?text=pushed", 1) == 202
        assert (await runtime.called_back(4))["text"] == "pushed1"
        assert await runtime.invoke(base, "nothing", "call_3") == 200
        assert (await runtime.called_back(5))["text"].startswith("Error: ")
        assert await runtime.post(f"{base}/close_thread", {"thread_id": "thread_1"}) == 200
        assert await runtime.post(f"{base}/cancel_tool_call", None) == 200
        assert await runtime.post(f"{base}/elsewhere", None) == 404
        assert await runtime.post(f"{base}/.well-known/rap-toolset", None) == 405
        assert await post_bytes(runtime, f"{base}/invoke", 9 << 20) == 413


@pytest.mark.rap("SRV-4")
async def test_it_goes_on_after_a_restart(runtime: FakeRuntime, tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    async with on_uvicorn(toolset().asgi(state)) as base:
        await runtime.invoke(base, "watch")
        await runtime.called_back()
    async with on_hypercorn(toolset().asgi(state)) as base:
        assert await runtime.post(f"{base}/hook?text=again", 1) == 202
        assert (await runtime.called_back(2))["text"] == "again1"


async def test_strangers_are_kept_out_before_their_body_is_read(runtime: FakeRuntime, tmp_path: Path) -> None:
    application = toolset().asgi(tmp_path / "state.db", token="sécret")
    async with on_hypercorn(application) as base:
        assert await runtime.invoke(base, "ask") == 401
        assert await runtime.post(f"{base}/close_thread", None, Authorization="Bearer \x80") == 401
        assert await post_bytes(runtime, f"{base}/invoke", 1 << 20) == 401


async def test_under_a_prefix_the_addresses_have_the_prefix(runtime: FakeRuntime, tmp_path: Path) -> None:
    async with on_uvicorn(toolset().asgi(tmp_path / "state.db"), root_path="/ci") as base:
        assert runtime.session is not None
        assert (await fetch(base, runtime.session)).endpoint == f"{base}/ci/invoke"
        await runtime.invoke(base, "ask")
        assert (await runtime.called_back())["response_url"].startswith(f"{base}/ci/choice/")


async def test_behind_a_proxy_the_addresses_are_those_of_the_proxy(
    runtime: FakeRuntime, tmp_path: Path
) -> None:
    application = toolset().asgi(tmp_path / "state.db", public_url="https://tools.example/ci/")
    async with on_hypercorn(application) as base:
        assert runtime.session is not None
        async with runtime.session.get(f"{base}/.well-known/rap-toolset") as response:
            assert (await response.json())["endpoint"] == "https://tools.example/ci/invoke"


async def test_without_a_lifespan_it_starts_with_the_first_request(
    runtime: FakeRuntime, tmp_path: Path
) -> None:
    application = toolset().asgi(tmp_path / "state.db")
    async with on_uvicorn(application, lifespan="off") as base:
        assert (
            await asyncio.gather(*(runtime.invoke(base, "ask", f"call_{n}") for n in range(5))) == [200] * 5
        )
        await runtime.called_back(5)
    await application.stop()


async def test_a_second_worker_on_the_same_state_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LOCK_SECONDS", 0.1)
    first, second = (toolset().asgi(tmp_path / "state.db") for _ in range(2))
    await first.start()
    with pytest.raises(StoreLocked):
        await second.start()
    said: list[Any] = []
    await drive_lifespan(second, said)
    assert said[0]["type"] == "lifespan.startup.failed" and "another process" in said[0]["message"]
    await first.stop()


async def drive_lifespan(application: AsgiApplication, said: list[Any]) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        said.append(message)

    await application({"type": "lifespan"}, receive, send)
