"""Subscriptions: which threads are woken by events of which tools, and the user's own way to end one."""

from __future__ import annotations

from aiohttp import web

from infinity.api import subscriptions

from .answers import respond
from .backend import BACKEND
from .body import idempotency_key, path_id

__all__ = ["delete_subscription", "list_subscriptions"]


async def list_subscriptions(request: web.Request) -> web.Response:
    return respond(await subscriptions.listing(request.app[BACKEND].store, request.query))


async def delete_subscription(request: web.Request) -> web.Response:
    backend = request.app[BACKEND]
    thread, call_id = path_id(request), path_id(request, "call_id")
    key = idempotency_key(request)
    return respond(await subscriptions.end(backend.runtime, backend.store, thread, call_id, key))
