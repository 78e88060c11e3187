"""The application: the table of routes behind the guard."""

from __future__ import annotations

from aiohttp import web

from infinity.answers.openapi import describe

from ..connections import serving
from .answers import answer
from .backend import BACKEND, Backend
from .guard import guard
from .routes import ROUTES

__all__ = ["make_app"]


def make_app(backend: Backend) -> web.Application:
    app = web.Application(middlewares=[serving, guard], client_max_size=backend.max_body)
    app[BACKEND] = backend
    description = describe(ROUTES, backend.version)

    async def get_description(request: web.Request) -> web.Response:
        return answer(description)

    for route in ROUTES:
        app.router.add_route(route.method, route.path, route.handler)
    app.router.add_get("/openapi.json", get_description)
    return app
