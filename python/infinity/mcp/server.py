"""The bridge as a tool server: the kit's, on loopback, closed to web pages, its manifest fetched from the MCP
server.

``python -m infinity.mcp`` runs it for the daemon, ``infinity rap mcp`` for a person. The kit makes calls
durable and delivers results; here are only the manifest, the browser's way back, and the order of starting
and stopping.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from infinity.backoff import Backoff
from infinity.errors import ToolsetError
from infinity.rap.server import ToolsetServer
from infinity.rap.server.application import WELL_KNOWN, Application, Reply, Request, error_reply
from infinity.rap.server.embedded import embedded
from infinity.rap.server.limits import Limits

from .authorization import CALLBACK
from .bridge import Bridge
from .ledger import Ledger
from .specification import ServerSpecification
from .toolset import BridgedToolset

log = logging.getLogger("infinity.mcp")

HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
LIMITS = Limits(concurrent=256)


class BridgeServer(ToolsetServer):
    """The tool server of one bridge.

    Args:
        specification: The MCP server.
        state_path: The file of what was acknowledged; the ledger is beside it, as ``….calls``.
        port: 0 takes a free one.
        token: What callers must send; ``None`` if nothing.
        backoff: Between two tries of a callback.
    """

    def __init__(
        self,
        specification: ServerSpecification,
        state_path: Path | str,
        *,
        port: int = 0,
        token: str | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self._ledger = Ledger(f"{state_path}.calls")
        self.bridge = Bridge(specification, self._ledger)
        toolset = BridgedToolset(self.bridge)
        super().__init__(toolset, state_path, port=port)
        self._application = _BridgeApplication(
            toolset, state_path, token=token, backoff=backoff, limits=LIMITS
        )
        self._application.bridge = self.bridge

    async def start(self) -> Self:
        """Open the state first: the kit begins interrupted calls at once."""
        await self._ledger.open()
        # The kit begins calls before it listens; a free port is settled then only, and only tests take one.
        self._redirect()
        await super().start()
        self._redirect()
        return self

    def _redirect(self) -> None:
        if self.bridge.authorization is not None:
            own = f"{self.base_url}{CALLBACK}"
            self.bridge.authorization.redirect_url = self.bridge.specification.redirect_url or own

    async def stop(self) -> None:
        """Stop in order: calls in progress are cancelled at the MCP server, and the next start tells their
        callers.
        """
        # First, so that a task which the cancellation meets is left running: it is asked about again at the
        # next start.
        self.bridge.stopping.set()
        await super().stop()
        # After the kit has stopped: calls that are being cancelled still need their session.
        await self.bridge.stop()
        await self._ledger.close()


class _BridgeApplication(Application):
    bridge: Bridge

    async def answer(self, request: Request) -> Reply:
        if request.path == CALLBACK and self.bridge.authorization is not None:
            # The state in it is the secret; the page is reached from the authorization server's.
            if self.bridge.authorization.granted(dict(request.query)):
                return Reply(body={"text": "Thank you. You can close this page."})
            return error_reply(404, "nobody waits for this; ask for access again")
        # What an MCP server may do, a web page that knows the port must not (S4).
        if "origin" in request.headers or urlsplit(request.base).hostname not in HOSTS:
            return error_reply(403, "not for web pages")
        # The guard is asked before the list is fetched: a stranger must not make the bridge call the MCP
        # server (S1).
        if request.path == WELL_KNOWN and self._guard.refusal(request.headers) is None:
            try:
                await self.bridge.catalogue.refresh()
            except ToolsetError as error:
                return error_reply(503, str(error))
        return await super().answer(request)


async def serve(
    specification: ServerSpecification, state_path: Path | str, port: int, token: str | None = None
) -> None:
    """Run the bridge until SIGTERM or SIGINT.

    Args:
        specification: The MCP server.
        state_path: As for ``BridgeServer``.
        port: As for ``BridgeServer``; a runtime that started this process is told the port that was taken
            (SRV-7).
        token: As for ``BridgeServer``.
    """
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with BridgeServer(specification, state_path, port=port, token=token) as server:
        if (started_by := embedded()) is not None:
            started_by.announce(server.port)
        log.info("MCP server %s is offered at %s, pid %d", specification.name, server.base_url, os.getpid())
        await stopped.wait()


def prepare_logging() -> None:
    """Log our own lines with ids and sizes; the SDK's only when it gives up, because it logs what servers say
    (S9).
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for name in ("mcp", "client", "httpx2", "aiohttp.access"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
