"""OpenAI's Chat Completions and Responses on a loopback port, over real HTTP; refuses what the real API
would refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from aiohttp import web

from infinity.models.script import ERROR_TYPES, Break, Fail, Pause

from .chat_dialects import STRICT, THOUGHTS
from .openai_playback import ChatPlayback, Played, ResponsesPlayback
from .openai_rules import check_chat, check_responses
from .scripted_server import Respond, ScriptedServer, json_response

_EVENTS = "text/event-stream; charset=utf-8"
_UNREADABLE = "invalid_encrypted_content"
_CODES = {
    401: "invalid_api_key",
    404: "model_not_found",
    413: "context_length_exceeded",
    429: "rate_limit_exceeded",
    500: "server_error",
    529: "server_is_overloaded",
}


class OpenAIServer(ScriptedServer):
    """Both of OpenAI's APIs.

    ``async with OpenAIServer(respond) as server: …  server.url``, which ends in ``/v1``. A reply's
    ``fail(…, type=…)`` is the error's ``code``. ``models`` are the ids that ``GET /v1/models`` lists.
    """

    path = "/v1"

    def __init__(
        self,
        respond: Respond,
        *,
        api_key: str | None = None,
        thoughts: str | None = None,
        dialect: str = "openrouter",
    ) -> None:
        """Take what it answers.

        Args:
            respond: from the request's JSON, in OpenAI's shape, to a ``Reply``.
            api_key: when given, every other key is refused.
            thoughts: where Chat Completions puts reasoning, if not where the dialect does.
            dialect: a name of ``chat_dialects.STRICT``, whose demands on Chat Completions are enforced
                as well; ``effects.refused`` counts.
        """
        super().__init__(respond, api_key=api_key)
        self.models: tuple[str, ...] = ("gpt-5.5", "gpt-5.4-mini")
        self.sizes: dict[str, Any] = {}
        """What the list says of each besides."""
        self.lists = 0
        """How often it was asked for."""
        self.issued: set[str] = set()
        """The encrypted reasoning that it can read; clear it to be another account."""
        self._thoughts = THOUGHTS.get(dialect, "reasoning_content") if thoughts is None else thoughts
        self._dialect = STRICT[dialect]

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.post("/v1/chat/completions", self._chat),
            web.post("/v1/responses", self._responses),
            web.get("/v1/models", self._list),
        ]

    def refusal(self, fail: Fail) -> web.Response:
        return json_response({"error": _error(fail)}, fail.status, fail.headers)

    def late_error(self, fail: Fail) -> bytes:
        if self.requests[-1].body.get("messages"):
            return _wire({"error": _error(fail)})
        failed = {"type": "response.failed", "response": {"status": "failed", "error": _error(fail)}}
        return b"event: response.failed\n" + _wire(failed)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(
            request,
            check_chat,
            lambda reply, seed, model: _chunks(
                ChatPlayback(reply, seed, model=model, thoughts=self._thoughts).events()
            ),
        )

    async def _responses(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(
            request,
            lambda body: check_responses(body, self.issued),
            lambda reply, seed, model: self._events(ResponsesPlayback(reply, seed, model=model)),
        )

    async def _answer(
        self,
        request: web.Request,
        check: Callable[[Any], list[str]],
        play: Callable[[Any, bytes, str], Iterator[bytes | Pause | Break | Fail]],
    ) -> web.StreamResponse:
        recorded = self.record(request, await request.read(), check)
        if not self._knows(request):
            return await self.refuse(Fail(401, "invalid_api_key", "Incorrect API key provided.", None))
        if recorded.violations:
            text = "; ".join(recorded.violations)
            return await self.refuse(Fail(400, _UNREADABLE if _UNREADABLE in text else "", text, None))
        # Behind the API's own rules: a dialect only ever wants more.
        if "messages" in recorded.body and (refusal := self._dialect(recorded.body)) is not None:
            self.effects.refused += 1
            await self.announce()
            return json_response(refusal[1], refusal[0])
        await self.announce()
        reply = await self.reply_to(recorded.body)
        seed = msgspec.json.encode(recorded.body, order="sorted")
        return await self.send(request, reply, play(reply, seed, recorded.body["model"]), _EVENTS)

    def _events(self, playback: ResponsesPlayback) -> Iterator[bytes | Pause | Break | Fail]:
        for event in playback.events():
            if isinstance(event, dict):
                # Before the event leaves: the client may send it back at once.
                self.issued.update(playback.issued)
                yield b"event: %s\n%s" % (event["type"].encode(), _wire(event))
            else:
                yield event

    def _knows(self, request: web.Request) -> bool:
        return self.api_key is None or request.headers.get("authorization") == f"Bearer {self.api_key}"

    async def _list(self, request: web.Request) -> web.StreamResponse:
        if not self._knows(request):
            return self.refusal(Fail(401, "invalid_api_key", "Incorrect API key provided.", None))
        self.lists += 1
        models = [
            {"id": model_id, "object": "model", "created": 1, "owned_by": "scripted", **self.sizes}
            for model_id in self.models
        ]
        return json_response({"object": "list", "data": models})


def _error(fail: Fail) -> dict[str, Any]:
    code = _CODES.get(fail.status) if fail.type in ERROR_TYPES.values() else fail.type
    kind = "invalid_request_error" if fail.status < 429 else "server_error"
    return {"message": fail.message, "type": kind, "param": None, "code": code or None}


def _chunks(events: Iterator[Played]) -> Iterator[bytes | Pause | Break | Fail]:
    for event in events:
        if isinstance(event, dict):
            yield _wire(event)
            continue
        yield event
        if not isinstance(event, Pause):
            return
    yield b"data: [DONE]\n\n"


def _wire(event: dict[str, Any]) -> bytes:
    return b"data: %s\n\n" % msgspec.json.encode(event)
