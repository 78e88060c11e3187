"""The daemon's HTTP application: the routes of ``infinity.api`` behind the guard, and the operations that only aiohttp can perform."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web, web_app

from infinity.api.route import Handler
from infinity.api.routes import routes_of

from .all_events import stream_all_events
from .backend import BACKEND, DaemonBackend
from .connections import serving
from .console import signing
from .console.pages import add_headers, get_asset, get_page
from .event_stream import stream_events
from .guard import guard
from .http import received, response
from .metrics import CONTENT_TYPE
from .moving import http as moving

__all__ = ["OWN", "make_app"]

OwnHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def get_metrics(request: web.Request) -> web.Response:
    backend = request.app[BACKEND]
    text = backend.metrics.render(await backend.store.counts(), watching=backend.watching())
    return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})


OWN: Mapping[str, OwnHandler] = {
    handler.__name__: handler
    for handler in (
        stream_events,
        stream_all_events,
        get_metrics,
        get_page,
        get_asset,
        signing.make_code,
        signing.sign_in,
        signing.sign_out,
        moving.migrate_thread,
        moving.export_thread,
        moving.undo_export,
        moving.import_file,
        moving.put_import,
        moving.start_import,
        moving.forget_import,
    )
}
"""By operation id."""


def make_app(backend: DaemonBackend) -> web.Application:
    limit = backend.runtime.settings.limits.message_bytes
    app = web.Application(middlewares=[serving, guard], client_max_size=limit)
    app[BACKEND] = backend
    app.on_response_prepare.append(add_headers)
    app.on_cleanup.append(_forget)
    for route in routes_of(backend.part):
        handler = OWN[route.handler] if isinstance(route.handler, str) else _served(route.handler)
        app.router.add_route(route.method, route.path, handler)
    return app


def _served(handler: Handler) -> OwnHandler:
    async def serve(request: web.Request) -> web.StreamResponse:
        return response(await handler(request.app[BACKEND], received(request)))

    return serve


async def _forget(_: web.Application) -> None:
    """aiohttp remembers the last thousand applications that were asked for anything, and with ours all that its daemon had opened."""
    remembered = getattr(web_app, "_cached_build_middleware", None)
    if remembered is not None:
        remembered.cache_clear()
