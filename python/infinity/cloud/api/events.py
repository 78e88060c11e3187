"""Events: a thread's stream by polling, from a cursor on, without gap or repeat; and the latest of its views."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from infinity.api.events import cursor
from infinity.api.requests import LONGEST_PAGE, PAGE, number
from infinity.api.responses import Answer, answer
from infinity.api.threads import known
from infinity.cloud.function_url import PAGE_BYTES, Request
from infinity.feed import event_data

from .body import path_id

if TYPE_CHECKING:
    from ..host import Host

__all__ = ["list_events", "list_views"]


async def list_events(host: Host, request: Request) -> Answer:
    """The durable events of the daemon's stream behind ``after``, a cursor or ``latest``. ``next``: the cursor to ask with next time, always there.

    Live events (pieces of text, states of a slice) are not kept, and so not here.
    """
    thread = path_id(request)
    limit = number(request.query, "limit", PAGE, least=1, most=LONGEST_PAGE)
    row = await known(host.store, thread)
    found = cursor(request.headers.get("last-event-id") or request.query.get("after"), row)
    position = -1 if found is None else found
    events: list[bytes] = []
    size = 0
    for each in await host.store.feed(thread, position, limit):
        kind = msgspec.json.encode(each.kind)
        events.append(b'{"cursor":%d,"kind":%s,"data":%s}' % (each.position, kind, event_data(each)))
        position, size = each.position, size + len(events[-1])
        if size > PAGE_BYTES:
            break
    return Answer(200, b'{"events":[%s],"next":%d}' % (b",".join(events), position))


async def list_views(host: Host, request: Request) -> Answer:
    """The latest content of each type, which the daemon replays at the beginning of its stream (VIEW-1)."""
    thread = path_id(request)
    await known(host.store, thread)
    views = [
        {"view_type": view_type, "content": msgspec.Raw(content)}
        for view_type, content in await host.store.views(thread)
    ]
    return answer({"views": views})
