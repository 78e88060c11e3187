"""Messages: what a person or a program says to a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infinity.api.outcome import taken
from infinity.api.requests import NewMessage, check_message
from infinity.api.responses import Answer
from infinity.cloud.function_url import Request

from .body import idempotency_key, path_id, read_json

if TYPE_CHECKING:
    from ..host import Host

__all__ = ["post_message"]


async def post_message(host: Host, request: Request) -> Answer:
    """200 once it is in the queue. With an ``Idempotency-Key`` sending it again is harmless."""
    thread = path_id(request)
    key = idempotency_key(request)
    message = read_json(host, request, NewMessage)
    check_message(message)
    return taken(await host.runtime.send(thread, message.content, key=key, user_id=message.user_id))
