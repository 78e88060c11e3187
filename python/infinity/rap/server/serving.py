"""A toolset on a port of its own: the listener around ``Application``, and ``serve`` for a program of its
own.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self

from infinity.backoff import Backoff

from .application import MAX_BODY, Application, BodyTooLarge, Request
from .embedded import embedded
from .limits import Limits
from .toolset import Toolset

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger("infinity.rap.server")

PORT = 8801
"""Where a toolset is served unless somebody says otherwise."""


class ToolsetServer:
    """A toolset on a port. Use it as an asynchronous context manager, or call ``start`` and ``stop``."""

    def __init__(
        self,
        toolset: Toolset,
        state_path: Path | str,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        token: str | None = None,
        backoff: Backoff | None = None,
        limits: Limits | None = None,
        public_url: str | None = None,
    ) -> None:
        """Take the parts; ``start`` opens the state and listens.

        Args:
            toolset: the tools.
            state_path: the SQLite file that keeps what was acknowledged; one server per file.
            port: 0 takes a free one.
            host: the address to listen at; anyone who reaches it needs the token.
            token: what callers must send as ``Authorization: Bearer``, where the runtime is configured
                with it.
            backoff: between tries to deliver a callback.
            limits: how much is taken on at once.
            public_url: the base URL that runtimes use, where a proxy stands in between.
        """
        self._application = Application(
            toolset, state_path, token=token, backoff=backoff, limits=limits, public_url=public_url
        )
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """Known once the server has started."""
        return self._port

    @property
    def base_url(self) -> str:
        """What a runtime is configured with. The port is known once the server has started."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def start(self) -> Self:
        """Open the state, go on with what the last run left, listen.

        Raises:
            OSError: the port is taken.
            StoreError: the state cannot be opened; ``StoreLocked`` if another server has it.
            ConfigError: the toolset has no tools.
        """
        # The state first: a server that is refused it must not answer requests.
        await self._application.start()
        try:
            await self._listen()
        except BaseException:
            await self.stop()
            raise
        log.info("toolset %s at %s", self._application.toolset.name, self.base_url)
        return self

    async def _listen(self) -> None:
        from aiohttp import web

        application = web.Application(client_max_size=MAX_BODY)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=2)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        # The system chose it, if it was 0.
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening, stop the functions; what they still owe is on record."""
        if self._runner is not None:
            # Listening ends first, so that no call is accepted that nobody would run.
            await self._runner.cleanup()
            self._runner = None
        await self._application.stop()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        async def read() -> bytes:
            try:
                return await request.read()
            except web.HTTPRequestEntityTooLarge as error:
                raise BodyTooLarge from error

        reply = await self._application.answer(
            Request(
                method=request.method,
                path=request.path,
                base=str(request.url.origin()),
                headers={name.lower(): value for name, value in request.headers.items()},
                read=read,
                query=dict(request.query),
            )
        )
        if reply.body is None:
            response = web.Response(status=reply.status)
        else:
            response = web.json_response(reply.body, status=reply.status, dumps=json.dumps)
        try:
            await response.prepare(request)
            await response.write_eof()
        finally:
            # On record, so it runs even where the caller did not wait for the acknowledgement.
            if reply.after is not None:
                reply.after()
        return response


def serve(
    toolset: Toolset,
    port: int | None = None,
    state_path: Path | str = "tool-server.db",
    *,
    host: str = "127.0.0.1",
    token: str | None = None,
    limits: Limits | None = None,
    public_url: str | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve a toolset until SIGINT or SIGTERM.

    Args:
        toolset: the tools.
        port: 8801 unless given; a free one where another runtime started this process with
            ``RAP_EMBEDDED=1`` and waits to hear it (SRV-7).
        state_path: the SQLite file that keeps what was acknowledged; one server per file.
        host: the address to listen at.
        token: what callers must send as ``Authorization: Bearer``.
        limits: how much is taken on at once.
        public_url: the base URL that runtimes use, where a proxy stands in between.
        ready: hears the base URL once requests are taken; not where a runtime started this process.
    """
    # Before anything else: a tool that prints while it is loaded must not write into the protocol.
    started_by = embedded()
    if port is None:
        port = PORT if started_by is None else 0
    server = ToolsetServer(
        toolset, state_path, port=port, host=host, token=token, limits=limits, public_url=public_url
    )
    asyncio.run(_serve(server, ready))


async def _serve(server: ToolsetServer, ready: Callable[[str], None] | None) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with server:
        if (started_by := embedded()) is not None:
            started_by.announce(server.port)
        elif ready is not None:
            ready(server.base_url)
        await stopped.wait()
