"""The HTTP side of a tool server: discovery, invocations, notices, answers to questions, webhooks."""

from __future__ import annotations

import asyncio
import hmac
import logging
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from infinity.errors import BadRequest, StoreError
from infinity.rap.address import url_problem
from infinity.rap.document import Node

from .call import Invocation
from .delivery import Backoff
from .store import ServerStore
from .toolset import Toolset, Webhook, WebhookFunction
from .work import Work

log = logging.getLogger("infinity.rap.server")

MAX_BODY = 8 << 20
MAX_ID = 256
MAX_ANCESTORS = 1_000

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ToolsetServer:
    """A toolset on a port. ``state_path``: the SQLite file that keeps what was acknowledged; one server per file.

    ``token``: what callers must send as ``Authorization: Bearer``, where the runtime is configured with it. Port 0 takes a free one.
    """

    def __init__(
        self,
        toolset: Toolset,
        state_path: Path | str,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        token: str | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self._toolset = toolset
        self._host = host
        self._port = port
        self._token = token
        self._store = ServerStore(state_path)
        self._work = Work(toolset, self._store, backoff or Backoff())
        self._runner: web.AppRunner | None = None

    @property
    def base_url(self) -> str:
        """What a runtime is configured with. The port is known once the server has started."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def start(self) -> Self:
        """Open the state, go on with what the last run left, serve."""
        self._toolset.manifest(self.base_url)
        await self._store.open()
        await self._work.start()
        self._toolset.registry = self._work
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=2)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        self._port = self._runner.addresses[0][1]
        log.info("toolset %s at %s", self._toolset.name, self.base_url)
        return self

    async def stop(self) -> None:
        """Stop listening, stop the functions; what they still owe is on record."""
        if self._runner is not None:
            await self._runner.cleanup()
        self._toolset.registry = None
        await self._work.stop()
        await self._store.close()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=MAX_BODY)
        routes = application.router
        routes.add_get("/.well-known/rap-toolset", self._guarded(self._discover))
        routes.add_post("/invoke", self._guarded(self._invoke))
        routes.add_post("/close_thread", self._guarded(self._close_thread))
        routes.add_post("/cancel_tool_call", self._guarded(self._cancel_tool_call))
        routes.add_post("/choice/{question}", self._choice)
        for path, function in self._toolset.webhooks.items():
            routes.add_post(path, _webhook(function))
        return application

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            expected = f"Bearer {self._token}"
            given = request.headers.get("Authorization", "")
            if self._token is not None and not hmac.compare_digest(given.encode(), expected.encode()):
                return _error(401, "a bearer token is needed; configure it for this server")
            return await handler(request)

        return guarded

    async def _discover(self, request: web.Request) -> web.Response:
        # Calls may only go to the address that the runtime was configured with, so the answer repeats it.
        return web.json_response(self._toolset.manifest(f"{request.url.origin()}/invoke"))

    async def _invoke(self, request: web.Request) -> web.Response:
        try:
            invocation = _read_invocation(await request.read(), str(request.url.origin()))
        except BadRequest as error:
            return _error(400, str(error), error.rule)
        try:
            new = await self._store.accept(invocation)
        except StoreError as error:
            log.error("call %s could not be recorded: %s", invocation.id, error)
            return _error(503, "the invocation could not be recorded; send it again")
        if new:
            self._work.begin(invocation)
        return web.json_response({})

    async def _close_thread(self, request: web.Request) -> web.Response:
        match await _json(request):
            case {"thread_id": str(thread)}:
                await _quietly(self._work.cancel_thread(thread))
        return web.json_response({})

    async def _cancel_tool_call(self, request: web.Request) -> web.Response:
        match await _json(request):
            case {"thread_id": str(thread), "tool_call_id": str(call_id)}:
                await _quietly(self._work.cancel((thread, call_id)))
        return web.json_response({})

    async def _choice(self, request: web.Request) -> web.Response:
        match await _json(request):
            case {"id": call_id, "selected": selected}:
                if self._work.choose(request.match_info["question"], call_id, selected):
                    return web.json_response({})
        return _error(404, "nobody waits for this answer")


def serve(
    toolset: Toolset,
    port: int = 8801,
    state_path: Path | str = "tool-server.db",
    *,
    host: str = "127.0.0.1",
    token: str | None = None,
) -> None:
    """Serve a toolset until SIGINT or SIGTERM."""
    asyncio.run(_serve(ToolsetServer(toolset, state_path, port=port, host=host, token=token)))


async def _serve(server: ToolsetServer) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with server:
        await stopped.wait()


def _read_invocation(body: bytes, origin: str) -> Invocation:
    """``BadRequest`` where there is nobody to answer to; whatever else is wrong is answered as a result (SRV-2)."""
    node = Node.parse(body, BadRequest, "SRV-1")
    callback_url = node["callback_url"].text("INV-3", 1)
    problem = url_problem(callback_url)
    if problem:
        node["callback_url"].refuse(f"the URL {problem}", "INV-3")
    addressed = Invocation(
        operation="",
        arguments={},
        id=node["id"].text("INV-3", 1, MAX_ID),
        group_id=node["group_id"].text("INV-3", 1, MAX_ID),
        callback_url=callback_url,
        origin=origin,
    )
    try:
        return replace(
            addressed,
            operation=node["operation"].text("INV-1"),
            arguments=node["arguments"].object("INV-2"),
            call_id=node["call_id"].optional_text("INV-3", MAX_ID),
            ancestors=_ancestors(node["thread_ancestors"]),
            user_id=node["user_id"].optional_text("INV-3", MAX_ID),
        )
    except BadRequest as error:
        return replace(addressed, problem=str(error))


def _ancestors(node: Node) -> tuple[str, ...]:
    if not node.present:
        return ()
    return tuple(item.text("INV-3", 1, MAX_ID) for item in node.items("INV-3", MAX_ANCESTORS))


def _webhook(function: WebhookFunction) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        status = await function(Webhook(headers, await request.read(), dict(request.query)))
        return web.Response(status=status or 200)

    return handler


async def _json(request: web.Request) -> Any:
    """The body as JSON, or nothing: ids in notices are untrusted and unknown ones are fine (SRV-5)."""
    try:
        return Node.parse(await request.read(), BadRequest, "SRV-5").value
    except BadRequest:
        return None


async def _quietly(work: Awaitable[None]) -> None:
    """A notice is answered with 200 whatever happens (SRV-5, THR-3)."""
    try:
        await work
    except StoreError as error:
        log.error("a notice could not be carried out: %s", error)


def _error(status: int, text: str, rule: str | None = None) -> web.Response:
    return web.json_response({"error": {"text": text, "rule": rule}}, status=status)
