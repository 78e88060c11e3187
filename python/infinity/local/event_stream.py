"""Events: a thread's stream as server-sent events, from a cursor on, without gap or repeat.

A client that keeps up is written to by the feed itself, once in a turn of the event loop. One that does not is served from here, as fast as
it reads; if it stops reading, ``local.connections`` closes it, and it comes back with its cursor.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

import msgspec
from aiohttp import HttpVersion11, web

from infinity._core import CoreError
from infinity.api.errors import Refused
from infinity.api.events import asked_cursor, cursor
from infinity.api.threads import known
from infinity.errors import InfinityError, from_core
from infinity.feed import Feed, FeedEvent, Watcher, asked_in_children, frame

from .backend import BACKEND, DaemonBackend
from .connections import Connection, connection_of
from .http import received

__all__ = ["HEADERS", "KEEP_ALIVE", "check_room", "ended", "stream_events", "write"]

logger = logging.getLogger("infinity.api")

KEEP_ALIVE = 15.0
"""Seconds between comments on a quiet stream, so that both ends notice a dead connection. Nothing ticks when nobody watches (I9)."""
SLOW_BYTES = 64 << 10
"""Unsent bytes beyond which a client gets no more until it has read them."""
PIECE = 64 << 10
"""Bytes that are written at once to a client that has to catch up."""

_NOTHING = 10**18

HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}


async def stream_events(request: web.Request) -> web.StreamResponse:
    """``Last-Event-ID`` or ``?after=`` (a cursor, or ``latest``) resumes; without one the stream begins at the beginning.

    Durable events carry an id, which is their cursor; live ones do not. The latest views come first (VIEW-1), and at a root what its
    children ask (CHO-4).
    """
    backend = request.app[BACKEND]
    asked = received(request)
    thread = asked.id()
    check_room(backend)
    response = web.StreamResponse(headers=HEADERS)
    # Watching begins before anything is read, so that nothing falls between the two.
    text = asked_cursor(asked)
    watcher = backend.feed.enter(thread, _position(text))
    try:
        connection = connection_of(request)
        if connection is not None:
            # A client that hangs up while nothing happens would otherwise be noticed at the next write.
            connection.on_lost(watcher.close)
        # At once, because each read wakes the store's reader.
        row, views, prompts, events = await asyncio.gather(
            known(backend.store, thread),
            backend.store.views(thread),
            backend.store.prompts(root=thread),
            backend.feed.ready(watcher),
        )
        after = cursor(text, row)
        if after is not None and not events and after != watcher.cursor:
            watcher.restart(after)
            # Before the answer is a good one: what cannot be read is refused, with its reason.
            events = await backend.feed.ready(watcher)
        await response.prepare(request)
        begin = [b"retry: 1000\n\n", *(_view(view_type, content) for view_type, content in views)]
        begin += map(frame, asked_in_children(prompts, thread))
        await write(response, [*begin, *map(frame, events)], connection)
        await _serve(request, response, backend.feed, watcher)
    except ConnectionError:
        logger.debug("a client of the event stream of %s has hung up", thread)
    except (CoreError, InfinityError) as error:
        if not response.prepared:
            raise
        # Its status line is long gone: the stream ends here, says why, and the client comes back with its cursor.
        told = from_core(error) if isinstance(error, CoreError) else error
        logger.warning("the event stream of %s ended: %s", thread, told)
        with contextlib.suppress(ConnectionError):
            await response.write(ended(told.code, str(told)))
    finally:
        backend.feed.leave(watcher)
    return response


def _position(text: str | None) -> int | None:
    """Behind which row to read while it is not known yet how long the stream is. ``cursor`` has the last word."""
    if text is None:
        return None
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else _NOTHING


def check_room(backend: DaemonBackend) -> None:
    """Refuse one event stream too many."""
    most = backend.runtime.settings.limits.event_streams
    if backend.watching() >= most:
        raise Refused(
            503,
            "streams",
            f"{most} event streams are open, as many as limits.event_streams allows; close some, or try again later",
        )


async def _serve(request: web.Request, response: web.StreamResponse, feed: Feed, watcher: Watcher) -> None:
    connection = connection_of(request)

    def push(batch: bytes) -> bool:
        transport = request.transport
        if transport is None or transport.is_closing() or transport.get_write_buffer_size() > SLOW_BYTES:
            return False
        # As `response.write` does it, but without a task for each client.
        transport.write(b"%x\r\n%b\r\n" % (len(batch), batch) if chunked else batch)
        return True

    chunked = request.version >= HttpVersion11
    while not watcher.closed:
        events = await feed.ready(watcher)
        if events:
            await write(response, [frame(event) for event in events], connection)
            continue
        watcher.push = push
        try:
            async with asyncio.timeout(KEEP_ALIVE):
                await watcher.wait()
        except TimeoutError:
            await response.write(b": waiting\n\n")


async def write(response: web.StreamResponse, frames: list[bytes], connection: Connection | None) -> None:
    """As fast as the client reads."""
    piece: list[bytes] = []
    size = 0
    for number, each in enumerate(frames, 1):
        piece.append(each)
        size += len(each)
        if size >= PIECE or number == len(frames):
            await response.write(b"".join(piece))
            if connection is not None:
                await connection.drained()
            piece, size = [], 0


def ended(code: str, message: str) -> bytes:
    """The last frame of a stream that ends early, and why."""
    data = msgspec.json.encode({"code": code, "message": message})
    return frame(FeedEvent(None, "ended", data))


def _view(view_type: str, content: bytes) -> bytes:
    data = msgspec.json.encode({"view_type": view_type, "content": msgspec.Raw(content)})
    return frame(FeedEvent(None, "view", data))
