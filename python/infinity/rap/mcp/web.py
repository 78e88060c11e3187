"""An MCP server reached over streamable HTTP."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx2
from mcp.client.streamable_http import streamable_http_client

from infinity._core import __version__

from .calls import current

CONNECT_SECONDS = 10.0
WRITE_SECONDS = 30.0
LARGEST_EVENT = 32 << 20


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
        network = httpx2.AsyncHTTPTransport(socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)])
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
