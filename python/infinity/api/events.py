"""Events: where a client's cursor stands in a thread's stream; the stream by polling, for hosts that cannot stream; the latest of its views."""

from __future__ import annotations

from infinity.abc import ThreadRow, read_header
from infinity.errors import BadRequest
from infinity.feed import event_data

from .backend import Backend
from .requests import Request, page_size
from .responses import Event, Events, Response, View, Views, respond, stored
from .threads import known

__all__ = ["asked_cursor", "cursor", "list_events", "list_views"]


def asked_cursor(request: Request) -> str | None:
    """``Last-Event-ID`` wins over ``after``."""
    return request.headers.get("last-event-id") or request.query.get("after")


def cursor(text: str | None, row: ThreadRow) -> int | None:
    """``text``: the id of an event, or ``latest``; ``None``: from the beginning."""
    if text is None:
        return None
    end = read_header(row).feed - 1
    if text == "latest":
        return end
    if text.removeprefix("-").isascii() and text.removeprefix("-").isdigit() and len(text) <= 18:
        # A cursor from before a database was put back may be ahead of it; what comes next must not be skipped.
        return min(max(int(text), -1), end)
    raise BadRequest("Last-Event-ID and 'after' must be the id of an event of this stream, or 'latest'")


async def list_events(backend: Backend, request: Request) -> Response:
    """The durable events of the daemon's stream behind ``after``, a cursor or ``latest``.

    Live events (pieces of text, states of a slice) are not kept, and so not here.
    """
    thread = request.id()
    limit = page_size(request.query)
    found = cursor(asked_cursor(request), await known(backend.store, thread))
    position = -1 if found is None else found
    events: list[Event] = []
    size = 0
    for row in await backend.store.feed(thread, position, limit):
        data = event_data(row)
        events.append(Event(row.position, row.kind, stored(data, dict)))
        position, size = row.position, size + len(data)
        if backend.page_bytes is not None and size > backend.page_bytes:
            break
    return respond(Events(events, position))


async def list_views(backend: Backend, request: Request) -> Response:
    """The latest content of each type, which the daemon replays at the beginning of its stream (VIEW-1)."""
    thread = request.id()
    await known(backend.store, thread)
    views = await backend.store.views(thread)
    return respond(Views([View(view_type, stored(content, dict)) for view_type, content in views]))
