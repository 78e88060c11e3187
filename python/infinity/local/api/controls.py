"""Controls: interrupt, stop, resume, compact, close; and the choice of another model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from infinity.api.requests import Closing, Interruption, NewModel, Nothing, Resuming
from infinity.api.responses import answer
from infinity.message import KEEP_CALLS, Action

from .answers import respond, taken
from .backend import BACKEND
from .body import idempotency_key, path_id, read_json

__all__ = ["close_thread", "control", "interrupt", "resume_all", "set_model"]


def control(action: Action) -> Callable[[web.Request], Awaitable[web.Response]]:
    """The handler for an action without an argument."""

    async def handler(request: web.Request) -> web.Response:
        await read_json(request, Nothing, optional=True)
        return await _send(request, action, None)

    return handler


async def interrupt(request: web.Request) -> web.Response:
    asked = await read_json(request, Interruption, optional=True)
    return await _send(request, Action.INTERRUPT, None if asked.calls else KEEP_CALLS)


async def close_thread(request: web.Request) -> web.Response:
    closing = await read_json(request, Closing, optional=True)
    return await _send(request, Action.CLOSE, closing.report)


async def resume_all(request: web.Request) -> web.Response:
    asked = await read_json(request, Resuming, optional=True)
    return respond(answer({"resumed": await request.app[BACKEND].runtime.resume_all(asked.problem)}))


async def set_model(request: web.Request) -> web.Response:
    chosen = await read_json(request, NewModel)
    return await _send(request, Action.MODEL, chosen.model)


async def _send(request: web.Request, action: Action, argument: str | None) -> web.Response:
    runtime = request.app[BACKEND].runtime
    return taken(await runtime.control(path_id(request), action, argument, key=idempotency_key(request)))
