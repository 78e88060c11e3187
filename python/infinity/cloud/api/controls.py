"""Controls: interrupt, stop, resume, compact, close; and the choice of another model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from infinity.api.outcome import taken
from infinity.api.requests import Closing, Interruption, NewModel, Nothing, Resuming
from infinity.api.responses import Answer, answer
from infinity.cloud.function_url import Request
from infinity.message import KEEP_CALLS, Action

from .body import idempotency_key, path_id, read_json
from .models import check_model

if TYPE_CHECKING:
    from ..host import Host

__all__ = ["close_thread", "control", "interrupt", "resume_all", "set_model"]


def control(action: Action) -> Callable[[Host, Request], Awaitable[Answer]]:
    """The handler for an action without an argument."""

    async def handler(host: Host, request: Request) -> Answer:
        read_json(host, request, Nothing, optional=True)
        return await _send(host, request, action, None)

    return handler


async def interrupt(host: Host, request: Request) -> Answer:
    asked = read_json(host, request, Interruption, optional=True)
    return await _send(host, request, Action.INTERRUPT, None if asked.calls else KEEP_CALLS)


async def close_thread(host: Host, request: Request) -> Answer:
    closing = read_json(host, request, Closing, optional=True)
    return await _send(host, request, Action.CLOSE, closing.report)


async def resume_all(host: Host, request: Request) -> Answer:
    asked = read_json(host, request, Resuming, optional=True)
    return answer({"resumed": await host.runtime.resume_all(asked.problem)})


async def set_model(host: Host, request: Request) -> Answer:
    chosen = read_json(host, request, NewModel)
    path_id(request)
    check_model(host, chosen.model)
    return await _send(host, request, Action.MODEL, chosen.model)


async def _send(host: Host, request: Request, action: Action, argument: str | None) -> Answer:
    thread = path_id(request)
    # A slice that runs elsewhere hears of it by the store, beside the queue.
    return taken(await host.runtime.control(thread, action, argument, key=idempotency_key(request)))
