"""The Messages API through Anthropic's official SDK: the provider ``anthropic-sdk``, and the oracle of the
contract tests.

Slower to import and to stream than ``anthropic``; for those whose set-up needs the SDK's own transport.
Requests and turns are made by the same code as there, so that both give the same history.
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import msgspec

from infinity.abc.model import ModelInfo, ModelRequest, Part
from infinity.errors import InvalidModelRequest, ModelError, ModelUnavailable

from . import claude, failure, options
from .access import Access, ModelTimeouts
from .anthropic_list import listed
from .events import KNOWN, Event
from .proxies import proxy_of
from .request import API_VERSION, betas, body, origin
from .sdk import SdkCalls
from .turn import OpenTurn

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic, AsyncAnthropicBedrock


class AnthropicSdkModel:
    """The same contract as ``AnthropicModel``. The SDK's own retries are off: the engine retries."""

    takes = options.MESSAGES

    stream_type = "text/event-stream"

    def __init__(self, access: Access, timeouts: ModelTimeouts | None = None) -> None:
        """Take the address; the SDK is imported with the first request.

        Args:
            access: where the API is and who asks.
            timeouts: how long is waited for it.
        """
        self._access = access
        self._proxy = proxy_of(access.base_url, socks="socksio")
        self._timeouts = timeouts or ModelTimeouts()
        self._calls = SdkCalls("anthropic", access, self._timeouts, self._translate)
        self._client: AsyncAnthropic | AsyncAnthropicBedrock | None = None

    async def stream(self, request: ModelRequest) -> AsyncIterator[Part]:
        deadline = self._calls.deadline()
        turn = OpenTurn(request.counted)
        stream = await self._calls.wait(self._create(request), deadline)
        try:
            self._calls.check(stream.response, self.stream_type)
            while not turn.complete:
                try:
                    event = await self._calls.wait(_next(stream), deadline)
                except ModelUnavailable:
                    # Only the last frame is missing; the turn is whole and paid for.
                    if turn.announced:
                        break
                    raise
                if event is None:
                    break
                if (part := turn.apply(event)) is not None:
                    yield part
            yield turn.finish(origin(self._access.host, request.model))
        finally:
            await stream.close()

    async def list(self) -> builtins.list[ModelInfo]:
        """What the API says it has; when nobody answers, or with something else, the built-in table."""
        deadline = self._calls.deadline()

        async def get(path: str) -> bytes:
            return await self._calls.wait(self._get(path), deadline)

        try:
            return await listed(get)
        except (InvalidModelRequest, ModelUnavailable, msgspec.DecodeError):
            return [*claude.MODELS]

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _get(self, path: str) -> bytes:
        import httpx2

        self._client = self._client or self._open()
        response = await self._client.get(path, cast_to=httpx2.Response)
        return response.content

    async def _create(self, request: ModelRequest) -> Any:
        self._client = self._client or self._open()
        # The bytes that ``anthropic`` would send, as the SDK's parameters: one place decides what a request
        # says.
        parameters = msgspec.json.decode(body(request, self._access.host))
        headers = self._headers(request)
        if request.model.options is not None:
            headers |= request.model.options.extra_headers
            # What the SDK has no parameter for goes past them.
            extra = {
                name: parameters.pop(name)
                for name in (*request.model.options.extra_body, "output_config")
                if name in parameters
            }
            return await self._client.messages.create(**parameters, extra_headers=headers, extra_body=extra)
        return await self._client.messages.create(**parameters, extra_headers=headers)

    def _headers(self, request: ModelRequest) -> dict[str, str]:
        beta = betas(request.model)
        return {"anthropic-version": API_VERSION} | ({"anthropic-beta": beta} if beta else {})

    def _open(self) -> AsyncAnthropic | AsyncAnthropicBedrock:
        import anthropic

        # One credential is always named: given none, the SDK would look for its own in the environment and in
        # profiles.
        credential = {"auth_token": self._access.auth_token or "none"}
        if self._access.api_key is not None:
            credential = {"api_key": self._access.api_key}
        return anthropic.AsyncAnthropic(**credential, **self._transport())  # type: ignore[arg-type]

    def _transport(self) -> dict[str, Any]:
        import anthropic

        timeout = anthropic.Timeout(self._timeouts.stall, connect=self._timeouts.connect)
        client = anthropic.DefaultAsyncHttpxClient(
            base_url=self._access.base_url,
            timeout=timeout,
            follow_redirects=False,
            proxy=self._proxy,
        )
        return {
            "base_url": self._access.base_url,
            "max_retries": 0,
            "timeout": timeout,
            "http_client": client,
            "open_telemetry": False,
        }

    def _translate(self, error: Any) -> ModelError:
        """The SDK raises an error event in the middle of a stream as a status error, too, with the
        stream's own status 200.
        """
        content = msgspec.json.encode(error.body) if error.body else b""
        if error.status_code != 200:
            return failure.from_response(error.status_code, content, error.response.headers)
        told = failure.from_answer(content, error.response.headers)
        return told or failure.from_event(None, error.response.headers)


async def _next(stream: Any) -> Event | None:
    """The next event that this version knows, ``None`` at the end of the stream."""
    async for raw in stream:
        fields = raw.to_dict(mode="json", exclude_unset=True)
        # Later versions of the API may send events that mean nothing here.
        if fields.get("type") in KNOWN:
            return msgspec.convert(fields, Event)
    return None
