"""Controls: interrupt, stop, resume, compact, close; and the choice of another model."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from infinity.answers.answer import Answer
from infinity.answers.asked import Closing, NewModel, Nothing
from infinity.answers.outcome import taken
from infinity.errors import StoreError
from infinity.message import Action

from ..door import Request
from .body import idempotency_key, path_id, read_json
from .models import check_model

if TYPE_CHECKING:
    from ..host import Host

__all__ = ["close_thread", "control", "set_model"]

logger = logging.getLogger("infinity.api")

_AT_ONCE = (Action.INTERRUPT, Action.STOP, Action.CLOSE)
"""What a running slice must hear of: behind it in the queue, it would come too late."""


def control(action: Action) -> Callable[[Host, Request], Awaitable[Answer]]:
    """The handler for an action without an argument."""

    async def handler(host: Host, request: Request) -> Answer:
        read_json(host, request, Nothing, optional=True)
        return await _send(host, request, action, None)

    return handler


async def close_thread(host: Host, request: Request) -> Answer:
    closing = read_json(host, request, Closing, optional=True)
    return await _send(host, request, Action.CLOSE, closing.report)


async def set_model(host: Host, request: Request) -> Answer:
    chosen = read_json(host, request, NewModel)
    check_model(host, chosen.model)
    return await _send(host, request, Action.MODEL, chosen.model)


async def _send(host: Host, request: Request, action: Action, argument: str | None) -> Answer:
    thread = path_id(request)
    outcome = await host.runtime.control(thread, action, argument, key=idempotency_key(request))
    if action in _AT_ONCE and outcome.message is not None:
        await _hurry(host, thread, action, outcome.message.id)
    return taken(outcome)


async def _hurry(host: Host, thread: str, action: Action, message_id: str) -> None:
    """Tell a slice of the thread that runs elsewhere. It is durable already, and happens after that slice if it does not hear of it."""
    try:
        await host.items.interrupt(thread, action, message_id)
    except (StoreError, OSError) as error:
        logger.warning("a running slice of %s was not told of %s, which is queued: %s", thread, action, error)
