"""``GET /v1/events``: the events of all conversations in the order of their commits, as server-sent events. What it means to follow them is ``infinity.all_events``'s;
here is the connection: what was asked, how it begins, and that a client is written to as fast as it reads."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Sequence

import msgspec
from aiohttp import web

from infinity._core import CoreError
from infinity.all_events import AllEvents, Asked, Follower, Place, Scrolled
from infinity.api.requests import Request
from infinity.api.responses import ErrorDetail, Gone, Response
from infinity.api.threads import known, listed
from infinity.errors import BadRequest, InfinityError, from_core
from infinity.feed import FeedEvent, frame

from .backend import BACKEND, DaemonBackend
from .connections import connection_of
from .event_stream import HEADERS, KEEP_ALIVE, check_room, ended, write
from .http import received, response
from .live_rows import Row

__all__ = ["read_rows", "stream_all_events"]

logger = logging.getLogger("infinity.api")

_PLACE = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,18}))?", re.ASCII)


async def stream_all_events(request: web.Request) -> web.StreamResponse:
    """``Last-Event-ID`` or ``?after=`` (the id of an event, or ``latest``) resumes; without one the stream begins with what comes next.

    ``kinds`` and ``root`` leave out other events, ``thread`` adds its live ones, ``rows=1`` the row of the list
    of threads whenever one changes (``row``), or ``{"many": true}`` in place of too many. 410 with ``oldest`` where the order is not kept any more that far back.
    """
    backend = request.app[BACKEND]
    asked = received(request)
    check_room(backend)
    everything = backend.all_events
    assert everything is not None, "only a daemon has this route"
    wanted, place = await _wanted(backend, asked), _place(asked)
    try:
        follower = await everything.enter(wanted, place)
    except Scrolled as scrolled:
        return response(_gone(scrolled))
    made = web.StreamResponse(headers=HEADERS)
    try:
        connection = connection_of(request)
        if connection is not None:
            # A client that hangs up while nothing happens would otherwise be noticed at the next write.
            connection.on_lost(follower.close)
        hello = await _hello(everything)
        await made.prepare(request)
        await write(made, [b"retry: 1000\n\n", hello], connection)
        await _serve(request, made, everything, follower)
    except ConnectionError:
        logger.debug("a client of the stream of all events has hung up")
    except (CoreError, InfinityError, Scrolled) as error:
        if not made.prepared:
            raise
        # Its status line is long gone: the stream ends here, says why, and the client comes back with its place.
        told = _told(error)
        logger.warning("a stream of all events ended: %s", told.message)
        with contextlib.suppress(ConnectionError):
            await made.write(ended(told.code, told.message))
    finally:
        everything.leave(follower)
    return made


async def _wanted(backend: DaemonBackend, asked: Request) -> Asked:
    query = asked.query
    for name in ("root", "thread"):
        if name in query:
            row = await known(backend.store, query[name])
            if name == "root" and row.root != row.id:
                raise BadRequest(f"'root' must be a root thread; that of {row.id} is {row.root}")
    kinds = frozenset(kind for kind in query.get("kinds", "").split(",") if kind) or None
    return Asked(kinds, query.get("root"), query.get("thread"), query.get("rows") == "1")


async def read_rows(backend: DaemonBackend, threads: Sequence[str]) -> list[Row]:
    """Rows as ``GET /v1/threads?explain=1`` lists them, of those threads that are there."""
    found = await asyncio.gather(*map(backend.store.thread, threads))
    rows = await listed(backend, [row for row in found if row is not None], explain=True)
    return [(row.id, row.root, msgspec.json.encode(row)) for row in rows]


def _place(asked: Request) -> Place | None:
    text = asked.headers.get("last-event-id") or asked.query.get("after", "latest")
    if text == "latest":
        return None
    found = _PLACE.fullmatch(text)
    if found is None:
        raise BadRequest("Last-Event-ID and 'after' must be the id of an event of this stream, or 'latest'")
    seq, position = found.groups()
    return Place(int(seq), None if position is None else int(position))


def _gone(scrolled: Scrolled) -> Response:
    body = Gone(ErrorDetail("gone", str(scrolled)), str(max(scrolled.oldest - 1, 0)))
    return Response(410, msgspec.json.encode(body))


async def _hello(everything: AllEvents) -> bytes:
    oldest, newest = await everything.ends()
    data = {"now": time.time_ns() // 1_000_000, "latest": str(newest), "oldest": str(max(oldest - 1, 0))}
    return frame(FeedEvent(None, "hello", msgspec.json.encode(data)))


def _told(error: Exception) -> ErrorDetail:
    if isinstance(error, Scrolled):
        return ErrorDetail("gone", str(error))
    found = from_core(error) if isinstance(error, CoreError) else error
    return ErrorDetail(found.code if isinstance(found, InfinityError) else "internal", str(found))


async def _serve(
    request: web.Request, made: web.StreamResponse, everything: AllEvents, follower: Follower
) -> None:
    connection = connection_of(request)
    while not follower.closed:
        frames = await everything.ready(follower)
        if frames:
            await write(made, frames, connection)
            continue
        try:
            async with asyncio.timeout(KEEP_ALIVE):
                await follower.wait()
        except TimeoutError:
            await made.write(b": waiting\n\n")
