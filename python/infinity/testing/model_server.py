"""The Messages API on a loopback port: answers from a script, over real HTTP, and refuses what the real API would refuse."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import msgspec
from aiohttp import web

from infinity.models.heard import hear
from infinity.models.playback import Playback, StreamEvent
from infinity.models.script import Break, Fail, Pause, Reply, Script

from .messages_rules import check

Respond = Callable[[dict[str, Any]], Reply | Awaitable[Reply]]
"""From a request's JSON to the reply."""

_MOST_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request that arrived. ``at``: seconds of the monotonic clock."""

    at: float
    headers: dict[str, str]
    """Names in lower case."""
    content: bytes
    body: dict[str, Any]
    violations: list[str]


@dataclass(slots=True)
class Effects:
    """How the answers ended."""

    completed: int = 0
    refused: int = 0
    """Requests that broke a rule or had no right key."""
    failed: int = 0
    """Scripted errors and breaks."""
    abandoned: int = 0
    """The client hung up before the end."""


@dataclass(slots=True)
class _Arrivals:
    """Lets tests wait for things that happen in the server."""

    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def announce(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def until(self, reached: Callable[[], bool], within: float) -> None:
        async with asyncio.timeout(within), self.changed:
            await self.changed.wait_for(reached)


class ModelServer:
    """``async with ModelServer(script) as server: …  server.url``.

    ``respond``: a ``Script``, or a function (plain or async) from the request's JSON to a ``Reply``. ``api_key``: when given, every other key is
    refused. A violation of ``messages_rules`` is a 400 and stays in ``violations``.
    """

    def __init__(self, respond: Script | Respond, *, api_key: str | None = None) -> None:
        self.respond = respond
        self.api_key = api_key
        self.requests: list[Recorded] = []
        self.effects = Effects()
        self._arrivals = _Arrivals()
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """The base URL; requests go to ``{url}/v1/messages``."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [request.body for request in self.requests]

    @property
    def violations(self) -> list[str]:
        """Everything that any request did wrong."""
        return [problem for request in self.requests for problem in request.violations]

    async def wait_for_requests(self, count: int, within: float = 10.0) -> None:
        """Return when so many requests have arrived in all. ``TimeoutError`` after ``within`` seconds."""
        await self._arrivals.until(lambda: len(self.requests) >= count, within)

    async def wait_for(self, reached: Callable[[Effects], bool], within: float = 10.0) -> None:
        """Return when the effects are as wanted. ``TimeoutError`` after ``within`` seconds."""
        await self._arrivals.until(lambda: reached(self.effects), within)

    async def start(self, port: int = 0) -> None:
        app = web.Application(client_max_size=_MOST_BYTES)
        app.router.add_post("/v1/messages", self._messages)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, handler_cancellation=True, shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> ModelServer:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        content = await request.read()
        refusal = await self._refuse(request, content)
        if refusal is not None:
            self.effects.refused += 1
            await self._arrivals.announce()
            return _error(refusal)
        await self._arrivals.announce()
        body = self.requests[-1].body
        reply = await self._reply(body)
        # Whatever the order of its keys, the same request gets the same ids.
        seed = msgspec.json.encode(body, order="sorted")
        playback = Playback(reply, hear(body), seed, model=body["model"])
        try:
            if body.get("stream") is True:
                response = await self._stream(request, playback)
            else:
                response = await self._whole(playback)
        except (asyncio.CancelledError, ConnectionError):
            self.effects.abandoned += 1
            self._announce_soon()
            raise
        await self._arrivals.announce()
        return response

    async def _refuse(self, request: web.Request, content: bytes) -> Fail | None:
        """Record the request; the error if the API would not take it."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            body = msgspec.json.decode(content)
        except msgspec.DecodeError as error:
            body, violations = {}, [f"the request body is not JSON: {error}"]
        else:
            violations = check(body)
        self.requests.append(
            Recorded(time.monotonic(), headers, content, body if isinstance(body, dict) else {}, violations)
        )
        if self.api_key is not None and self.api_key not in (
            headers.get("x-api-key"),
            headers.get("authorization", "").removeprefix("Bearer "),
        ):
            return Fail(401, "authentication_error", "invalid x-api-key", None)
        if not headers.get("anthropic-version"):
            violations.append("anthropic-version: header is required")
        if violations:
            return Fail(400, "invalid_request_error", "; ".join(violations), None)
        return None

    async def _reply(self, body: dict[str, Any]) -> Reply:
        if isinstance(self.respond, Script):
            return self.respond.reply_to(hear(body))
        reply = self.respond(body)
        return await reply if inspect.isawaitable(reply) else reply

    async def _stream(self, request: web.Request, playback: Playback) -> web.StreamResponse:
        if isinstance(playback.first, Fail):
            self.effects.failed += 1
            return _error(playback.first)
        response = web.StreamResponse(
            headers={"content-type": "text/event-stream; charset=utf-8", "request-id": "req_scripted"}
        )
        await response.prepare(request)
        for event in playback.events():
            match event:
                case Pause(until):
                    await until.wait()
                case Break():
                    self.effects.failed += 1
                    _hang_up(request)
                    return response
                case Fail():
                    self.effects.failed += 1
                    await response.write(_wire({"type": "error", "error": event.body["error"]}))
                    return response
                case _:
                    await response.write(_wire(event))
        self.effects.completed += 1
        return response

    async def _whole(self, playback: Playback) -> web.StreamResponse:
        """The answer to a request that does not stream."""
        events: list[StreamEvent] = []
        for event in playback.events():
            match event:
                case Pause(until):
                    await until.wait()
                case Break():
                    event = Fail(500, "api_error", "scripted break", None)
            if isinstance(event, Fail):
                self.effects.failed += 1
                return _error(event)
            if isinstance(event, dict):
                events.append(event)
        self.effects.completed += 1
        return _json(whole_message(events), 200)

    def _announce_soon(self) -> None:
        """For handlers that are being cancelled and may not wait."""
        task = asyncio.ensure_future(self._arrivals.announce())
        task.add_done_callback(lambda done: done.cancelled() or done.exception())


def whole_message(events: list[StreamEvent]) -> dict[str, Any]:
    """The message that a whole stream adds up to, as the API gives it without streaming."""
    message: dict[str, Any] = {}
    block: dict[str, Any] = {}
    arguments = ""
    for event in events:
        match event["type"]:
            case "message_start":
                message = {**event["message"], "content": []}
            case "content_block_start":
                block, arguments = {**event["content_block"]}, ""
            case "content_block_delta":
                for name, value in event["delta"].items():
                    if name == "partial_json":
                        arguments += value
                    elif name != "type":
                        block[name] = block.get(name, "") + value
            case "content_block_stop":
                if arguments:
                    block["input"] = msgspec.json.decode(arguments)
                message["content"].append(block)
            case "message_delta":
                message |= event["delta"]
                message["usage"] = {**message["usage"], **event["usage"]}
    return message


def _hang_up(request: web.Request) -> None:
    """Cut the connection in the middle of the body."""
    if request.transport is not None:
        request.transport.abort()


def _wire(event: StreamEvent) -> bytes:
    name: str = event["type"]
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(event))


def _error(fail: Fail) -> web.Response:
    return _json(fail.body, fail.status, fail.headers)


def _json(value: Any, status: int, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value),
        status=status,
        headers={"request-id": "req_scripted", **(headers or {})},
        content_type="application/json",
    )
