"""A tool server written from the protocol alone, without the kit: right by default, and wrong in one way when told so."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Self

import aiohttp
from aiohttp import web

TRACE = 'Error: oops\nTraceback (most recent call last):\n  File "tools.py", line 3, in f\nKeyError'
SCHEMA = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}


def good_tool(**more: Any) -> dict[str, Any]:
    return {
        "name": "get_pr",
        "description": "A pull request.",
        "inputSchema": SCHEMA,
        "annotations": {"readOnly": True},
        "displayScript": '"PR " + args.number',
        **more,
    }


class BrokenServer:
    """``fault``: what it does wrong; ``document``: fields of its description that are not as they should be."""

    def __init__(self, fault: str = "", document: dict[str, Any] | None = None) -> None:
        self._fault = fault
        self._document = document or {}
        self._seen: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self.base_url = ""

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_get("/.well-known/rap-toolset", self._discover)
        application.router.add_post("/invoke", self._invoke)
        for path in ("/close_thread", "/cancel_tool_call"):
            application.router.add_post(path, self._notice)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        assert self._runner is not None and self._session is not None
        await self._session.close()
        await self._runner.cleanup()

    async def _discover(self, request: web.Request) -> web.StreamResponse:
        match self._fault:
            case "discovery is missing":
                return web.Response(status=404)
            case "discovery redirects":
                return web.Response(status=302, headers={"Location": "/elsewhere"})
            case "discovery fails":
                return web.Response(status=500)
            case "discovery hangs":
                await self._closing.wait()
            case "discovery is not JSON":
                return web.Response(body=b"<html>", content_type="application/json")
            case "discovery is huge":
                return web.json_response({"name": "x" * (2 << 20)})
        document = {
            "name": "broken",
            "endpoint": f"{self.base_url}/invoke",
            "tools": [good_tool()],
            **self._document,
        }
        kind = "text/html" if self._fault == "discovery is HTML by its type" else "application/json"
        return web.Response(body=json.dumps(document).encode(), content_type=kind)

    async def _invoke(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await request.json()
            callback_url = body["callback_url"]
        except (ValueError, TypeError, KeyError):
            return web.Response(status=500 if self._fault == "malformed bodies crash it" else 400)
        if self._fault == "tokens are checked" and request.headers.get("Authorization") != "Bearer secret":
            return web.Response(status=401)
        match self._fault:
            case "unknown operations get 404" if body["operation"] != "get_pr":
                return web.Response(status=404)
            case "bad arguments get 400" if body["operation"] == "get_pr":
                return web.Response(status=400)
            case "unknown operations get 500":
                return web.Response(status=500)
            case "it never acknowledges":
                await self._closing.wait()
            case "it works before it acknowledges":
                await self._answer(callback_url, body)
                return web.Response()
        new = body["id"] not in self._seen
        self._seen.add(body["id"])
        if not new and self._fault == "duplicates get 409":
            return web.Response(status=409)
        if new or self._fault == "duplicates run twice":
            task = asyncio.create_task(self._answer(callback_url, body))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return web.json_response({}, status=202 if self._fault == "it acknowledges with 202" else 200)

    async def _answer(self, url: str, body: dict[str, Any]) -> None:
        message = {
            "type": "tool_result",
            "group_id": body["group_id"],
            "id": body["id"],
            "call_id": body.get("call_id"),
            "text": "Error: that cannot be done",
        }
        known = body["operation"] == "get_pr"
        match self._fault:
            case "unknown operations are dropped" if not known:
                return
            case "bad arguments are dropped" if known:
                return
            case "bad arguments are taken" if known:
                message["text"] = "PR None"
            case "the callback loses its query":
                url = url.partition("?")[0]
            case "errors are not marked":
                message["text"] = "that cannot be done"
            case "errors are stack traces":
                message["text"] = TRACE
            case "errors are subscriptions":
                message["subscription"] = True
            case "the id is another":
                message["id"] = "call_other"
            case "the thread is another":
                message["group_id"] = "thread_other"
            case "call_id is not echoed":
                del message["call_id"]
            case "the type is unknown":
                message["type"] = "result"
            case "the result is empty":
                del message["text"]
            case "an image is not base64":
                message["content"] = [{"type": "image", "data": "?", "mediaType": "image/png"}]
            case "a question has no choices":
                message |= {
                    "type": "user_choice",
                    "prompt": "?",
                    "choices": [],
                    "default": 0,
                    "response_url": url,
                }
            case "a page to log in is not https":
                message |= {"type": "oauth", "auth_url": "http://login.example"}
            case "a view comes instead of a result":
                message |= {"type": "view_update", "view_type": "x", "content": 1}
        data = b"text" if self._fault == "the callback is not JSON" else json.dumps(message).encode()
        await self._deliver(url, data)

    async def _deliver(self, url: str, data: bytes) -> None:
        assert self._session is not None
        kind = "text/plain" if self._fault == "the callback is text by its type" else "application/json"
        method = "PUT" if self._fault == "the callback is put" else "POST"
        count = 0
        while True:
            count += 1
            sent = data
            if count > 1 and self._fault == "another callback comes again":
                sent = data.replace(b"cannot", b"can not")
            async with self._session.request(
                method, url, data=sent, headers={"Content-Type": kind}
            ) as response:
                status = response.status
            again = status >= 500 and self._fault != "callbacks come once"
            if status == 404 and self._fault == "callbacks come after 404":
                again = count < 3
            if not again:
                return
            await asyncio.sleep(0.02)

    async def _notice(self, request: web.Request) -> web.Response:
        body = await request.json()
        match self._fault, request.path:
            case ("there is no close_thread", "/close_thread"):
                return web.Response(status=404)
            case ("there is no cancel_tool_call", "/cancel_tool_call"):
                return web.Response(status=404)
            case ("unknown calls get 404", "/cancel_tool_call") if body.get("tool_call_id") not in self._seen:
                return web.Response(status=404)
            case ("odd threads crash it", "/close_thread"):
                return web.Response(status=200 if isinstance(body.get("thread_id"), str) else 500)
        return web.Response()
