"""The Messages API on a loopback port: answers from a script, over real HTTP, and refuses what the real
API would refuse.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from aiohttp import web

from infinity.models.claude import info
from infinity.models.playback import Playback, StreamEvent
from infinity.models.prompt_view import read_prompt
from infinity.models.script import Break, Fail, Pause, Script

from .messages_rules import MOST_BYTES, check
from .scripted_server import Effects, Recorded, Respond, ScriptedServer, json_response

_KEPT_PAUSES = 100

__all__ = ["Effects", "ModelServer", "Recorded", "Respond", "whole_message"]


class ModelServer(ScriptedServer):
    """The Messages API.

    ``async with ModelServer(script) as server: …  server.url``; requests go to ``{url}/v1/messages``.
    ``models`` is what ``GET /v1/models`` lists, as the API's objects, in pages of two.
    """

    def __init__(
        self, respond: Script | Respond, *, api_key: str | None = None, window: int | None = None
    ) -> None:
        """Take what it answers.

        Args:
            respond: a script, or a function from a request to the reply.
            api_key: when given, every other key is refused.
            window: tokens of every model's context; by default that of each model, as the built-in
                table has it.
        """
        super().__init__(respond, api_key=api_key)
        self.window = window
        self._paused: deque[dict[str, Any]] = deque(maxlen=_KEPT_PAUSES)

    models: tuple[dict[str, Any], ...] = (
        {"type": "model", "id": "claude-opus-5-5", "display_name": "Claude Opus 5.5"},
        {"type": "model", "id": "claude-haiku-5-5", "display_name": "Claude Haiku 5.5", "max_tokens": 64_000},
        {"type": "model", "id": "claude-haiku-4-5", "display_name": "Claude Haiku 4.5"},
    )

    def routes(self) -> Iterable[web.RouteDef]:
        return [web.post("/v1/messages", self._messages), web.get("/v1/models", self._list)]

    def refusal(self, fail: Fail) -> web.Response:
        return json_response(fail.body, fail.status, fail.headers)

    def late_error(self, fail: Fail) -> bytes:
        return _wire({"type": "error", "error": fail.body["error"]})

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        content = await request.read()
        refusal = self._check(request, content)
        if refusal is not None:
            return await self.refuse(refusal)
        await self.announce()
        body = self.requests[-1].body
        reply = await self.reply_to(body)
        # Whatever the order of its keys, the same request gets the same ids.
        seed = msgspec.json.encode(body, order="sorted")
        playback = Playback(reply, read_prompt(body), seed, model=body["model"])
        # Remembered, because only what the API itself has paused may come back as the last message.
        if reply.stop_reason == "pause_turn":
            self._paused.append(_said(body, Playback(reply, read_prompt(body), seed, model=body["model"])))
        if body.get("stream") is True:
            return await self.send(request, reply, _wired(playback), "text/event-stream; charset=utf-8")
        return await self._whole(playback)

    def _check(self, request: web.Request, content: bytes) -> Fail | None:
        """Record the request; the error if the API would not take it."""
        recorded = self.record(request, content, self._problems)
        if not self._knows(recorded.headers):
            return Fail(401, "authentication_error", "invalid x-api-key", None)
        if not recorded.headers.get("anthropic-version"):
            recorded.violations.append("anthropic-version: header is required")
        # The API does not look into a request of this size.
        if len(content) > MOST_BYTES:
            return Fail(413, "request_too_large", "Request exceeds the maximum size", None)
        if recorded.violations:
            return Fail(400, "invalid_request_error", "; ".join(recorded.violations), None)
        return None

    def _problems(self, body: Any) -> list[str]:
        model = body.get("model") if isinstance(body, dict) else None
        window = self.window or (info(model).context_window if isinstance(model, str) else None)
        return check(body, window=window, paused=self._paused)

    def _knows(self, headers: dict[str, str]) -> bool:
        given = (headers.get("x-api-key"), headers.get("authorization", "").removeprefix("Bearer "))
        return self.api_key is None or self.api_key in given

    async def _list(self, request: web.Request) -> web.StreamResponse:
        if not self._knows({name.lower(): value for name, value in request.headers.items()}):
            return self.refusal(Fail(401, "authentication_error", "invalid x-api-key", None))
        ids = [model["id"] for model in self.models]
        after = request.query.get("after_id")
        start = ids.index(after) + 1 if after in ids else 0
        page = self.models[start : start + 2]
        last = page[-1]["id"] if page else None
        return json_response({"data": page, "has_more": start + 2 < len(ids), "last_id": last})

    async def _whole(self, playback: Playback) -> web.StreamResponse:
        """The answer to a request that does not stream."""
        events: list[StreamEvent] = []
        try:
            for event in playback.events():
                match event:
                    case Pause(until):
                        await until.wait()
                    case Break():
                        event = Fail(500, "api_error", "scripted break", None)
                if isinstance(event, Fail):
                    self.effects.failed += 1
                    return self.refusal(event)
                if isinstance(event, dict):
                    events.append(event)
        except asyncio.CancelledError:
            self.effects.abandoned += 1
            self.announce_soon()
            raise
        self.effects.completed += 1
        await self.announce()
        return json_response(whole_message(events))


def whole_message(events: list[StreamEvent]) -> dict[str, Any]:
    """The message that a whole stream adds up to, as the API gives it without streaming.

    Args:
        events: of the stream, in order.
    """
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


def _said(body: dict[str, Any], playback: Playback) -> dict[str, Any]:
    """The message that a client gives back so that the turn goes on; a turn that was paused before goes on
    in it.
    """
    content = whole_message([event for event in playback.events() if isinstance(event, dict)])["content"]
    last = body["messages"][-1]
    before = last["content"] if last["role"] == "assistant" else []
    return {"role": "assistant", "content": [*before, *content]}


def _wired(playback: Playback) -> Iterator[bytes | Pause | Break | Fail]:
    for event in playback.events():
        yield _wire(event) if isinstance(event, dict) else event


def _wire(event: StreamEvent) -> bytes:
    name: str = event["type"]
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(event))
