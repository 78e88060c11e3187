"""An MCP server reached over streamable HTTP."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx2
import msgspec
from mcp.client.streamable_http import streamable_http_client

from infinity._core import __version__

from .calls import current

CONNECT_SECONDS = 10.0
WRITE_SECONDS = 30.0
NOTICE_SECONDS = 5.0
"""For a notice, which nobody answers: the SDK sends nothing else before the server has taken it."""
LARGEST_EVENT = 32 << 20


class _Network(httpx2.AsyncHTTPTransport):
    """A notice that the server does not take in time is given up as if it had; a call waits for its answer as long as it has patience."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if not _is_notice(request):
            return await super().handle_async_request(request)
        request.extensions["timeout"] = {**request.extensions["timeout"], "read": NOTICE_SECONDS}
        try:
            return await super().handle_async_request(request)
        except httpx2.ReadTimeout:
            return httpx2.Response(202, request=request)


class WebServer:
    """``refused``: the last status of 400 and above that was no answer to a call."""

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
        # Answers may take as long as the call may: RunningCall minds the time. A dead connection is told by the system.
        timeout = httpx2.Timeout(WRITE_SECONDS, connect=CONNECT_SECONDS, read=None)
        network = _Network(socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)])
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


def _is_notice(request: httpx2.Request) -> bool:
    """A JSON-RPC message without an id. What the body is not of is left alone: the OAuth flow's forms, streams."""
    if request.method != "POST" or not request.headers.get("content-type", "").startswith("application/json"):
        return False
    try:
        message = msgspec.json.decode(request.content)
    except (msgspec.DecodeError, httpx2.RequestNotRead):
        return False
    return isinstance(message, dict) and "method" in message and "id" not in message
