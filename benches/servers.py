"""The other side of a round, as cheap as it can be: a Messages API that streams ten events, and a tool server that calls back.

Both live in one process of their own, so that what the measured side costs can be told apart. A thread's history decides what the
model says: a call of ``add`` until ``rounds`` results are there, then a text.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

import aiohttp
from aiohttp import web

RESULT_MARK = b'"tool_result"'
MANIFEST = {
    "name": "bench",
    "description": "Adds numbers.",
    "tools": [
        {
            "name": "add",
            "description": "Add two numbers.",
            "inputSchema": {
                "type": "object",
                "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
                "required": ["a", "b"],
            },
        }
    ],
}


def event(kind: str, **data: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


def delta(index: int, **data: Any) -> bytes:
    return event("content_block_delta", index=index, delta=data)


def opening(block: dict[str, Any]) -> bytes:
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "bench",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 1},
    }
    start = event("message_start", message=message)
    return start + event("content_block_start", index=0, content_block=block)


def closing(reason: str) -> bytes:
    return (
        event("content_block_stop", index=0)
        + event(
            "message_delta",
            delta={"stop_reason": reason, "stop_sequence": None},
            usage={"output_tokens": 20},
        )
        + event("message_stop")
    )


def tool_turn(number: int) -> bytes:
    """Ten events: a call whose arguments come in five pieces."""
    use = {"type": "tool_use", "id": f"toolu_{number}", "name": "add", "input": {}}
    pieces = ["", '{"a":', " 1,", ' "b":', " 2}"]
    return (
        opening(use)
        + b"".join(delta(0, type="input_json_delta", partial_json=piece) for piece in pieces)
        + closing("tool_use")
    )


TEXT_TURN = (
    opening({"type": "text", "text": ""})
    + b"".join(delta(0, type="text_delta", text=word) for word in ["The ", "sum ", "is ", "3", "."])
    + closing("end_turn")
)


class Servers:
    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.requests = self.invocations = self.callbacks = self.failed_callbacks = 0
        self.session: aiohttp.ClientSession | None = None
        self.tasks: set[asyncio.Task[None]] = set()

    async def messages(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests += 1
        results = body.count(RESULT_MARK)
        turn = tool_turn(self.requests) if results < self.rounds else TEXT_TURN
        return web.Response(body=turn, content_type="text/event-stream")

    async def manifest(self, request: web.Request) -> web.Response:
        return web.json_response({**MANIFEST, "endpoint": str(request.url.with_path("/invoke"))})

    async def invoke(self, request: web.Request) -> web.Response:
        invocation = json.loads(await request.read())
        self.invocations += 1
        task = asyncio.create_task(self.answer(invocation))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return web.Response()

    async def answer(self, invocation: dict[str, Any]) -> None:
        body = {
            "type": "tool_result",
            "group_id": invocation["group_id"],
            "id": invocation["id"],
            "text": "3",
        }
        assert self.session is not None
        async with self.session.post(invocation["callback_url"], json=body) as answer:
            if answer.status == 200:
                self.callbacks += 1
            else:
                self.failed_callbacks += 1
                print(f"callback refused: {answer.status} {await answer.text()}", file=sys.stderr)

    async def counts(self, request: web.Request) -> web.Response:
        names = ("requests", "invocations", "callbacks", "failed_callbacks")
        return web.json_response({name: getattr(self, name) for name in names})

    async def always_ok(self, request: web.Request) -> web.Response:
        return web.Response()

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/messages", self.messages)
        app.router.add_get("/.well-known/rap-toolset", self.manifest)
        app.router.add_post("/invoke", self.invoke)
        app.router.add_post("/close_thread", self.always_ok)
        app.router.add_post("/cancel_tool_call", self.always_ok)
        app.router.add_get("/counts", self.counts)
        return app


async def serve(port: int, rounds: int) -> None:
    servers = Servers(rounds)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        servers.session = session
        runner = web.AppRunner(servers.app(), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("port", type=int)
    options.add_argument("--rounds", type=int, default=20)
    chosen = options.parse_args()
    asyncio.run(serve(chosen.port, chosen.rounds))
