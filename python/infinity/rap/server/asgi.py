"""A toolset as an ASGI application, for any server that speaks it, alone or mounted into another application.

State is one SQLite file, so run one worker process for each file; a second one is refused at its start.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from infinity.errors import InfinityError

from .application import MAX_BODY, Application, BodyTooLarge, Request

Scope = MutableMapping[str, Any]
"""Of ASGI; see https://asgi.readthedocs.io."""
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class AsgiApplication:
    """Starts with the server's lifespan, or with the first request where there is none (mounted
    applications get none).
    """

    def __init__(self, application: Application) -> None:
        """Wrap the application.

        Args:
            application: not started yet.
        """
        self._application = application
        self._starting = asyncio.Lock()
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry point: lifespan and HTTP; WebSockets are closed."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1003})

    async def start(self) -> None:
        """Open the state.

        Done by the server's lifespan, or call it from the application that this one is mounted into.
        Harmless if it has been started.
        """
        async with self._starting:
            if not self._started:
                await self._application.start()
                self._started = True

    async def stop(self) -> None:
        """Stop the functions and close the state; harmless if it does not run."""
        async with self._starting:
            if self._started:
                self._started = False
                await self._application.stop()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.start()
        except (InfinityError, OSError) as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._started:
            await self.start()
        root = scope.get("root_path", "").rstrip("/")
        path = scope["path"]
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        reply = await self._application.answer(
            Request(
                method=scope["method"],
                # Servers differ in whether the path repeats the prefix that they mounted us under.
                path=path.removeprefix(root) if root and path.startswith(root + "/") else path,
                base=f"{scope.get('scheme', 'http')}://{headers.get('host') or _address(scope)}{root}",
                headers=headers,
                read=lambda: _body(receive),
                query=dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"))),
            )
        )
        body = b"" if reply.body is None else json.dumps(reply.body).encode()
        sent = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        try:
            await send({"type": "http.response.start", "status": reply.status, "headers": sent})
            await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
        finally:
            if reply.after is not None:
                reply.after()


def _address(scope: Scope) -> str:
    """Where there is no Host header."""
    host, port = scope.get("server") or ("127.0.0.1", None)
    return host if port is None else f"{host}:{port}"


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise BodyTooLarge
        if not message.get("more_body", False):
            return bytes(body)
