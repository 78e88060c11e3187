"""Messages: what a person or a program says to a thread."""

from __future__ import annotations

from aiohttp import web

from infinity.api.requests import NewMessage, check_message

from .answers import taken
from .backend import BACKEND
from .body import idempotency_key, path_id, read_json

__all__ = ["post_message"]


async def post_message(request: web.Request) -> web.Response:
    """200 once it is durable. With an ``Idempotency-Key`` sending it again is harmless: ``duplicate``."""
    thread = path_id(request)
    key = idempotency_key(request)
    message = await read_json(request, NewMessage)
    check_message(message)
    outcome = await request.app[BACKEND].runtime.send(
        thread, message.content, key=key, user_id=message.user_id
    )
    return taken(outcome)
