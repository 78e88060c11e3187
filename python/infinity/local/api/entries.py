"""Entries: a thread's own history, as it was stored."""

from __future__ import annotations

import msgspec
from aiohttp import web

from infinity._core import entry_json
from infinity.errors import UnknownThread

from .backend import BACKEND
from .body import page, path_id

__all__ = ["list_entries"]


async def list_entries(request: web.Request) -> web.Response:
    """By position, from ``after`` on. A child's positions go on from where it left its parent."""
    store = request.app[BACKEND].store
    thread = path_id(request)
    after, limit = page(request)
    rows = await store.entries(thread, after, limit)
    if not rows and await store.thread(thread) is None:
        raise UnknownThread(f"there is no thread {thread}")
    entries = [
        b'{"position":%d,%s' % (position, entry_json(record).lstrip()[1:]) for position, record in rows
    ]
    following = msgspec.json.encode(rows[-1][0] if len(rows) == limit else None)
    body = b'{"entries":[' + b",".join(entries) + b'],"next":' + following + b"}"
    return web.Response(body=body, content_type="application/json")
