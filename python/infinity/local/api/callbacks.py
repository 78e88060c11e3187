"""Callbacks: what tool servers send back. The capability in the path is checked before anything else is looked at (CB-5, S1)."""

from __future__ import annotations

import logging

from aiohttp import web

from infinity.abc import Status
from infinity.answers.outcome import CALLBACK_RULES
from infinity.errors import BadRequest, InfinityError

from .answers import accepted
from .backend import BACKEND, Backend
from .body import check_json, read_body
from .failure import Refused, refusal

__all__ = ["post_callback"]

logger = logging.getLogger("infinity.callbacks")


async def post_callback(request: web.Request) -> web.Response:
    """200 once it is durable, or was (CB-3, CB-4); 4xx tells the sender to stop, 5xx to try again."""
    backend = request.app[BACKEND]
    try:
        thread, call = backend.capabilities.open(request.match_info["token"])
    except BadRequest as error:
        backend.metrics.callback("refused")
        raise Refused(403, "capability", str(error), error.rule) from None
    try:
        check_json(request, "CB-6")
        body = await read_body(request, "CB-6")
        outcome = await backend.runtime.accept_callback(thread, call, body)
    except InfinityError as error:
        backend.metrics.callback("malformed" if isinstance(error, (BadRequest, Refused)) else "failed")
        logger.info("callback for call %s of thread %s: %s", call, thread, error.code)
        raise
    if outcome.status in (Status.MOVED, Status.UNKNOWN_THREAD):
        passed_on = await _pass_on(backend, thread, call, body)
        if passed_on is not None:
            backend.metrics.callback("moved")
            return passed_on
    backend.metrics.callback(outcome.status.value)
    logger.debug(
        "callback for call %s of thread %s: %s, %d bytes", call, thread, outcome.status.value, len(body)
    )
    return accepted(outcome, rule=CALLBACK_RULES.get(outcome.status))


async def _pass_on(backend: Backend, thread: str, call: str, body: bytes) -> web.Response | None:
    """For a conversation that has moved: the answer of its new home, 410 where it takes nothing more, 503 while it moves."""
    if backend.moves is None or (absent := await backend.moves.absent(thread)) is None:
        return None
    if not absent.for_good:
        return refusal(503, "moving", absent.text)
    answered = await backend.moves.departures.forward(thread, call, body)
    if answered is None:
        return refusal(410, "moved", absent.text)
    status, said = answered
    return web.Response(status=status, body=said, content_type="application/json")
