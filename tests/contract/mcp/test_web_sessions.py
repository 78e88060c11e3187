"""Streamable HTTP as servers of 2025-11-25 speak it: sessions that end, streams that break off, notices that nobody takes."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from tests.patience import PATIENCE

from infinity.mcp import web as web_side


class EarlyWebServer:
    """Made by hand, in the test's own process. ``forget`` ends its sessions; ``stuck``: calls that wait for ``go_on``; ``lost``: how it says that a session is."""

    def __init__(self) -> None:
        self.sessions: set[str] = set()
        self.begun = 0
        self.calls: list[str] = []
        self.go_on = asyncio.Event()
        self.address = ""
        self.lost: Callable[[Any], web.Response] = lambda _: web.Response(status=404)

    async def start(self) -> web.AppRunner:
        application = web.Application()
        application.router.add_post("/mcp", self._post)
        application.router.add_route("*", "/moved", self._moved)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    def forget(self) -> None:
        self.sessions.clear()

    async def _moved(self, request: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect("https://elsewhere.example/mcp")

    async def _post(self, request: web.Request) -> web.StreamResponse:
        message = await request.json()
        method, id = message["method"], message.get("id")
        if method == "server/discover":
            return _error(id, -32601, "Method not found", 404)
        if method == "initialize":
            return self._begin(id)
        if request.headers.get("Mcp-Session-Id") not in self.sessions:
            return self.lost(id)
        if method == "notifications/cancelled":
            await asyncio.Event().wait()
        if id is None:
            return web.Response(status=202)
        if method == "tools/list":
            tools = [
                {"name": name, "inputSchema": {"type": "object"}}
                for name in ("echo", "wait", "break", "silent", "picky", "odd")
            ]
            return _result(id, {"tools": tools})
        return await self._call(request, id, message["params"]["name"])

    def _begin(self, id: Any) -> web.Response:
        self.begun += 1
        session = uuid.uuid4().hex
        self.sessions.add(session)
        about = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}}
        answer = _result(id, {**about, "serverInfo": {"name": "early", "version": "1"}})
        answer.headers["Mcp-Session-Id"] = session
        return answer

    async def _call(self, request: web.Request, id: Any, name: str) -> web.StreamResponse:
        self.calls.append(name)
        if name == "picky":
            return _error(id, -32602, "no such city", 400)
        if name == "odd":
            return web.Response(status=400, text="no")
        if name == "silent":
            await asyncio.Event().wait()
        if name == "wait":
            await self.go_on.wait()
        if name == "break":
            stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await stream.prepare(request)
            await stream.write_eof()
            return stream
        return _result(id, {"content": [{"type": "text", "text": f"{name} done"}]})


def _result(id: Any, result: Any) -> web.Response:
    return web.json_response({"jsonrpc": "2.0", "id": id, "result": result})


def _error(id: Any, code: int, message: str, status: int) -> web.Response:
    error = {"code": code, "message": message}
    return web.json_response({"jsonrpc": "2.0", "id": id, "error": error}, status=status)


@pytest.fixture
async def early_web() -> AsyncIterator[EarlyWebServer]:
    server = EarlyWebServer()
    runner = await server.start()
    yield server
    await runner.cleanup()


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


async def test_calls_go_on_in_a_new_session_when_the_server_has_forgotten_the_old_one(
    bridge: Any, early_web: EarlyWebServer
) -> None:
    bridged = await bridge(url=f"{early_web.address}/mcp")
    await bridged.tools()
    early_web.forget()
    for number in range(5):
        await bridged.begin("echo", f"c{number}")
    for number in range(5):
        assert (await bridged.message("tool_result", f"c{number}"))["text"] == "echo done"
    assert early_web.begun == 2, "one new session, for all that found the old one gone"


LOST = {
    "no body": lambda _: web.Response(status=404),
    "the Python SDK": lambda _: _error("server-error", -32600, "Session not found", 404),
    "the TypeScript SDK": lambda _: _error(None, -32001, "Session not found", 404),
    "the request's own id": lambda id: _error(id, -32001, "Session not found", 404),
    "an older server": lambda _: _error(None, -32000, "Bad Request: No valid session ID provided", 400),
    "an older server in words": lambda _: web.Response(status=400, text="Invalid session ID"),
    "a page": lambda _: web.Response(status=404, text="<html>", content_type="text/html"),
}


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
async def test_a_lost_session_is_known_by_its_status_for_calls_and_for_lists(
    bridge: Any, early_web: EarlyWebServer, lost: Callable[[Any], web.Response]
) -> None:
    early_web.lost = lost
    bridged = await bridge(url=f"{early_web.address}/mcp")
    await bridged.tools()
    for number in range(2):
        early_web.forget()
        assert (await bridged.call("echo", f"c{number}"))["text"] == "echo done"
    early_web.forget()
    assert "echo" in await bridged.tools()
    assert early_web.begun == 4 and early_web.calls == ["echo", "echo"]


@pytest.mark.parametrize(("name", "says", "times"), [("picky", "no such city", 1), ("odd", "HTTP 400", 2)])
async def test_a_request_that_the_server_refuses_is_told_as_refused(
    bridge: Any, early_web: EarlyWebServer, name: str, says: str, times: int
) -> None:
    bridged = await bridge(url=f"{early_web.address}/mcp")
    await bridged.tools()
    assert says in (await bridged.call(name))["text"]
    assert early_web.calls == [name] * times, "what nobody did may be sent once more"


async def test_a_stream_that_breaks_off_ends_its_own_call_only(
    bridge: Any, early_web: EarlyWebServer
) -> None:
    bridged = await bridge(url=f"{early_web.address}/mcp")
    await bridged.tools()
    await bridged.begin("wait", "c1")
    await until(lambda: "wait" in early_web.calls)
    broken = await bridged.call("break", "c2")
    assert "the connection was lost while break was running; it may or may not have" in broken["text"]
    early_web.go_on.set()
    assert (await bridged.message("tool_result", "c1"))["text"] == "wait done"


@pytest.mark.trap("B1")
async def test_a_cancellation_that_the_server_does_not_take_holds_up_no_other_call(
    bridge: Any, early_web: EarlyWebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_side, "NOTICE_SECONDS", 0.5)
    bridged = await bridge(url=f"{early_web.address}/mcp")
    await bridged.tools()
    await bridged.begin("silent", "c1")
    await until(lambda: "silent" in early_web.calls)
    await bridged.notice("cancel_tool_call", thread_id="thread_1", tool_call_id="c1")
    assert (await bridged.call("echo", "c2"))["text"] == "echo done"
    assert early_web.begun == 1


@pytest.mark.trap("S3")
async def test_an_address_that_leads_elsewhere_is_told_and_not_followed(
    bridge: Any, early_web: EarlyWebServer
) -> None:
    bridged = await bridge(url=f"{early_web.address}/moved")
    status, body = await bridged.discover()
    assert status == 503 and "https://elsewhere.example" in body["error"]["text"], body
