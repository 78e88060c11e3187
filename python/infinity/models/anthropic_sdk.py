"""The Messages API through Anthropic's official SDK: the provider ``anthropic-sdk``, and the oracle of the contract tests.

Slower to import and to stream than ``anthropic``; for those whose set-up needs the SDK's own transport.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterator, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from infinity.abc.model import ModelInfo, ModelRequest, Part
from infinity.errors import InvalidModelRequest, ModelError, ModelUnavailable

from . import claude, failure
from .access import Access, ModelTimeouts
from .events import KNOWN, ErrorBody, Event
from .request import API_VERSION, betas, body
from .turn import OpenTurn

if TYPE_CHECKING:
    from anthropic import APIStatusError, AsyncAnthropic

T = TypeVar("T")


class AnthropicSdkModel:
    """The same contract as ``AnthropicModel``. The SDK's own retries are off: the engine retries."""

    def __init__(self, access: Access, timeouts: ModelTimeouts | None = None) -> None:
        self._access = access
        self._timeouts = timeouts or ModelTimeouts()
        self._client: AsyncAnthropic | None = None

    async def stream(self, request: ModelRequest) -> AsyncIterator[Part]:
        deadline = asyncio.get_running_loop().time() + self._timeouts.total
        turn = OpenTurn()
        stream = await self._guarded(self._create(request), deadline)
        try:
            self._check(stream.response)
            while not turn.complete:
                event = await self._guarded(_next(stream), deadline)
                if event is None:
                    break
                if (part := turn.apply(event)) is not None:
                    yield part
            yield turn.finish()
        finally:
            await stream.close()

    async def list(self) -> builtins.list[ModelInfo]:
        return [*claude.MODELS]

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _create(self, request: ModelRequest) -> Any:
        parameters = msgspec.json.decode(body(request))
        beta = betas(request.model)
        headers = {"anthropic-version": API_VERSION} | ({"anthropic-beta": beta} if beta else {})
        return await self._open().messages.create(**parameters, extra_headers=headers)

    def _open(self) -> AsyncAnthropic:
        if self._client is None:
            import anthropic

            timeout = anthropic.Timeout(self._timeouts.stall, connect=self._timeouts.connect)
            # One credential is always named: given none, the SDK would look for its own in the environment and in profiles.
            credential = {"auth_token": self._access.auth_token or "none"}
            if self._access.api_key is not None:
                credential = {"api_key": self._access.api_key}
            self._client = anthropic.AsyncAnthropic(
                **credential,  # type: ignore[arg-type]
                base_url=self._access.base_url,
                max_retries=0,
                timeout=timeout,
                http_client=anthropic.DefaultAsyncHttpxClient(
                    base_url=self._access.base_url, timeout=timeout, follow_redirects=False
                ),
                open_telemetry=False,
            )
        return self._client

    def _check(self, response: Any) -> None:
        kind = response.headers.get("content-type", "")
        if not kind.startswith("text/event-stream"):
            raise InvalidModelRequest(
                f"{self._access.host} answered {kind or 'nothing'} instead of a stream; "
                "check that the base URL is that of a Messages API",
                status=response.status_code,
            )

    async def _guarded(self, step: Coroutine[Any, Any, T], deadline: float) -> T:
        """One wait for the SDK, within the total time, its errors as ours."""
        import anthropic
        import httpx2

        try:
            async with asyncio.timeout_at(deadline):
                return await step
        except anthropic.APIStatusError as error:
            raise self._redacted(_status_error(error)) from None
        except (anthropic.APITimeoutError, httpx2.TimeoutException) as error:
            raise self._unavailable(f"no answer within {self._timeouts.stall:g} s") from error
        except TimeoutError as error:
            raise self._unavailable(
                f"the answer was not complete after {self._timeouts.total:g} s"
            ) from error
        except (anthropic.APIError, httpx2.HTTPError, httpx2.StreamError) as error:
            raise self._unavailable(f"no connection, or it broke off: {error}") from error
        except (ValueError, msgspec.MsgspecError) as error:
            raise self._unavailable(f"the answer cannot be read: {error}") from error

    def _unavailable(self, what: str) -> ModelUnavailable:
        return ModelUnavailable(f"{self._access.host}: {self._access.redact(what)}")

    def _redacted(self, error: ModelError) -> ModelError:
        text = self._access.redact(str(error))
        return type(error)(text, status=error.status, retry_after=error.retry_after)


async def _next(stream: Any) -> Event | None:
    """The next event that this version knows, ``None`` at the end of the stream."""
    async for raw in stream:
        fields = raw.to_dict(mode="json", exclude_unset=True)
        if fields.get("type") in KNOWN:
            return msgspec.convert(fields, Event)
    return None


def _status_error(error: APIStatusError) -> ModelError:
    """The SDK raises an error event in the middle of a stream as a status error, too, with the stream's own status 200."""
    content = msgspec.json.encode(error.body) if isinstance(error.body, dict) else b""
    if error.status_code != 200:
        return failure.from_response(error.status_code, content, error.response.headers)
    try:
        described = msgspec.json.decode(content, type=ErrorBody).error
    except msgspec.DecodeError:
        described = None
    return failure.from_event(described, error.response.headers)
