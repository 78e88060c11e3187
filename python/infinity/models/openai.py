"""OpenAI and the many endpoints that copy its API, through the official SDK (extra ``openai``).

OpenAI itself is spoken to in the Responses API, everyone else in Chat Completions;
docs/decisions/0011-openai-edge.md says why. The SDK carries bytes and authentication only: requests are
made and answers read by our own code, because compatible endpoints differ from what the SDK's types
say.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from infinity.abc.model import ModelInfo, ModelRequest, Part
from infinity.errors import ConfigError, ContextTooLong, InvalidModelRequest, ModelError, ModelUnavailable

from . import openai_chat, openai_failure, openai_models, openai_responses, options
from .access import Access, ModelTimeouts
from .chat_reading import ChatTurn, error_in
from .dialects import ROWS, Dialect, dialect_of, overridden
from .estimate import likely_tokens
from .frames import GRACE, GRACE_COUNTED, Frames
from .learning import Learner
from .lessons import Lessons
from .model_list import Told, told_of
from .openai_edge import Conversation
from .openai_responses import ResponsesTurn
from .prices import price_of
from .proxies import proxy_of
from .sdk import SdkCalls
from .settings import DialectSettings
from .too_long import window_in

if TYPE_CHECKING:
    from openai import AsyncOpenAI


_LIST_SECONDS = 2.0
"""For a list of models that is asked for before the first request."""
_LEAST_ANSWER = 256
"""Tokens that an answer is always given room for."""

T = TypeVar("T")


class Api(Enum):
    """Which of OpenAI's two APIs is spoken."""

    RESPONSES = "responses"
    CHAT = "chat"


@dataclass(frozen=True, slots=True)
class OpenAIOptions:
    """What is set for a provider.

    ``api``: ``None`` chooses by the address. ``effort`` and ``summary`` of reasoning, in OpenAI's
    words; the model's default unless set. ``dialect``: a row of the table of dialects, or what the
    endpoint wants besides; ``None``: the address says it, and refusals teach it.
    """

    api: Api | None = None
    effort: str | None = None
    summary: str | None = None
    dialect: DialectSettings | None = None


class OpenAIModel:
    """All models behind one endpoint. The SDK's own retries are off: the engine retries."""

    def __init__(
        self, access: Access, timeouts: ModelTimeouts | None = None, options: OpenAIOptions | None = None
    ) -> None:
        """Take the address; the SDK is imported with the first request.

        Args:
            access: where the API is and who asks.
            timeouts: how long is waited for it.
            options: what is set for it.

        Raises:
            ConfigError: there is no such dialect, or a proxy cannot be used.
        """
        self._access = access
        self._proxy = proxy_of(access.base_url, socks="socksio")
        self._timeouts = timeouts or ModelTimeouts()
        self._options = options or OpenAIOptions()
        self._theirs = openai_models.is_openai(access.host)
        self._api = self._options.api or (Api.RESPONSES if self._theirs else Api.CHAT)
        self._learner = self._taught(Lessons())
        self._calls = SdkCalls("openai", access, self._timeouts, openai_failure.from_sdk)
        self._listed: set[str] = set()
        """Models whose sizes were asked for."""
        self._client: AsyncOpenAI | None = None

    def info(self, model_id: str) -> ModelInfo:
        """What is known of a model.

        Args:
            model_id: the endpoint's own name of it.
        """
        return replace(openai_models.info(model_id), price=price_of(model_id, self._access.base_url))

    def taught_by(self, lessons: Lessons) -> None:
        """Keep what is learned of the endpoint there from now on.

        Args:
            lessons: of all endpoints.
        """
        self._learner = self._taught(lessons)

    @property
    def takes(self) -> frozenset[str]:
        """The options that the API has."""
        return options.CHAT if self._api is Api.CHAT else options.RESPONSES

    def told(self, model_id: str) -> Told:
        """What the endpoint has told of a model.

        Args:
            model_id: the endpoint's own name of it.
        """
        return self._learner.told(model_id)

    def _taught(self, lessons: Lessons) -> Learner:
        settings = self._options.dialect or DialectSettings()
        name = settings.row or dialect_of(self._access.host)
        if name not in ROWS:
            raise ConfigError(f"unknown dialect {name!r}; known dialects: {', '.join(sorted(ROWS))}")
        row = overridden(ROWS[name], settings) if self._api is Api.CHAT else Dialect()
        endpoint = f"{self._access.base_url.rstrip('/')} {self._api.value}"
        return Learner(endpoint, row, lessons, frozenset(settings.said()))

    async def stream(self, request: ModelRequest) -> AsyncIterator[Part]:
        deadline = self._calls.deadline()
        if not request.model.sized and request.model.id not in self._listed:
            await self._ask_for_sizes(request.model.id)
        request = _within(request, self._learner.told(request.model.id).window)
        conversation = Conversation(request, f"{self._access.host} {self._api.value} {request.model.id}")
        answer = await self._begin(conversation, deadline)
        turn: ChatTurn | ResponsesTurn
        turn = ChatTurn(conversation) if self._api is Api.CHAT else ResponsesTurn(conversation)
        try:
            patience = _Patience()
            frame = answer.first
            while frame is not None:
                parts = self._read(turn.apply, frame)
                patience.renew(bool(parts))
                for part in parts:
                    yield part
                if turn.complete or answer.frames is None:
                    break
                if turn.announced:
                    frame = await answer.frames.rest(patience.left(turn.counted))
                else:
                    frame = await answer.frames.next()
            result = self._read(turn.finish)
            if answer.frames is not None:
                await answer.frames.drain()
            if isinstance(turn, ChatTurn) and result.calls:
                # Only now: a turn that broke off teaches nothing.
                await self._learner.answered(request.model.id, turn.thought)
            yield result
        finally:
            await answer.stream.close()

    async def list(self) -> builtins.list[ModelInfo]:
        """What the endpoint says it has; of OpenAI, when it cannot be reached, the built-in table."""
        deadline = self._calls.deadline()
        try:
            ids = await self._calls.wait(self._ids(), deadline)
        except (InvalidModelRequest, ModelUnavailable):
            if not self._theirs:
                raise
            return [self.info(model_id) for model_id in openai_models.TABLE]
        return [
            self.info(model_id)
            for model_id in ids
            if not self._theirs or openai_models.is_chat_model(model_id)
        ]

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _begin(self, conversation: Conversation, deadline: float) -> _Answer:
        """The answer up to its first frame, for the request in a form that the endpoint takes.

        If it cannot read its own reasoning (another account's key, by then), it is asked once more without.
        """
        model, chosen = conversation.request.model.id, conversation.request.model.options
        headers = {} if chosen is None else dict(chosen.extra_headers)

        async def send(body: dict[str, Any]) -> _Answer:
            return await self._sent(body, headers, deadline)

        # Once for reasoning that it cannot read, once for a window that it names; either may come first.
        for _ in range(2):
            try:
                return await self._learner.ask(model, lambda dialect: self._body(conversation, dialect), send)
            except openai_failure.UnreadableReasoning:
                conversation.replays = False
            except ContextTooLong as error:
                if not await self._fits_after_all(conversation, str(error)):
                    raise
        return await self._learner.ask(model, lambda dialect: self._body(conversation, dialect), send)

    async def _fits_after_all(self, conversation: Conversation, refusal: str) -> bool:
        """Whether the refusal names a window that was not known, and the conversation fits it with a
        shorter answer.
        """
        request, window = conversation.request, window_in(refusal)
        if window is None or window >= request.model.context_window:
            return False
        await self._learner.learn_window(request.model.id, window, refusal)
        conversation.request = _within(request, window)
        fits = likely_tokens(request) + conversation.request.max_tokens <= window
        return fits and conversation.request.max_tokens < request.max_tokens

    async def _ask_for_sizes(self, model_id: str) -> None:
        """Once: what the endpoint's list says of a model whose sizes nobody has told.

        Not to be had for long, or at all, at many servers.
        """
        self._listed.add(model_id)
        await self._learner.lessons.load()
        if self._learner.told(model_id).window is not None:
            return
        soon = asyncio.get_running_loop().time() + _LIST_SECONDS
        # Without a list: the first request says what is wrong with the endpoint.
        with contextlib.suppress(ModelError):
            await self._learner.listed(
                model_id, told_of(await self._calls.wait(self._raw_list(), soon), model_id)
            )

    async def _raw_list(self) -> Any:
        return await self._open().get("/models", cast_to=object)

    async def _sent(self, body: dict[str, Any], headers: dict[str, str], deadline: float) -> _Answer:
        """Errors that come in place of the first frame are raised as those of another status are."""
        stream = await self._calls.wait(self._post(body, headers), deadline)
        first: dict[str, Any] | None
        try:
            if "json" in stream.response.headers.get("content-type", ""):
                first = await self._calls.wait(self._answer(stream.response), deadline)
                frames = None
            else:
                self._calls.check(stream.response, "text/event-stream")
                # The bytes, not the SDK's events: those lose what compatible endpoints add.
                chunks = stream.response.aiter_bytes()
                frames = Frames(chunks, self._calls, deadline=deadline, stall=self._timeouts.stall)
                # Until here an error is that of the request, and another form of it may be tried.
                first = await frames.next()
            if first is not None and (told := error_in(first)) is not None:
                raise self._redacted(openai_failure.of(told, headers=stream.response.headers))
        except BaseException:
            await stream.close()
            raise
        return _Answer(stream, frames, first)

    async def _answer(self, response: Any) -> dict[str, Any]:
        """An answer of 200 in JSON, where a stream should be: an error, or a turn that was not streamed."""
        body = msgspec.json.decode(await response.aread())
        answer = body[0] if isinstance(body, list) and body else body
        if not isinstance(answer, dict) or not answer.keys() & {
            "error",
            "detail",
            "choices",
            "output",
            "message",
        }:
            self._calls.check(response, "text/event-stream")
        if self._api is Api.RESPONSES and not answer.get("error") and "output" in answer:
            return {"type": "response.completed", "response": answer}
        return {"error": answer} if answer.keys().isdisjoint({"choices", "error"}) else dict(answer)

    async def _ids(self) -> builtins.list[str]:
        return [model.id async for model in self._open().models.list()]

    def _body(self, conversation: Conversation, dialect: Dialect) -> dict[str, Any]:
        effort, summary = self._options.effort, self._options.summary
        if self._api is Api.CHAT:
            return openai_chat.body(conversation, dialect, effort=effort)
        return openai_responses.body(conversation, dialect, effort=effort, summary=summary)

    async def _post(self, body: dict[str, Any], headers: dict[str, str]) -> Any:
        """The SDK's stream, of which only the bytes are used: typed events would cost a model each, and
        lose what compatible endpoints add.
        """
        import openai

        path = "/chat/completions" if self._api is Api.CHAT else "/responses"
        return await self._open().post(
            path,
            cast_to=object,
            body=body,
            options={"headers": headers},
            stream=True,
            stream_cls=openai.AsyncStream[Any],
        )

    def _open(self) -> AsyncOpenAI:
        if self._client is None:
            import openai

            timeout = openai.Timeout(self._timeouts.stall, connect=self._timeouts.connect)
            self._client = openai.AsyncOpenAI(
                # Given none, the SDK would take the one for OpenAI from the environment, wherever this goes.
                api_key=self._access.api_key or "none",
                base_url=self._access.base_url,
                max_retries=0,
                timeout=timeout,
                http_client=openai.DefaultAsyncHttpxClient(
                    base_url=self._access.base_url,
                    timeout=timeout,
                    follow_redirects=False,
                    proxy=self._proxy,
                ),
            )
        return self._client

    def _read(self, step: Callable[..., T], *arguments: Any) -> T:
        try:
            return step(*arguments)
        except ModelError as error:
            raise self._redacted(error) from None
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise self._calls.unavailable(f"the answer cannot be read: {error!r}") from error

    def _redacted(self, error: ModelError) -> ModelError:
        text = self._access.redact(str(error))
        return type(error)(text, status=error.status, retry_after=error.retry_after)


def _within(request: ModelRequest, window: int | None) -> ModelRequest:
    """The same with an answer that a window leaves room for, where it is smaller than was known when the
    request was made.
    """
    if window is None or window >= request.model.context_window:
        return request
    left = max(window - likely_tokens(request), _LEAST_ANSWER)
    return replace(request, max_tokens=min(request.max_tokens, left))


@dataclass(slots=True)
class _Answer:
    """``frames``: ``None`` if the answer was not streamed; ``first``: its first frame, or all of it."""

    stream: Any
    frames: Frames | None
    first: dict[str, Any] | None


class _Patience:
    """How long what follows the end of a turn is waited for: from the end, or from the last that was said
    behind it.
    """

    def __init__(self) -> None:
        self._since: float | None = None

    def renew(self, said: bool) -> None:
        if said:
            self._since = None

    def left(self, counted: bool) -> float:
        now = asyncio.get_running_loop().time()
        if self._since is None:
            self._since = now
        return max(0.0, self._since + (GRACE_COUNTED if counted else GRACE) - now)
