"""The Anthropic Messages API, spoken directly: stored bytes out, events in, the official SDK nowhere on
the path.

A turn counts when its end is announced and nothing of it is open (L8). From then on an error changes
nothing any more: the turn was paid for and is whole. Before it every error ends the stream with a
``ModelError``. The engine retries; nothing here does.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, NoReturn

import msgspec

from infinity.abc.model import ModelInfo, ModelRequest, Part
from infinity.errors import InvalidModelRequest, ModelError, ModelUnavailable

from . import claude, failure, options
from .access import BASE_URL, Access, ModelTimeouts
from .anthropic_list import listed
from .events import decode
from .failure import told
from .proxies import proxy_of
from .request import API_VERSION, betas, body, origin
from .sse import EventSplitter, EventTooLong
from .turn import OpenTurn

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

_ERROR_BYTES = 64 << 10
"""Bytes of an error's body that are read."""
_DRAIN_SECONDS = 0.25
"""For what follows a whole answer."""
GRACE = 3.0
"""Seconds after the announced end of a turn in which the last frame may still come."""
MOST_SILENCES = 3
"""Pings and comments keep a stream alive for so many stall time-outs in which nothing is said, not for
ever.
"""


class AnthropicModel:
    """All models behind one Messages API.

    The connection pool is made with the first request and belongs to its event loop.
    """

    takes = options.MESSAGES

    def __init__(self, access: Access, timeouts: ModelTimeouts | None = None) -> None:
        """Take the address; nothing is connected.

        Args:
            access: where the API is and who asks.
            timeouts: how long is waited for it.

        Raises:
            ConfigError: the environment names a proxy that cannot be used.
        """
        self._access = access
        self._timeouts = timeouts or ModelTimeouts()
        self._url = access.base_url.rstrip("/") + "/v1/messages"
        self._host = access.host
        self._proxy = proxy_of(access.base_url)
        self._session: ClientSession | None = None

    async def stream(self, request: ModelRequest) -> AsyncIterator[Part]:
        response = await self._send(request)
        turn = OpenTurn(request.counted)
        splitter = EventSplitter()
        try:
            # A stream that ends before its last frame is judged by ``finish``, not here.
            while not turn.complete and (chunk := await self._read(response, turn)):
                for part in self._parts(chunk, splitter, turn, response):
                    yield part
            # Before the drain: what is wrong with the answer is known by now.
            result = turn.finish(origin(self._host, request.model))
            await _drain(response)
            yield result
        finally:
            # After a whole answer the connection is back in the pool already; else this ends the request at
            # once.
            response.close()

    async def list(self) -> builtins.list[ModelInfo]:
        """What the API says it has.

        Gateways often have no list: for them, and when nobody answers, the built-in table.
        """
        try:
            return await listed(self._get)
        except (InvalidModelRequest, ModelUnavailable, msgspec.DecodeError):
            return [*claude.MODELS]

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _send(self, request: ModelRequest) -> ClientResponse:
        """The response once it is known to be a stream; every other answer is an error."""
        import aiohttp

        beta = betas(request.model)
        headers = {"anthropic-beta": beta} if beta else None
        if request.model.options is not None:
            headers = {**(headers or {}), **request.model.options.extra_headers}
        try:
            response = await self._open().post(
                self._url, data=body(request, self._host), headers=headers, allow_redirects=False
            )
        except aiohttp.ConnectionTimeoutError as error:
            raise self._unavailable(f"no connection within {self._timeouts.connect:g} s") from error
        except TimeoutError as error:
            raise self._unavailable(f"no answer within {self._timeouts.stall:g} s") from error
        except aiohttp.ClientError as error:
            raise self._unavailable(f"no connection: {told(error)}{self._hint()}") from error
        try:
            await self._check(response)
        except BaseException:
            response.close()
            raise
        return response

    async def _get(self, path: str) -> bytes:
        import aiohttp

        try:
            async with self._open().get(
                self._access.base_url.rstrip("/") + path, allow_redirects=False
            ) as response:
                content = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unavailable(f"the models cannot be listed: {told(error)}") from error
        if response.status != 200:
            self._fail(failure.from_response(response.status, content, response.headers))
        return content

    async def _check(self, response: ClientResponse) -> None:
        import aiohttp

        if response.status == 200 and response.content_type == "text/event-stream":
            return
        # Gateways put errors into an answer of 200.
        if response.status == 200 and response.content_type == "application/json":
            content = await response.content.read(_ERROR_BYTES)
            if (error := failure.from_answer(content, response.headers)) is not None:
                self._fail(error)
        if response.status < 400:
            raise InvalidModelRequest(
                f"{self._access.host} answered HTTP {response.status} ({response.content_type}) instead of a stream; "
                "check that the base URL is that of a Messages API",
                status=response.status,
            )
        try:
            # The body says more than the status, where it can be had.
            content = await response.content.read(_ERROR_BYTES)
        except (aiohttp.ClientError, TimeoutError, OSError):
            content = b""  # the status alone says what kind of error it is
        self._fail(failure.from_response(response.status, content, response.headers))

    async def _read(self, response: ClientResponse, turn: OpenTurn) -> bytes:
        """The next piece of the answer, ``b""`` at its end.

        Behind the announced end little is waited for, and nothing can fail.
        """
        import aiohttp

        try:
            if turn.stop_reason is None:
                return await response.content.readany()
            turn.over_at = turn.over_at or asyncio.get_running_loop().time() + GRACE
            async with asyncio.timeout_at(turn.over_at):
                return await response.content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if turn.announced:
                return b""
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> ModelUnavailable:
        import aiohttp

        if isinstance(error, aiohttp.SocketTimeoutError):
            return self._unavailable(f"the answer stalled for {self._timeouts.stall:g} s")
        if isinstance(error, TimeoutError):
            return self._unavailable(f"the answer was not complete after {self._timeouts.total:g} s")
        return self._unavailable(f"the answer broke off: {told(error)}")

    def _parts(
        self, chunk: bytes, splitter: EventSplitter, turn: OpenTurn, response: ClientResponse
    ) -> Iterator[Part]:
        """What one piece of the answer adds, up to where it goes wrong."""
        try:
            events = splitter.feed(chunk)
            # Half an event, or a comment that only keeps the connection.
            if not events:
                self._check_progress(turn)
            for data in events:
                event = decode(data)
                if event is None:
                    self._check_progress(turn)
                    continue
                if event.type == "error":
                    self._fail(failure.from_event(event.error, response.headers))
                if (part := turn.apply(event)) is not None:
                    yield part
        except (msgspec.DecodeError, UnicodeDecodeError, EventTooLong) as error:
            raise self._unavailable(f"the answer cannot be read: {error}") from error

    def _check_progress(self, turn: OpenTurn) -> None:
        """A ping or a comment came: the server lives, which does not say that the model will answer."""
        now, progress = asyncio.get_running_loop().time(), turn.progress
        if turn.heard is None or turn.heard[1] != progress:
            turn.heard = (now, progress)
        elif now - turn.heard[0] > self._timeouts.stall * MOST_SILENCES:
            raise self._unavailable(
                f"the answer stalled for {self._timeouts.stall * MOST_SILENCES:g} s, only signs of life"
            )

    def _open(self) -> ClientSession:
        if self._session is None or self._session.closed:
            import aiohttp

            self._session = aiohttp.ClientSession(
                headers={
                    **self._access.headers(),
                    "anthropic-version": API_VERSION,
                    "content-type": "application/json",
                    "accept": "text/event-stream",
                    # A compressed stream would come in lumps.
                    "accept-encoding": "identity",
                    "user-agent": "infinity-runtime",
                },
                timeout=aiohttp.ClientTimeout(
                    total=self._timeouts.total,
                    sock_connect=self._timeouts.connect,
                    sock_read=self._timeouts.stall,
                ),
                # As many connections as there are slices: how many run at once is the engine's to bound.
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
                cookie_jar=aiohttp.DummyCookieJar(),
                proxy=self._proxy,
                read_bufsize=1 << 18,
            )
        return self._session

    def _hint(self) -> str:
        return "" if self._access.base_url == BASE_URL else f"; check that base_url ({self._url}) is right"

    def _unavailable(self, what: str) -> ModelUnavailable:
        return ModelUnavailable(f"{self._access.host}: {self._access.redact(what)}")

    def _fail(self, error: ModelError) -> NoReturn:
        text = self._access.redact(str(error))
        # The same class: the engine acts on that.
        raise type(error)(text, status=error.status, retry_after=error.retry_after)


async def _drain(response: ClientResponse) -> None:
    """Read to the end of the body, so that the connection can serve the next request; not for long."""
    if response.content.at_eof():
        return
    import aiohttp

    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            while await response.content.readany():
                pass
    except (TimeoutError, aiohttp.ClientError, OSError):
        pass  # the answer is complete; only the connection is lost
