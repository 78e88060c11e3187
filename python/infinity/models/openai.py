"""OpenAI and the many endpoints that copy its API, through the official SDK (extra ``openai``).

OpenAI itself is spoken to in the Responses API, everyone else in Chat Completions; docs/decisions/0011-openai-edge.md says why.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from infinity.abc.model import ModelInfo, ModelRequest, Part
from infinity.errors import InvalidModelRequest, ModelError, ModelUnavailable

from . import openai_chat, openai_failure, openai_models, openai_responses
from .access import Access, ModelTimeouts
from .openai_chat import ChatTurn
from .openai_edge import Conversation
from .openai_responses import ResponsesTurn
from .sdk import SdkCalls

if TYPE_CHECKING:
    from openai import AsyncOpenAI


_DRAIN_SECONDS = 0.25

T = TypeVar("T")


class Api(Enum):
    RESPONSES = "responses"
    CHAT = "chat"


@dataclass(frozen=True, slots=True)
class OpenAIOptions:
    """``api``: ``None`` chooses by the address. ``effort`` and ``summary`` of reasoning, in OpenAI's words; the model's default unless set."""

    api: Api | None = None
    effort: str | None = None
    summary: str | None = None


class OpenAIModel:
    """All models behind one endpoint. The SDK's own retries are off: the engine retries."""

    def __init__(
        self, access: Access, timeouts: ModelTimeouts | None = None, options: OpenAIOptions | None = None
    ) -> None:
        self._access = access
        self._timeouts = timeouts or ModelTimeouts()
        self._options = options or OpenAIOptions()
        self._theirs = openai_models.is_openai(access.host)
        self._api = self._options.api or (Api.RESPONSES if self._theirs else Api.CHAT)
        self._calls = SdkCalls("openai", access, self._timeouts, openai_failure.from_sdk)
        self._client: AsyncOpenAI | None = None

    def info(self, id: str) -> ModelInfo:
        return openai_models.info(id)

    async def stream(self, request: ModelRequest) -> AsyncIterator[Part]:
        deadline = self._calls.deadline()
        conversation = Conversation(request, f"{self._access.host} {self._api.value} {request.model.id}")
        stream = await self._begin(conversation, deadline)
        turn: ChatTurn | ResponsesTurn
        turn = ChatTurn(conversation) if self._api is Api.CHAT else ResponsesTurn(conversation)
        try:
            await self._calls.wait(self._told(stream.response), deadline)
            self._calls.check(stream.response, "text/event-stream")
            while not turn.complete:
                event = await self._calls.wait(_next(stream), deadline)
                if event is None:
                    break
                for part in self._read(turn.apply, event):
                    yield part
            result = self._read(turn.finish)
            await _drain(stream)
            yield result
        finally:
            await stream.close()

    async def list(self) -> builtins.list[ModelInfo]:
        """What the endpoint says it has; of OpenAI, when it cannot be reached, the built-in table."""
        deadline = self._calls.deadline()
        try:
            ids = await self._calls.wait(self._ids(), deadline)
        except (InvalidModelRequest, ModelUnavailable):
            if not self._theirs:
                raise
            return [self.info(id) for id in openai_models.TABLE]
        return [self.info(id) for id in ids if not self._theirs or openai_models.is_chat_model(id)]

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _begin(self, conversation: Conversation, deadline: float) -> Any:
        """The stream. If the endpoint cannot read its own reasoning (another account's key, by then), it is asked once more without."""
        try:
            return await self._calls.wait(self._create(conversation), deadline)
        except openai_failure.UnreadableReasoning:
            conversation.replays = False
        return await self._calls.wait(self._create(conversation), deadline)

    async def _told(self, response: Any) -> None:
        """Raises the error that an answer of 200 tells of in JSON, where a stream should be."""
        if "json" not in response.headers.get("content-type", ""):
            return
        body = msgspec.json.decode(await response.aread())
        if isinstance(body, dict | list) and "error" in (
            body[0] if isinstance(body, list) and body else body
        ):
            raise self._redacted(openai_failure.of(body, headers=response.headers))

    async def _ids(self) -> builtins.list[str]:
        return [model.id async for model in self._open().models.list()]

    async def _create(self, conversation: Conversation) -> Any:
        """The SDK's stream of decoded events: typed ones would cost a model each, and lose what compatible endpoints add."""
        import openai

        options = self._options
        if self._api is Api.CHAT:
            limit = "max_completion_tokens" if self._theirs else "max_tokens"
            body = openai_chat.body(conversation, effort=options.effort, limit=limit)
            path = "/chat/completions"
        else:
            body = openai_responses.body(conversation, effort=options.effort, summary=options.summary)
            path = "/responses"
        return await self._open().post(
            path, cast_to=object, body=body, stream=True, stream_cls=openai.AsyncStream[Any]
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
                    base_url=self._access.base_url, timeout=timeout, follow_redirects=False
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


async def _next(stream: Any) -> dict[str, Any] | None:
    """The next event or chunk as JSON, ``None`` at the end of the stream."""
    event = await anext(stream, None)
    if event is not None and not isinstance(event, dict):
        raise ValueError("an event is not a JSON object")
    return event


async def _drain(stream: Any) -> None:
    """Read to the end of the answer, so that the connection can serve the next request; not for long."""
    with contextlib.suppress(Exception):  # the turn is complete; only the connection is lost
        async with asyncio.timeout(_DRAIN_SECONDS):
            await anext(stream, None)
