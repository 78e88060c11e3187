"""Health and metrics: for whoever watches the daemon. Counts and names only."""

from __future__ import annotations

import time

from aiohttp import web

from infinity.errors import StoreError

from .answers import answer
from .backend import BACKEND
from .metrics import CONTENT_TYPE

__all__ = ["get_health", "get_metrics"]

MARK = "health"
"""The row that is written; others may write it at the same time."""


async def get_health(request: web.Request) -> web.Response:
    """200 while the store takes a row and gives it back; else its error as 503."""
    backend = request.app[BACKEND]
    mark = str(time.time_ns()).encode()
    await backend.store.put_meta(MARK, mark)
    if await backend.store.meta(MARK) is None:
        raise StoreError("a row that was written is not there; run 'infinity doctor'")
    return answer({"status": "ok", "version": backend.version})


async def get_metrics(request: web.Request) -> web.Response:
    backend = request.app[BACKEND]
    text = backend.metrics.render(await backend.store.counts(), watching=backend.feed.watching())
    return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})
