"""Toolsets: what is configured, what each server offers, and what is wrong with it."""

from __future__ import annotations

import asyncio

from aiohttp import web

from infinity.api import toolsets
from infinity.api.requests import Nothing

from .answers import respond
from .backend import BACKEND
from .body import path_id, read_json

__all__ = ["list_toolsets", "reload_tools"]


async def list_toolsets(request: web.Request) -> web.Response:
    backend = request.app[BACKEND]
    servers, catalog = await asyncio.gather(backend.toolsets(), backend.runtime.catalogs.current())
    return respond(toolsets.listing(servers, catalog))


async def reload_tools(request: web.Request) -> web.Response:
    """Fetch the definitions for a thread's tree again."""
    await read_json(request, Nothing, optional=True)
    return respond(toolsets.offered(await request.app[BACKEND].runtime.reload_tools(path_id(request))))
