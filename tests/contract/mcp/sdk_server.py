"""An MCP server on an official Python SDK, over streamable HTTP: ``sdk_server.py PORT [sessions]``.

``sessions``: it does not know ``server/discover``, as servers before 2026-07-28, so that clients begin sessions of the SDK. Runs on the SDK of today and on the one
before it.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import uvicorn

try:
    from mcp.server.mcpserver import MCPServer as Server
except ImportError:
    from mcp.server.fastmcp import FastMCP as Server  # type: ignore[no-redef]

server = Server("sdk")


@server.tool()
def whoami() -> str:
    """The process that answers."""
    return f"process {os.getpid()}"


class WithoutDiscovery:
    """In front of the SDK's application."""

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._application(scope, receive, send)
            return
        body = await _body(receive)
        message = json.loads(body)
        if message.get("method") == "server/discover":
            error = {"code": -32601, "message": "Method not found"}
            answer = json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": error}).encode()
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 404, "headers": headers})
            await send({"type": "http.response.body", "body": answer})
            return
        given = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Any:
            return given.pop() if given else await receive()

        await self._application(scope, again, send)


async def _body(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        part = await receive()
        body += part.get("body", b"")
        more = part.get("more_body", False)
    return body


if __name__ == "__main__":
    application: Any = server.streamable_http_app()
    if "sessions" in sys.argv[2:]:
        application = WithoutDiscovery(application)
    uvicorn.run(application, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
