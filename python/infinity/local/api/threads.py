"""Threads: create, list, look at one with everything it waits for (I7)."""

from __future__ import annotations

from aiohttp import web

from infinity.api import threads
from infinity.api.requests import NewThread

from .answers import respond
from .backend import BACKEND, Backend
from .body import idempotency_key, path_id, read_json

__all__ = ["create_thread", "delete_thread", "get_thread", "list_threads"]


async def create_thread(request: web.Request) -> web.Response:
    backend = request.app[BACKEND]
    new = await read_json(request, NewThread, optional=True)
    return respond(await threads.create(backend.runtime, backend.store, new, idempotency_key(request)))


async def list_threads(request: web.Request) -> web.Response:
    backend = request.app[BACKEND]
    return respond(await threads.listing(backend.runtime, backend.store, request.query))


async def get_thread(request: web.Request) -> web.Response:
    backend = request.app[BACKEND]
    id = path_id(request)
    row = await threads.known(backend.store, id)
    explanation = await backend.runtime.explain(id)
    absent = await _out_of_service(backend, id)
    return respond(await threads.describe(backend.runtime, backend.store, row, explanation, absent))


async def delete_thread(request: web.Request) -> web.Response:
    """Goes on if the client leaves."""
    return respond(await threads.delete(request.app[BACKEND].runtime, path_id(request)))


async def _out_of_service(backend: Backend, thread: str) -> str | None:
    absent = await backend.moves.absent(thread) if backend.moves is not None else None
    return absent.text if absent is not None else None
