"""Health and metrics: for whoever watches the daemon. Counts and names only."""

from __future__ import annotations

from aiohttp import web

from .answers import answer
from .backend import BACKEND
from .metrics import CONTENT_TYPE

__all__ = ["get_health", "get_metrics"]


async def get_health(request: web.Request) -> web.Response:
    """200 while the store answers; else the store's error as 503."""
    backend = request.app[BACKEND]
    await backend.store.next_timer()
    return answer({"status": "ok", "version": backend.version})


async def get_metrics(request: web.Request) -> web.Response:
    backend = request.app[BACKEND]
    text = backend.metrics.render(await backend.store.counts(), watching=backend.feed.watching())
    return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})
