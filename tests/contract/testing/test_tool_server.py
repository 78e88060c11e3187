"""The test kit's tool server counts what really arrives and says what it is told to say."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.patience import PATIENCE

from infinity.rap.discovery import fetch
from infinity.testing import tool_server
from infinity.testing.tool_server import CLOSE, HANG, ToolServer, answering, failing, tool


class Listener:
    """Takes callbacks with the given statuses, then with 200."""

    def __init__(self, *statuses: int) -> None:
        self.bodies: list[dict[str, Any]] = []
        self._statuses = list(statuses)

    async def __aenter__(self) -> Listener:
        application = web.Application()
        application.router.add_post("/callback", self._take)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/callback"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        return web.Response(status=self._statuses.pop(0) if self._statuses else 200)


async def invoke(server: ToolServer, callback_url: str, id: str = "call_1", operation: str = "echo") -> int:
    body = {
        "operation": operation,
        "arguments": {},
        "id": id,
        "callback_url": callback_url,
        "group_id": "thread_1",
    }
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.5)) as session,
        session.post(
            f"{server.base_url}/invoke", data=json.dumps(body), headers={"Idempotency-Key": id}
        ) as answer,
    ):
        return answer.status


async def test_its_toolset_is_valid() -> None:
    async with ToolServer([tool("a"), tool("b", annotations={"readOnly": True})]) as server:
        async with aiohttp.ClientSession() as session:
            toolset = await fetch(server.base_url, session)
        assert [each.name for each in toolset.tools] == ["a", "b"]


async def test_it_counts_every_arrival_by_id() -> None:
    async with Listener() as listener, ToolServer() as server:
        for id in ("call_1", "call_2", "call_1"):
            assert await invoke(server, listener.url, id) == 200
        assert server.counts == {"call_1": 2, "call_2": 1}
        assert (await server.invoked(2)).id == "call_2"
        assert listener.bodies == []


async def test_it_answers_on_command_and_tells_what_the_runtime_said() -> None:
    async with Listener(200, 409) as listener, ToolServer() as server:
        await invoke(server, listener.url)
        assert await server.answer("call_1", "done", subscription=True) == 200
        assert await server.event("call_1", "news", final=True, seq=1) == 409
        assert listener.bodies == [
            {
                "type": "tool_result",
                "group_id": "thread_1",
                "id": "call_1",
                "text": "done",
                "subscription": True,
            },
            {
                "type": "subscription_event",
                "group_id": "thread_1",
                "tool_call_id": "call_1",
                "text": "news",
                "final": True,
                "seq": 1,
            },
        ]
        assert server.callback_statuses == [200, 409]


async def test_it_answers_by_itself_as_often_as_it_is_told_and_again_on_5xx() -> None:
    async with (
        Listener(503, 200, 200) as listener,
        ToolServer(behaviour=answering("done", times=2)) as server,
    ):
        await invoke(server, listener.url)
        await server.until(lambda: len(server.callback_statuses) == 3, "three callbacks")
        assert server.callback_statuses == [503, 200, 200]


async def test_it_refuses_hangs_and_closes_when_told_to_and_counts_all_the_same() -> None:
    async with Listener() as listener, ToolServer([tool("a"), tool("b"), tool("c")]) as server:
        server.behaviours = {"a": failing(503), "b": HANG, "c": CLOSE}
        assert await invoke(server, listener.url, "call_a", "a") == 503
        with pytest.raises(TimeoutError):
            await invoke(server, listener.url, "call_b", "b")
        with pytest.raises(aiohttp.ClientError):
            await invoke(server, listener.url, "call_c", "c")
        assert set(server.counts) == {"call_a", "call_b", "call_c"}


async def test_a_call_that_never_arrived_cannot_be_answered() -> None:
    async with ToolServer() as server:
        with pytest.raises(AssertionError, match="no invocation 'call_9'"):
            await server.answer("call_9")


async def test_what_does_not_happen_fails_with_what_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_server, "PATIENCE", 0.05)
    async with ToolServer() as server:
        with pytest.raises(AssertionError, match="no invocation 1 within"):
            await server.invoked()


async def test_it_comes_back_at_its_old_address() -> None:
    server = ToolServer()
    await server.start()
    address = server.base_url
    await server.close()
    await server.start()
    assert server.base_url == address
    async with asyncio.timeout(PATIENCE):
        async with aiohttp.ClientSession() as session:
            await fetch(address, session)
    await server.close()
