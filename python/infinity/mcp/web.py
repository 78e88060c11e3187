"""An MCP server reached over streamable HTTP.

``session`` uses its transport. The network layer here repairs what the SDK cannot see: a lost session, a
notice that nobody takes, an address that must not be called (S15). Headers and bodies hold secrets, and are
not logged (S9).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from typing import Any

import httpx2
import msgspec
from mcp.client.streamable_http import streamable_http_client

from infinity._core import __version__

from .calls import current
from .elsewhere import pinned

SESSION = "mcp-session-id"
SESSION_LOST = -31_404
"""Code of the error that stands for a lost session; outside of what JSON-RPC and MCP use."""
METHOD_NOT_FOUND = -32_601
CONNECT_SECONDS = 10.0
WRITE_SECONDS = 30.0
NOTICE_SECONDS = 5.0
"""For a notice, which nobody answers: the SDK sends nothing else before the server has taken it."""
LARGEST_EVENT = 32 << 20


last_try: ContextVar[bool] = ContextVar("mcp_last_try", default=False)
"""The request was sent before, in a session that was taken for lost."""


class _Network(httpx2.AsyncHTTPTransport):
    """A notice that the server does not take in time is given up as if it had; a call waits for its answer as
    long as it has patience.

    That a session is lost is said by the status of an answer to a request that named it. Servers put all
    kinds of bodies beside it, which the SDK would take for the answer; here it becomes the error
    ``SESSION_LOST``.
    """

    def __init__(self, url: str) -> None:
        super().__init__(socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)])
        self._url = httpx2.URL(url)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        # Before anything is sent: sign-in metadata of the server may name any address (S15).
        request = await pinned(request, self._url)
        message = _message(request)
        if message is None:
            return await super().handle_async_request(request)
        if "id" not in message:
            return await self._notify(request)
        response = await super().handle_async_request(request)
        if SESSION not in request.headers or response.status_code not in (400, 404):
            return response
        if not await _is_lost(response, message["id"]):
            return response
        await response.aclose()
        error = {"code": SESSION_LOST, "message": f"the session had ended (HTTP {response.status_code})"}
        answer = {"jsonrpc": "2.0", "id": message["id"], "error": error}
        return httpx2.Response(200, json=answer, request=request)

    async def _notify(self, request: httpx2.Request) -> httpx2.Response:
        # The SDK waits for each notice before it sends the next request; a slow one would hold up calls (B1).
        request.extensions["timeout"] = {**request.extensions["timeout"], "read": NOTICE_SECONDS}
        try:
            return await super().handle_async_request(request)
        except httpx2.ReadTimeout:
            return httpx2.Response(202, request=request)


async def _is_lost(response: httpx2.Response, request_id: Any) -> bool:
    """Whether the server has forgotten the session: 404, of older servers 400, unless the body answers this
    very request.
    """
    if response.status_code == 400 and last_try.get():
        return False  # in a new session, too: it is the request that is wrong
    try:
        async with asyncio.timeout(NOTICE_SECONDS):
            found = msgspec.json.decode(await response.aread())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TimeoutError, httpx2.HTTPError):
        return True
    if not isinstance(found, dict) or found.get("id") != request_id:
        return True
    error = found.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    return response.status_code == 404 and code != METHOD_NOT_FOUND


class WebServer:
    """The HTTP side of one session.

    ``refused`` is the last status of 400 and above that was no answer to a call.

    Args:
        url: The MCP endpoint.
        headers: Of every request; they may hold secrets.
        authorization: Of one user, or ``None``.
    """

    def __init__(self, url: str, headers: dict[str, str], authorization: httpx2.Auth | None) -> None:
        self.refused: int | None = None
        self._url = url
        self._headers = headers
        self._authorization = authorization

    def transport(self) -> AbstractAsyncContextManager[Any]:
        """For the SDK's client."""
        return self._run()

    @asynccontextmanager
    async def _run(self) -> AsyncGenerator[Any]:
        # Answers may take as long as the call may: RunningCall minds the time. A dead connection is told by
        # the system.
        timeout = httpx2.Timeout(WRITE_SECONDS, connect=CONNECT_SECONDS, read=None)
        network = _Network(self._url)
        note: Callable[[httpx2.Response], Any] = self._note
        async with (
            httpx2.AsyncClient(
                headers={"User-Agent": f"infinity/{__version__}", **self._headers},
                timeout=timeout,
                transport=network,
                auth=self._authorization,
                event_hooks={"response": [note]},
            ) as client,
            streamable_http_client(
                self._url, http_client=client, max_sse_event_size=LARGEST_EVENT
            ) as streams,
        ):
            yield streams

    async def _note(self, response: httpx2.Response) -> None:
        """The SDK says only that there was an error; people want to know which."""
        if response.status_code < 400 or (response.status_code == 401 and self._authorization is not None):
            return
        running = current.get()
        if running is not None:
            running.http_status = response.status_code
        else:
            self.refused = response.status_code


def _message(request: httpx2.Request) -> dict[str, Any] | None:
    """The JSON-RPC request or notice in it. What the body is not of is left alone: the OAuth flow's forms,
    streams.
    """
    if request.method != "POST" or not request.headers.get("content-type", "").startswith("application/json"):
        return None
    try:
        message = msgspec.json.decode(request.content)
    except (msgspec.DecodeError, httpx2.RequestNotRead):
        return None
    return message if isinstance(message, dict) and "method" in message else None
