"""Events: a thread's stream as server-sent events, from a cursor on, without gap or repeat."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator

import msgspec
from aiohttp import web

from infinity.answers.events import cursor
from infinity.answers.threads import known
from infinity.errors import InfinityError
from infinity.feed import FeedEvent

from .backend import BACKEND
from .body import path_id

__all__ = ["stream_events"]

logger = logging.getLogger("infinity.api")

KEEP_ALIVE = 15.0
"""Seconds between comments on a quiet stream, so that both ends notice a dead connection. Nothing ticks when nobody watches (I9)."""

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}


async def stream_events(request: web.Request) -> web.StreamResponse:
    """``Last-Event-ID`` or ``?after=`` (a cursor, or ``latest``) resumes; without one the stream begins at the beginning.

    Durable events carry an id, which is their cursor; live ones do not. The latest views come first (VIEW-1).
    """
    backend = request.app[BACKEND]
    thread = path_id(request)
    row = await known(backend.store, thread)
    after = cursor(request.headers.get("Last-Event-ID") or request.query.get("after"), row)
    # Watching begins before the views are read, so that no update falls between the two.
    events = backend.feed.watch(thread, after)
    upcoming = asyncio.ensure_future(anext(events, None))
    response = web.StreamResponse(headers=_HEADERS)
    try:
        views = await backend.store.views(thread)
        await response.prepare(request)
        await response.write(
            b"retry: 1000\n\n" + b"".join(_view(view_type, content) for view_type, content in views)
        )
        await _write(response, events, upcoming)
    except ConnectionError:
        logger.debug("a client of the event stream of %s has hung up", thread)
    except InfinityError as error:
        if not response.prepared:
            raise
        # Its status line is long gone: the stream ends here, and the client comes back with its cursor.
        logger.warning("the event stream of %s ended: %s", thread, error)
    finally:
        upcoming.cancel()
        await asyncio.gather(upcoming, return_exceptions=True)
        await events.aclose()
    return response


async def _write(
    response: web.StreamResponse,
    events: AsyncGenerator[FeedEvent, None],
    upcoming: asyncio.Future[FeedEvent | None],
) -> None:
    while True:
        done, _ = await asyncio.wait((upcoming,), timeout=KEEP_ALIVE)
        if not done:
            await response.write(b": waiting\n\n")
            continue
        event = upcoming.result()
        if event is None:
            return
        await response.write(_frame(event))
        upcoming = asyncio.ensure_future(anext(events, None))


def _frame(event: FeedEvent) -> bytes:
    # JSON from our encoders has no line breaks, so that one data line holds it.
    frame = b"event: %s\ndata: %s\n\n" % (event.kind.encode(), event.data)
    return frame if event.position is None else b"id: %d\n%s" % (event.position, frame)


def _view(view_type: str, content: bytes) -> bytes:
    data = msgspec.json.encode({"view_type": view_type, "content": msgspec.Raw(content)})
    return _frame(FeedEvent(None, "view", data))
