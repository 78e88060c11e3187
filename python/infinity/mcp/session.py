"""One session with the MCP server, from its start to its end: the SDK's client over a process or over HTTP.

``connection`` decides when a new one begins. A session says in words how it ended; it never tries again by
itself.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager

import anyio
from mcp.client import Client
from mcp.client.auth.exceptions import OAuthFlowError
from mcp.client.extension import ClientExtension
from mcp.client.session import ElicitationFnT, IncomingMessage
from mcp_types import Implementation, ToolListChangedNotification
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from infinity._core import __version__
from infinity.errors import ToolsetError
from infinity.supervision import spawn

from .authorization import AccessNeeded, Unhurried
from .failures import cause, meaning
from .lists import checked
from .process import ServerProcess
from .specification import ServerSpecification
from .web import WebServer

log = logging.getLogger("infinity.mcp")

Web = Callable[[Unhurried], WebServer]


class Session:
    """One session with the server.

    ``client`` is usable from the moment ``began`` is called until ``over`` is set. ``in_flight`` counts
    requests that wait for an answer.

    Args:
        specification: How the server is reached.
        web: Makes the HTTP side; ``None`` starts a process.
        left_out: Gets the names of tools that cannot be used, and why.
    """

    def __init__(
        self, specification: ServerSpecification, web: Web | None, left_out: MutableMapping[str, str]
    ) -> None:
        self.client: Client
        self.over = asyncio.Event()
        self.in_flight = 0
        self.retired = False
        """Nothing new is sent in it; it is over when nothing is in flight any more."""
        self._specification = specification
        self._left_out = left_out
        self._scope = anyio.CancelScope()
        self._process = None if web is not None else ServerProcess(specification, self.over.set)
        self._server = web(self._unhurried) if web is not None else None

    def retire(self, *, at_once: bool) -> None:
        """Send nothing new in it. ``at_once`` ends it now; otherwise it ends with the last answer."""
        self.retired = True
        if at_once or not self.in_flight:
            self.over.set()

    @contextmanager
    def sending(self) -> Iterator[Client]:
        """Count a request as in flight while the block runs."""
        self.in_flight += 1
        try:
            yield self.client
        finally:
            self.in_flight -= 1
            if self.retired and not self.in_flight:
                self.over.set()

    async def run(
        self,
        extensions: Sequence[ClientExtension],
        elicit: ElicitationFnT,
        began: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        """Run the session from start to end.

        Args:
            extensions: Of the SDK, for this session.
            elicit: Called for questions of the server.
            began: Called once, when the server has answered the handshake.
            changed: Called when the server says that its list of tools changed.

        Raises:
            ToolsetError: says in words how it failed; what the SDK raises is not always one.
        """

        async def notice(message: IncomingMessage) -> None:
            if isinstance(message, ToolListChangedNotification):
                changed()

        self.client = Client(
            checked(
                (self._process or self._server_side()).transport(),
                lambda: self.client.protocol_version or "",
                self._left_out,
            ),
            client_info=Implementation(name="infinity", version=__version__),
            elicitation_callback=elicit,
            message_handler=notice,
            extensions=extensions,
            cache=None,
        )
        within = self._specification.start_timeout
        try:
            with anyio.fail_after(within) as self._scope:
                async with self.client:
                    # The limit is for the handshake; the session itself has none.
                    self._scope.deadline = math.inf
                    began()
                    await self._attend()
        except TimeoutError:
            raise ToolsetError(f"did not answer within {within:g} s{self._strays()}") from None
        except Exception as error:
            self._explain(error)
            raise
        if self._process is not None and self._process.ended:
            raise ToolsetError(self._process.ended)

    async def _attend(self) -> None:
        """Until the session is over. Servers since 2026-07-28 tell of changes only where they are asked to."""
        tools = self.client.server_capabilities.tools
        modern = self.client.protocol_version in MODERN_PROTOCOL_VERSIONS
        if not (modern and tools and tools.list_changed):
            await self.over.wait()
            return
        # A task beside the session: a server that cannot be listened to is no reason to end it.
        listening = spawn(self._listen(), f"changes of {self._specification.name}")
        try:
            await self.over.wait()
        finally:
            listening.cancel()
            await asyncio.wait((listening,))

    async def _listen(self) -> None:
        try:
            async with self.client.listen(tools_list_changed=True) as changes:
                async for _ in changes:
                    pass  # told to the message handler, as all that servers say unasked
        except Exception as error:  # noqa: BLE001  whatever the SDK lets through
            # Conversations that begin list the tools anyway.
            log.info("MCP server %s tells of no changes: %s", self._specification.name, type(error).__name__)

    @contextmanager
    def _unhurried(self) -> Iterator[None]:
        """While a person is asked for access, the session may take its time to begin."""
        left = self._scope.deadline - anyio.current_time()
        self._scope.deadline = math.inf
        try:
            yield
        finally:
            self._scope.deadline = anyio.current_time() + left

    def _explain(self, error: Exception) -> None:
        """Raise what can be said better than the SDK says it."""
        if self._process is not None and self._process.ended:
            raise ToolsetError(f"{self._process.ended}{self._strays()}") from error
        server = self._server
        if server is None or server.refused is None:
            return
        if not isinstance(cause(error), (ToolsetError, AccessNeeded, OAuthFlowError)):
            raise ToolsetError(f"answered with HTTP {server.refused}{meaning(server.refused)}") from error

    def _server_side(self) -> WebServer:
        assert self._server is not None
        return self._server

    def _strays(self) -> str:
        if self._process is None or not self._process.strays:
            return ""
        return f"; it wrote {self._process.strays} lines that are no MCP messages to its standard output"
