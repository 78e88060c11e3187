"""Connections to this process: accepted within the descriptors that there are, and closed when they hold one without using it (B14).

Nobody needs a token to connect. A connection without a whole request has ``HEADER_SECONDS`` for it, one between two requests
``IDLE_SECONDS``, and one whose client does not read what it is sent ``STALL_SECONDS``. When all places are taken, the one that has been
waiting for a request longest makes room; when all of them are at work, new ones wait in the kernel's queue. Some descriptors are never
given to connections: the store, tool servers and the model need them.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from infinity.supervision import shared

from .descriptors import raise_limit

__all__ = ["Connection", "Connections", "connection_of", "serving"]

logger = logging.getLogger("infinity.api")

HEADER_SECONDS = 30.0
"""From the connection, or the first byte of a further request, until the request's headers are whole."""
IDLE_SECONDS = 75.0
STALL_SECONDS = 30.0
MOST = 4_096
"""Connections at once, however many descriptors there are: each takes some ten kilobytes."""
PAUSE = 1.0
"""Seconds without accepting after the system has refused a descriptor, unless one is given back first."""

_ACCEPTS = 64
"""In one turn of the event loop, so that a storm of connections does not hold it."""
_BACKLOG = 512
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Connection(asyncio.Protocol):
    """Stands between the transport and aiohttp's protocol, and knows what the connection waits for."""

    __slots__ = ("_connections", "_drained", "_inner", "_lost", "requests", "transport")

    def __init__(self, inner: asyncio.Protocol, connections: Connections) -> None:
        self._inner = inner
        self._connections = connections
        self._lost: list[Callable[[], None]] | None = []
        """``None`` once the connection is gone."""
        self._drained: asyncio.Future[None] | None = None
        self.requests = 0
        """Requests that are being answered."""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._connections.opened(self)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if not self.requests:
            self._connections.heard(self)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._connections.stalls(self)
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._connections.flows(self)
        self._release()
        self._inner.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        lost, self._lost = self._lost, None
        self._connections.closed(self)
        self._release()
        self._inner.connection_lost(error)
        for callback in lost or ():
            callback()

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Call it when the connection is gone; at once if it is."""
        if self._lost is None:
            callback()
        else:
            self._lost.append(callback)

    async def drained(self) -> None:
        """Wait until the client has read what it was sent, but for a little; or until it is gone."""
        if self._lost is not None and self._connections.stalled(self):
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)

    def _release(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)


class _Waiting(dict["Connection", float]):
    """Connections that wait for one thing, each with the time since when; those that wait longest first. A dictionary, because every request comes by."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def add(self, connection: Connection, now: float) -> float:
        """When it will have waited long enough, at the earliest."""
        self.setdefault(connection, now)
        return now + self.seconds

    def first(self) -> Connection | None:
        return next(iter(self), None)

    def due(self) -> float | None:
        """When the first of them has waited long enough."""
        return next((since + self.seconds for since in self.values()), None)

    def expired(self, now: float) -> list[Connection]:
        return [each for each, since in self.items() if since + self.seconds <= now]


class Connections:
    """Accepts for one server. ``start`` to ``stop`` once. ``most``: connections at once; by default what the descriptors allow."""

    def __init__(
        self, listener: socket.socket, protocol: Callable[[], asyncio.Protocol], *, most: int | None = None
    ) -> None:
        self._listener = listener
        self._protocol = protocol
        self.most = min(MOST, raise_limit()) if most is None else most
        self._loop = asyncio.get_running_loop()
        self.half_requests = _Waiting(HEADER_SECONDS)
        self.idle_connections = _Waiting(IDLE_SECONDS)
        self.stalled_connections = _Waiting(STALL_SECONDS)
        self._open = 0
        self._accepting = False
        self._stopped = False
        self._opening: set[asyncio.Task[Any]] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._sweep_at = 0.0
        self._pause: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return self._open

    def start(self) -> None:
        self._listener.listen(_BACKLOG)
        self._resume()

    def stop(self) -> None:
        """Accept nothing more, and turn away at once anyone who comes, so that senders try again later; connections that are open stay."""
        self._stopped = True
        self._hold()
        self._listener.close()
        for timer in (self._sweep, self._pause):
            if timer is not None:
                timer.cancel()

    # accepting

    def _resume(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if not self._accepting and not self._stopped:
            self._accepting = True
            self._loop.add_reader(self._listener, self._accept)

    def _hold(self) -> None:
        if self._accepting:
            self._accepting = False
            self._loop.remove_reader(self._listener)

    def _accept(self) -> None:
        for _ in range(_ACCEPTS):
            if self._open >= self.most and not self._make_room():
                self._hold()
                return
            try:
                accepted, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._refused(error)
                return
            self._take(accepted)

    def _refused(self, error: OSError) -> None:
        """The system has no descriptor or memory for another connection: let go of one that waits, and try later."""
        if error.errno not in _EXHAUSTED:
            logger.warning("a connection could not be accepted: %s", error.strerror)
            return
        logger.warning("no descriptor is left for another connection (%s); it waits", error.strerror)
        self._hold()
        self._pause = self._loop.call_later(PAUSE, self._resume)
        self._make_room()

    def _take(self, accepted: socket.socket) -> None:
        self._open += 1
        accepted.setblocking(False)

        def made() -> Connection:
            return Connection(self._protocol(), self)

        opening = shared(self._loop.connect_accepted_socket(made, accepted), "connection")
        self._opening.add(opening)
        opening.add_done_callback(self._taken)

    def _taken(self, opening: asyncio.Task[Any]) -> None:
        self._opening.discard(opening)
        if not opening.cancelled() and opening.exception() is not None:
            self._given_back()
            logger.warning(
                "a connection failed before its first byte: %s", type(opening.exception()).__name__
            )

    def _make_room(self) -> bool:
        """Close the connection that has waited longest for a request. False if all of them are at work."""
        oldest = self.half_requests.first() or self.idle_connections.first()
        if oldest is None:
            return False
        self._forget(oldest)
        oldest.transport.abort()
        return True

    def _given_back(self) -> None:
        self._open -= 1
        if not self._accepting:
            self._resume()

    # what connections tell

    def opened(self, connection: Connection) -> None:
        self._arm(self.half_requests.add(connection, self._loop.time()))

    def heard(self, connection: Connection) -> None:
        """Bytes of a request came. Its headers have to be whole in time, however many pieces they come in."""
        if self.idle_connections.pop(connection, None) is not None:
            self._arm(self.half_requests.add(connection, self._loop.time()))

    def works(self, connection: Connection) -> None:
        """A request is whole and is being answered. A sweep that is set stays: the connection rests again soon."""
        connection.requests += 1
        self.half_requests.pop(connection, None)
        self.idle_connections.pop(connection, None)

    def rests(self, connection: Connection) -> None:
        connection.requests -= 1
        if not connection.requests and not connection.transport.is_closing():
            self._arm(self.idle_connections.add(connection, self._loop.time()))

    def stalls(self, connection: Connection) -> None:
        self._arm(self.stalled_connections.add(connection, self._loop.time()))

    def flows(self, connection: Connection) -> None:
        self.stalled_connections.pop(connection, None)
        self._disarm()

    def stalled(self, connection: Connection) -> bool:
        return connection in self.stalled_connections

    def closed(self, connection: Connection) -> None:
        self._forget(connection)
        self._given_back()

    def _forget(self, connection: Connection) -> None:
        for waiting in (self.half_requests, self.idle_connections, self.stalled_connections):
            waiting.pop(connection, None)
        self._disarm()

    # the sweep

    def _arm(self, due: float) -> None:
        """Sweep at ``due`` at the latest. Each request comes here, so who else waits is not asked: a sweep is set for the first of them."""
        if self._stopped:
            return
        if self._sweep is not None:
            if self._sweep_at <= due:
                return
            self._sweep.cancel()
        self._sweep, self._sweep_at = self._loop.call_at(due, self._swept), due

    def _disarm(self) -> None:
        """With nothing to close, nothing wakes (I9)."""
        if self._sweep is None or self.half_requests or self.idle_connections or self.stalled_connections:
            return
        self._sweep.cancel()
        self._sweep = None

    def _due(self) -> float | None:
        dues = [
            waiting.due() for waiting in (self.half_requests, self.idle_connections, self.stalled_connections)
        ]
        return min((due for due in dues if due is not None), default=None)

    def _swept(self) -> None:
        self._sweep = None
        now = self._loop.time()
        for waiting in (self.half_requests, self.idle_connections, self.stalled_connections):
            for connection in waiting.expired(now):
                self._forget(connection)
                connection.transport.abort()
        due = self._due()
        if due is not None:
            self._arm(due)


def connection_of(request: web.Request) -> Connection | None:
    """The connection that the request came over; ``None`` once it is gone, or where another server accepts."""
    transport = request.transport
    protocol = transport.get_protocol() if transport is not None else None
    return protocol if isinstance(protocol, Connection) else None


@web.middleware
async def serving(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """The outermost middleware: while a request is answered, its connection is at work."""
    connection = connection_of(request)
    if connection is None:
        return await handler(request)
    connections = connection._connections
    connections.works(connection)
    try:
        return await handler(request)
    finally:
        connections.rests(connection)
