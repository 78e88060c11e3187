"""A session with the MCP server: made when somebody needs it, made anew after it was lost, with back-off.

Nobody waits for a server longer than its ``start_timeout``, and nobody at all while it rests after a failure (B1). A server that is not
needed is not tried again (I9).
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import anyio
from mcp.client import Client
from mcp.client.auth.exceptions import OAuthFlowError
from mcp.client.extension import ClientExtension
from mcp.client.session import ClientRequestContext, IncomingMessage
from mcp.client.subscriptions import SubscriptionLost
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CONNECTION_CLOSED,
    ElicitRequestParams,
    ElicitResult,
    ErrorData,
    Implementation,
    ToolListChangedNotification,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from infinity._core import __version__
from infinity.errors import ToolsetError

from . import questions
from .authorization import AccessNeeded, Unhurried
from .calls import RunningCall, current
from .failures import cause, meaning, told
from .process import ServerProcess
from .specification import ServerSpecification
from .web import WebServer

log = logging.getLogger("infinity.mcp")

FIRST_BACKOFF, LONGEST_BACKOFF = 0.5, 60.0
SHORT_WAIT = 2.0
"""Seconds of back-off that a call sits out instead of failing."""
STEADY = 60.0
"""Seconds after which a session counts as well and the back-off begins anew."""
SESSION_ENDED = "Session terminated"
"""How the SDK words a 404 in a session: it is over, and nothing of the request was done."""

Web = Callable[[Unhurried], WebServer]


class Lost(Exception):
    """The session ended under a request. ``done``: false if the server cannot have begun with it."""

    def __init__(self, text: str, *, done: bool) -> None:
        super().__init__(text)
        self.done = done


class Connection:
    """``web`` makes the HTTP side anew for each session; without it the server is a process. ``changed`` hears that its list of tools did."""

    def __init__(
        self,
        specification: ServerSpecification,
        extensions: Callable[[], Sequence[ClientExtension]],
        changed: Callable[[], None],
        web: Web | None = None,
    ) -> None:
        self.problem = ""
        self._changed = changed
        self._specification = specification
        self._extensions = extensions
        self._web = web
        self._client: Client | None = None
        self._process: ServerProcess | None = None
        self._task: asyncio.Task[None] | None = None
        self._settled: asyncio.Future[None] | None = None
        self._over = asyncio.Event()
        self._running: dict[tuple[str, str], RunningCall] = {}
        self._in_flight = 0
        self._given_up_for = ""
        self._backoff = FIRST_BACKOFF
        self._not_before = -math.inf
        self._stopped = False
        self._starting: anyio.CancelScope
        self.access_needed = False
        """The last attempt failed for want of a grant."""

    @property
    def name(self) -> str:
        return self._specification.name

    async def client(self) -> Client:
        """The session, begun if need be. ``ToolsetError`` says why there is none."""
        if self._client is not None:
            return self._client
        if self._settled is None:
            wait = self._not_before - asyncio.get_running_loop().time()
            if wait > SHORT_WAIT:
                raise ToolsetError(f"MCP server {self.name} {self.problem}; next try in {wait:.0f} s")
            if wait > 0:
                await asyncio.sleep(wait)
                return await self.client()
            self._begin()
        assert self._settled is not None
        await asyncio.shield(self._settled)
        if self._client is None:
            raise ToolsetError(f"MCP server {self.name} {self.problem}")
        return self._client

    async def request(
        self, running: RunningCall | None, send: Callable[[Client], Awaitable[Any]], *, repeatable: bool
    ) -> Any:
        """Send something in the session, and once more in a new one if the first was lost before, or if it does no harm."""
        try:
            return await self._request(running, send)
        except Lost as error:
            if error.done and not repeatable:
                raise
            log.info("MCP server %s: %s; once more in a new session", self.name, error)
        return await self._request(running, send)

    async def stop(self) -> None:
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _request(self, running: RunningCall | None, send: Callable[[Client], Awaitable[Any]]) -> Any:
        if running is None:
            return await self._send(await self.client(), send)
        key = (running.call.thread, running.call.id)
        self._running[key] = running
        token = current.set(running)
        try:
            return await self._send(await self.client(), send)
        finally:
            current.reset(token)
            self._running.pop(key, None)

    async def _send(self, client: Client, send: Callable[[Client], Awaitable[Any]]) -> Any:
        self._in_flight += 1
        try:
            return await send(client)
        except MCPError as error:
            if error.message == SESSION_ENDED:
                self.discard(client)
                raise Lost("its session had ended", done=False) from error
            if error.code != CONNECTION_CLOSED:
                raise
            if self._web is not None and self._in_flight > 1:
                # Over HTTP each request has a stream of its own, and this one's end says nothing about the others.
                raise Lost("the connection was lost", done=True) from error
            self.discard(client)
            if self._task is not None and client is not self._client:
                await asyncio.wait((self._task,), timeout=SHORT_WAIT)
            raise Lost(self.problem or "the connection was lost", done=True) from error
        finally:
            self._in_flight -= 1

    def discard(self, client: Client, problem: str = "") -> None:
        """The session is of no use any more. ``problem``: why that is the server's failure, after which it is left alone for a while."""
        if self._client is client:
            self._client = None
            self._given_up_for = problem
            self._over.set()

    # -- one session

    def _begin(self) -> None:
        if self._stopped:
            raise ToolsetError(f"MCP server {self.name} is not started: the bridge is stopping")
        previous = self._task
        self._over = asyncio.Event()
        self._settled = asyncio.get_running_loop().create_future()
        # A context of its own, or what the server asks later would be put to whoever made the connection.
        context = contextvars.copy_context() if self._web is not None else contextvars.Context()
        self._task = asyncio.get_running_loop().create_task(
            self._run(previous, self._settled), name=f"MCP server {self.name}", context=context
        )

    async def _run(self, previous: asyncio.Task[None] | None, settled: asyncio.Future[None]) -> None:
        if previous is not None:
            await asyncio.wait((previous,))
        began = asyncio.get_running_loop().time()
        try:
            await self._session(settled)
            if self._given_up_for:
                self._fail(self._given_up_for)
            else:
                log.info("MCP server %s: its session is over", self.name)
        except asyncio.CancelledError:
            self.problem = "was stopped"
            raise
        except Exception as error:  # noqa: BLE001  whatever the SDK lets through is a failed session, and no more than that
            self._fail(told(error))
            if isinstance(cause(error), AccessNeeded):
                # Not the server's failure: whoever can grant it need not wait.
                self.access_needed, self._not_before, self._backoff = True, -math.inf, FIRST_BACKOFF
        finally:
            if asyncio.get_running_loop().time() - began >= STEADY:
                self._backoff = FIRST_BACKOFF
            self._client = None
            self._settle(settled)

    async def _session(self, settled: asyncio.Future[None]) -> None:
        specification = self._specification
        self._process, server = None, None
        if self._web is not None:
            server = self._web(self._unhurried)
            transport = server.transport()
        else:
            self._process = ServerProcess(specification, self._over.set)
            transport = self._process.transport()
        client = Client(
            transport,
            client_info=Implementation(name="infinity", version=__version__),
            elicitation_callback=self._elicit,
            message_handler=self._notice,
            extensions=self._extensions(),
            cache=None,
        )
        try:
            with anyio.fail_after(specification.start_timeout) as self._starting:
                async with client:
                    self._starting.deadline = math.inf
                    self._client = client
                    self.access_needed, self.problem = False, ""
                    log.info("MCP server %s is connected, protocol %s", self.name, client.protocol_version)
                    self._settle(settled)
                    await self._attend(client)
        except TimeoutError:
            raise ToolsetError(
                f"did not answer within {specification.start_timeout:g} s{self._strays()}"
            ) from None
        except Exception as error:
            if self._process is not None and self._process.ended:
                raise ToolsetError(f"{self._process.ended}{self._strays()}") from error
            told_itself = (ToolsetError, AccessNeeded, OAuthFlowError)
            if (
                server is not None
                and server.refused is not None
                and not isinstance(cause(error), told_itself)
            ):
                raise ToolsetError(f"answered with HTTP {server.refused}{meaning(server.refused)}") from error
            raise
        if self._process is not None and self._process.ended:
            raise ToolsetError(self._process.ended)

    async def _attend(self, client: Client) -> None:
        """Until the session is over. Servers since 2026-07-28 tell of changes only where they are asked to."""
        tools = client.server_capabilities.tools
        if client.protocol_version not in MODERN_PROTOCOL_VERSIONS or not (tools and tools.list_changed):
            await self._over.wait()
            return
        listening = asyncio.create_task(self._listen(client), name=f"changes of {self.name}")
        try:
            await self._over.wait()
        finally:
            listening.cancel()
            await asyncio.wait((listening,))

    async def _listen(self, client: Client) -> None:
        try:
            async with client.listen(tools_list_changed=True) as changes:
                async for _ in changes:
                    pass  # told to ``_notice``, as all that servers say unasked
        except (MCPError, SubscriptionLost, TimeoutError) as error:
            # Conversations that begin list the tools anyway.
            log.info("MCP server %s tells of no changes: %s", self.name, type(error).__name__)

    async def _notice(self, message: IncomingMessage) -> None:
        if isinstance(message, ToolListChangedNotification):
            self._changed()

    @contextmanager
    def _unhurried(self) -> Iterator[None]:
        """While a person is asked for access, the connection may take its time."""
        left = self._starting.deadline - anyio.current_time()
        self._starting.deadline = math.inf
        try:
            yield
        finally:
            self._starting.deadline = anyio.current_time() + left

    def _strays(self) -> str:
        if self._process is None or not self._process.strays:
            return ""
        return f"; it wrote {self._process.strays} lines that are no MCP messages to its standard output"

    def _settle(self, settled: asyncio.Future[None]) -> None:
        """Of one session: those who wait for the next one go on waiting."""
        if not settled.done():
            settled.set_result(None)
        if self._settled is settled:
            self._settled = None

    def _fail(self, problem: str) -> None:
        self.problem = problem
        self._not_before = asyncio.get_running_loop().time() + self._backoff
        self._backoff = min(self._backoff * 2, LONGEST_BACKOFF)
        log.warning("MCP server %s %s", self.name, problem)

    async def _elicit(
        self, context: ClientRequestContext, params: ElicitRequestParams
    ) -> ElicitResult | ErrorData:
        running = current.get()
        if running is None or (running.call.thread, running.call.id) not in self._running:
            # Over a pipe nothing says which call a question belongs to (S11).
            found = list(self._running.values())
            if not found or len({each.call.thread for each in found}) > 1:
                return questions.AMBIGUOUS
            running = found[-1]
        return await questions.answer(running, params)
