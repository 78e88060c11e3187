"""Entries: a thread's own history, as it was stored."""

from __future__ import annotations

from aiohttp import web

from infinity.api import entries

from .answers import respond
from .backend import BACKEND
from .body import path_id

__all__ = ["list_entries"]


async def list_entries(request: web.Request) -> web.Response:
    backend = request.app[BACKEND]
    damage = backend.runtime.damage
    return respond(await entries.listing(backend.store, path_id(request), request.query, damage=damage))
