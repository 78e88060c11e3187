"""What all scripted model servers share: a loopback port, the requests that arrived, how the answers
ended.

They are real HTTP servers, so that a provider under test runs unchanged. Tests wait with ``wait_for``
and ``wait_for_requests``; there is nothing to sleep for.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import msgspec
from aiohttp import web

from infinity.models.prompt_view import read_prompt
from infinity.models.script import Break, Fail, Pause, Reply, Script

Respond = Callable[[dict[str, Any]], Reply | Awaitable[Reply]]
"""From a request's JSON to the reply."""

_MOST_BYTES = 64 << 20
"""What is read at all; what the API takes is less."""


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


class ScriptedServer:
    """A server in a test. ``async with …Server(respond) as server: …  server.url``.

    A subclass says which wire format it speaks. What the real API would refuse is refused and stays in
    ``violations``.
    """

    path = ""
    """What comes after the host in ``url``."""

    def __init__(self, respond: Script | Respond, *, api_key: str | None = None) -> None:
        """Take what it answers.

        Args:
            respond: a function (plain or async) from the request's JSON to a ``Reply``; where requests
                have the shape of the Messages API, a ``Script`` will do.
            api_key: when given, every other key is refused.
        """
        self.respond = respond
        self.api_key = api_key
        self.requests: list[Recorded] = []
        self.effects = Effects()
        self._arrivals = _Arrivals()
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """The base URL that a provider is configured with."""
        return f"http://127.0.0.1:{self._port}{self.path}"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The JSON of all requests, in order of arrival."""
        return [request.body for request in self.requests]

    @property
    def violations(self) -> list[str]:
        """Everything that any request did wrong."""
        return [problem for request in self.requests for problem in request.violations]

    async def wait_for_requests(self, count: int, within: float = 60.0) -> None:
        """Return when so many requests have arrived in all.

        Args:
            count: how many.
            within: seconds of real time.

        Raises:
            TimeoutError: they have not.
        """
        await self._arrivals.until(lambda: len(self.requests) >= count, within)

    async def wait_for(self, reached: Callable[[Effects], bool], within: float = 60.0) -> None:
        """Return when the effects are as wanted.

        Args:
            reached: whether they are.
            within: seconds of real time.

        Raises:
            TimeoutError: they are not.
        """
        await self._arrivals.until(lambda: reached(self.effects), within)

    async def start(self, port: int = 0) -> None:
        """Listen on the loopback.

        Args:
            port: 0 takes a free one.
        """
        app = web.Application(client_max_size=_MOST_BYTES)
        app.router.add_routes(self.routes())
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, handler_cancellation=True, shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening; answers that are under way are cut off."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    # what a subclass says

    def routes(self) -> Iterable[web.RouteDef]:
        """Paths and handlers. To be written by a subclass."""
        raise NotImplementedError

    def refusal(self, fail: Fail) -> web.Response:
        """An error as the answer to a request. To be written by a subclass.

        Args:
            fail: from the reply, or for a rule that was broken.
        """
        raise NotImplementedError

    def late_error(self, fail: Fail) -> bytes:
        """An error in the middle of a stream. To be written by a subclass.

        Args:
            fail: from the reply.
        """
        raise NotImplementedError

    # what a subclass calls

    async def announce(self) -> None:
        """Something has happened that tests may be waiting for."""
        await self._arrivals.announce()

    def record(self, request: web.Request, content: bytes, check: Callable[[Any], list[str]]) -> Recorded:
        """Keep a request with what is wrong with its JSON.

        Args:
            request: as it arrived.
            content: its body.
            check: finds what is wrong.
        """
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            body = msgspec.json.decode(content)
        except msgspec.DecodeError as error:
            body, violations = {}, [f"the request body is not JSON: {error}"]
        else:
            violations = check(body)
        recorded = Recorded(
            time.monotonic(), headers, content, body if isinstance(body, dict) else {}, violations
        )
        self.requests.append(recorded)
        return recorded

    async def refuse(self, fail: Fail) -> web.Response:
        """The answer to a request that the API would not take.

        Args:
            fail: says why.
        """
        self.effects.refused += 1
        await self.announce()
        return self.refusal(fail)

    async def reply_to(self, body: dict[str, Any]) -> Reply:
        """What ``respond`` says to a request.

        Args:
            body: its JSON.
        """
        if isinstance(self.respond, Script):
            return self.respond.reply_to(read_prompt(body))
        reply = self.respond(body)
        return await reply if inspect.isawaitable(reply) else reply

    async def send(
        self, request: web.Request, reply: Reply, pieces: Iterator[bytes | Pause | Break | Fail], kind: str
    ) -> web.StreamResponse:
        """Send the pieces; where the reply breaks, waits or fails, so does the stream.

        Args:
            request: that is answered.
            reply: a failure at its beginning is the HTTP answer.
            pieces: bytes of the stream, and between them where it waits, breaks or fails.
            kind: the content type.
        """
        try:
            response = await self._play(request, reply, pieces, kind)
        except (asyncio.CancelledError, ConnectionError):
            # The client has gone; that is what some tests wait for.
            self.effects.abandoned += 1
            self.announce_soon()
            raise
        await self.announce()
        return response

    async def _play(
        self, request: web.Request, reply: Reply, pieces: Iterator[bytes | Pause | Break | Fail], kind: str
    ) -> web.StreamResponse:
        # Nothing was said: the error is the answer to the request.
        if reply.steps and isinstance(first := reply.steps[0], Fail):
            self.effects.failed += 1
            return self.refusal(first)
        response = web.StreamResponse(headers={"content-type": kind, "request-id": "req_scripted"})
        await response.prepare(request)
        for piece in pieces:
            match piece:
                case Pause(until):
                    await until.wait()
                case Break():
                    self.effects.failed += 1
                    _hang_up(request)
                    return response
                case Fail():
                    self.effects.failed += 1
                    await response.write(self.late_error(piece))
                    return response
                case _:
                    await response.write(piece)
        self.effects.completed += 1
        return response

    def announce_soon(self) -> None:
        """For handlers that are being cancelled and may not wait."""
        # Its outcome is looked at, so that nothing is logged of a loop that ends.
        task = asyncio.ensure_future(self.announce())
        task.add_done_callback(lambda done: done.cancelled() or done.exception())


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """JSON as the APIs answer it.

    Args:
        value: any JSON.
        status: of the answer.
        headers: besides the usual ones.
    """
    return web.Response(
        body=msgspec.json.encode(value),
        status=status,
        headers={"request-id": "req_scripted", **(headers or {})},
        content_type="application/json",
    )


def _hang_up(request: web.Request) -> None:
    """Cut the connection in the middle of the body."""
    if request.transport is not None:
        request.transport.abort()
