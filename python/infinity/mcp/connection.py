"""The connection to the MCP server: a session made when somebody needs it, and made anew after it was lost,
with back-off.

Nobody waits for a server longer than its ``start_timeout``, and nobody at all while it rests after a
failure (B1). A server that is not needed is not tried again (I9).
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from mcp.client import Client
from mcp.client.extension import ClientExtension
from mcp.client.session import ClientRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import CONNECTION_CLOSED, ElicitRequestParams, ElicitResult, ErrorData

from infinity.backoff import Backoff
from infinity.errors import ToolsetError
from infinity.supervision import spawn

from . import questions
from .authorization import AccessNeeded
from .calls import RunningCall, current
from .failures import cause, told
from .session import Session, Web
from .specification import ServerSpecification
from .web import SESSION_LOST, last_try

log = logging.getLogger("infinity.mcp")

BACKOFF = Backoff(first=0.5, longest=60.0)
SHORT_WAIT = 2.0
"""Seconds of back-off that a call sits out instead of failing."""
STEADY = 60.0
"""Seconds after which a session counts as well and the back-off begins anew."""


class Lost(Exception):
    """The session ended under a request. ``done``: false if the server cannot have begun with it."""

    def __init__(self, text: str, *, done: bool) -> None:
        super().__init__(text)
        self.done = done


class Connection:
    """The connection of one user, or of all: at most one session at a time that new requests go to.

    Args:
        specification: How the server is reached.
        extensions: Makes the SDK's extensions for each session.
        changed: Called when the server says that its list of tools did.
        web: Makes the HTTP side anew for each session; without it the server is a process.
    """

    def __init__(
        self,
        specification: ServerSpecification,
        extensions: Callable[[], Sequence[ClientExtension]],
        changed: Callable[[], None],
        web: Web | None = None,
    ) -> None:
        self.problem = ""
        """Why there is no session, when there is none."""
        self.access_needed = False
        """The last attempt failed for want of a grant."""
        self.left_out: dict[str, str] = {}
        """Tools that the last list had and that cannot be used, and why."""
        self._specification = specification
        self._extensions = extensions
        self._changed = changed
        self._web = web
        self._session: Session | None = None
        self._settled: asyncio.Future[None] | None = None
        self._tasks: dict[Session, asyncio.Task[None]] = {}
        self._running: dict[tuple[str, str], RunningCall] = {}
        self._failures = 0
        """In a row."""
        self._not_before = -math.inf
        self._stopped = False

    @property
    def name(self) -> str:
        return self._specification.name

    @property
    def idle(self) -> bool:
        """Nobody has sent anything that is not answered, and nobody is about to."""
        return self._session is not None and not self._session.in_flight and not self._running

    async def session(self) -> Session:
        """The session there is, begun if need be. Callers at the same time wait for the same start.

        Raises:
            ToolsetError: says why there is none. While the connection rests after a failure it is raised at
                once, unless the rest is shorter than ``SHORT_WAIT``.
        """
        if self._session is not None:
            return self._session
        if self._settled is None:
            wait = self._not_before - asyncio.get_running_loop().time()
            if wait > SHORT_WAIT:
                raise ToolsetError(f"MCP server {self.name} {self.problem}; next try in {wait:.0f} s")
            if wait > 0:
                await asyncio.sleep(wait)
                return await self.session()
            self._begin()
        assert self._settled is not None
        await asyncio.shield(self._settled)
        if self._session is None:
            raise ToolsetError(f"MCP server {self.name} {self.problem or 'ended its session; try again'}")
        return self._session

    async def request(
        self, running: RunningCall | None, send: Callable[[Client], Awaitable[Any]], *, repeatable: bool
    ) -> Any:
        """Send something in the session, and once more in a new one if it was lost before the server could
        begin.

        Args:
            running: The call on whose behalf it is sent; ``None`` for what nobody called, such as a list of
                tools.
            send: Sends it with the client of a session, and gives the answer.
            repeatable: Whether it may be sent twice even if the server may have begun.

        Raises:
            Lost: if the session ended under the request and it may not be sent again, or was lost twice.
            ToolsetError: if there is no session.
            MCPError: what the server answered.
        """
        try:
            return await self._request(running, send)
        except Lost as error:
            if error.done and not repeatable:
                raise
            log.info("MCP server %s: %s; once more in a new session", self.name, error)
        token = last_try.set(True)
        try:
            return await self._request(running, send)
        finally:
            last_try.reset(token)

    def discard(self, session: Session, problem: str = "") -> None:
        """Send nothing new in a session that is of no use any more.

        Args:
            session: The session; another one that has taken its place stays.
            problem: Why that is the server's failure, after which it is left alone for a while. Empty: it
                is none.
        """
        if self._session is session:
            self._session = None
            if problem:
                self._fail(problem)
        # Over HTTP other requests may still get their answers; a process that is of no use is stopped.
        session.retire(at_once=self._web is None or bool(problem))

    async def stop(self) -> None:
        """End all sessions and wait for their processes. No session begins afterwards."""
        self._stopped = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _request(self, running: RunningCall | None, send: Callable[[Client], Awaitable[Any]]) -> Any:
        if running is None:
            return await self._send(await self.session(), send)
        key = (running.call.thread, running.call.id)
        self._running[key] = running
        # Questions of the server find their call by this context over HTTP, and by ``_running`` over a pipe.
        token = current.set(running)
        try:
            return await self._send(await self.session(), send)
        finally:
            current.reset(token)
            self._running.pop(key, None)

    async def _send(self, session: Session, send: Callable[[Client], Awaitable[Any]]) -> Any:
        with session.sending() as client:
            try:
                return await send(client)
            except MCPError as error:
                if error.code == SESSION_LOST:  # nothing of the request was done
                    self.discard(session)
                    raise Lost("its session had ended", done=False) from error
                if error.code != CONNECTION_CLOSED:
                    raise
                if self._web is None or session.in_flight == 1:
                    self.discard(session)
                # Otherwise a stream has ended, each request over HTTP having its own; that says nothing about
                # the others.
                closed = error
        if self._web is None and session in self._tasks:
            # How the process ended is about to be known.
            await asyncio.wait((self._tasks[session],), timeout=SHORT_WAIT)
        raise Lost(self.problem or "the connection was lost", done=True) from closed

    # -- sessions

    def _begin(self) -> None:
        if self._stopped:
            raise ToolsetError(f"MCP server {self.name} is not started: the bridge is stopping")
        # One future for one start. It is settled in ``_run``, however the start ends, so that nobody waits
        # for ever.
        self._settled = asyncio.get_running_loop().create_future()
        # A context of its own, or what the server asks later would be put to anyone who made the connection.
        context = contextvars.copy_context() if self._web is not None else contextvars.Context()
        session = Session(self._specification, self._web, self.left_out)
        # Two processes of a server may not run at once: they may share files, and each believes that it is
        # the only one.
        before = [] if self._web is not None else list(self._tasks.values())
        self._tasks[session] = spawn(
            self._run(session, before, self._settled), f"MCP server {self.name}", context=context
        )

    async def _run(
        self, session: Session, before: Sequence[asyncio.Task[None]], settled: asyncio.Future[None]
    ) -> None:
        """``before``: processes that have to be gone first. ``settled``: the future of those who wait for
        this session.
        """
        began = asyncio.get_running_loop().time()

        def ready() -> None:
            self._session = session
            self.access_needed, self.problem = False, ""
            log.info("MCP server %s is connected, protocol %s", self.name, session.client.protocol_version)
            self._settle(settled)

        try:
            if before:
                await asyncio.wait(before)
            await session.run(self._extensions(), self._elicit, ready, self._changed)
            log.info("MCP server %s: a session is over", self.name)
        except asyncio.CancelledError:
            self.problem = "was stopped"
            raise
        except Exception as error:  # noqa: BLE001  whatever the SDK lets through is a failed session, and no more than that
            if self._web is not None and session.retired:
                log.info("MCP server %s: a session is over: %s", self.name, told(error))
            else:
                self._fail(told(error))
            if isinstance(cause(error), AccessNeeded):
                # Not the server's failure: anyone who can grant it need not wait.
                self.access_needed, self._not_before, self._failures = True, -math.inf, 0
        finally:
            # A session that lived for long was no failed attempt: the next one is tried at once.
            if asyncio.get_running_loop().time() - began >= STEADY:
                self._failures = 0
            if self._session is session:
                self._session = None
            del self._tasks[session]
            self._settle(settled)

    def _settle(self, settled: asyncio.Future[None]) -> None:
        """Of one session: those who wait for the next one go on waiting."""
        if not settled.done():
            settled.set_result(None)
        if self._settled is settled:
            self._settled = None

    def _fail(self, problem: str) -> None:
        self.problem = problem
        self._not_before = asyncio.get_running_loop().time() + BACKOFF.wait(self._failures)
        self._failures += 1
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
