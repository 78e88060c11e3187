"""The other end of callbacks: a listener that gives each call an address of its own, keeps what comes, and
answers as a probe wants.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from aiohttp import web

MAX_BODY = 16 << 20
"""Bytes of a callback that are taken."""
MAX_KEPT = 100
"""Callbacks of one call that are kept."""


@dataclass(frozen=True, slots=True)
class Received:
    """One request to a callback address, as it came."""

    method: str
    content_type: str
    body: bytes


@dataclass(slots=True)
class Line:
    """One call's callbacks.

    ``statuses``: answers to the next ones, then 200; ``hold``: none is answered before it is set.
    """

    url: str
    statuses: deque[int] = field(default_factory=deque)
    hold: asyncio.Event | None = None
    received: list[Received] = field(default_factory=list)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def arrived(self, count: int, seconds: float) -> bool:
        """Wait until so many callbacks are here.

        Args:
            count: how many, in all.
            seconds: how long to wait.

        Returns:
            False if they are not in time.
        """
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: len(self.received) >= count)
        except TimeoutError:
            return False
        return True

    async def take(self, received: Received) -> int:
        """Keep a callback and say with which status it is answered; waits while ``hold`` is not set.

        Args:
            received: the request, as it came.
        """
        async with self._changed:
            # A server that never stops must not fill the memory.
            if len(self.received) < MAX_KEPT:
                self.received.append(received)
            self._changed.notify_all()
        if self.hold is not None:
            await self.hold.wait()
        return self.statuses.popleft() if self.statuses else 200


class Receiver:
    """The listener. Use it as an asynchronous context manager."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        """Take the address; entering the context listens at a free port.

        Args:
            host: the address of this machine under which the tool server reaches it.
        """
        self._host = host
        self._port = 0
        self._lines: dict[str, Line] = {}
        self._runner: web.AppRunner | None = None
        self.strays = 0
        """Requests to addresses that no call was given."""

    def line(self) -> Line:
        """A new address for the callbacks of one call."""
        token = secrets.token_urlsafe(18)
        host = f"[{self._host}]" if ":" in self._host else self._host
        # With a query, so that a server that drops or rewrites it is found out.
        line = Line(f"http://{host}:{self._port}/callback/{token}?of=inspection")
        self._lines[token] = line
        return line

    async def __aenter__(self) -> Self:
        from aiohttp import web

        application = web.Application(client_max_size=MAX_BODY)
        application.router.add_route("*", "/{path:.*}", self._take)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, 0).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        for line in self._lines.values():
            if line.hold is not None:
                line.hold.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        from aiohttp import web

        line = self._lines.get(request.path.removeprefix("/callback/"))
        if line is None or request.query_string != "of=inspection":
            self.strays += 1
            return web.json_response({"error": "no call has this callback_url"}, status=404)
        body = await request.read()
        return web.Response(status=await line.take(Received(request.method, request.content_type, body)))
