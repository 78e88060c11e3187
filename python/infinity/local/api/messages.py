"""Messages: what a person or a program says to a thread."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from infinity.errors import BadRequest
from infinity.ids import is_id

from .answers import taken
from .backend import BACKEND
from .body import idempotency_key, path_id, read_json

__all__ = ["NewMessage", "post_message"]


class NewMessage(msgspec.Struct, forbid_unknown_fields=True):
    """``content``: text, or content blocks in the shape of the Messages API; ``user_id``: whose message it is (S11)."""

    content: str | list[dict[str, Any]]
    user_id: str | None = None


async def post_message(request: web.Request) -> web.Response:
    """200 once it is durable. With an ``Idempotency-Key`` sending it again is harmless: ``duplicate``."""
    thread = path_id(request)
    key = idempotency_key(request)
    message = await read_json(request, NewMessage)
    if not message.content or (isinstance(message.content, str) and not message.content.strip()):
        raise BadRequest("'content' is empty")
    if message.user_id is not None and not is_id(message.user_id):
        raise BadRequest("'user_id' must be 1 to 128 of letters, digits and _.:@+-")
    outcome = await request.app[BACKEND].runtime.send(
        thread, message.content, key=key, user_id=message.user_id
    )
    return taken(outcome)
