"""The application: the table of routes behind the guard."""

from __future__ import annotations

from functools import cache
from typing import Any

from aiohttp import web, web_app

from infinity.api.openapi import describe

from ..connections import serving
from .answers import answer
from .backend import BACKEND, Backend
from .guard import guard
from .routes import ROUTES

__all__ = ["make_app"]


def make_app(backend: Backend) -> web.Application:
    app = web.Application(middlewares=[serving, guard], client_max_size=backend.max_body)
    app[BACKEND] = backend
    app.on_cleanup.append(_forget)

    @cache
    def description() -> Any:
        return describe(ROUTES, backend.version)

    async def get_description(request: web.Request) -> web.Response:
        return answer(description())

    for route in ROUTES:
        app.router.add_route(route.method, route.path, route.handler)
    app.router.add_get("/openapi.json", get_description)
    return app


async def _forget(_: web.Application) -> None:
    """aiohttp remembers the last thousand applications that were asked for anything, and with ours all that its daemon had opened."""
    remembered = getattr(web_app, "_cached_build_middleware", None)
    if remembered is not None:
        remembered.cache_clear()
