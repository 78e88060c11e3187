"""Callbacks: what tool servers send back. The capability in the path is checked before anything else is looked at (CB-5, S1)."""

from __future__ import annotations

import logging

from aiohttp import web

from infinity.api.callbacks import Arrived, receive
from infinity.api.errors import Refused, refusal
from infinity.api.requests import too_large
from infinity.api.responses import Answer
from infinity.errors import BadRequest, InfinityError, LimitReached
from infinity.rap.callback_type import PREFIX

from .answers import respond
from .backend import BACKEND, Backend
from .body import check_type, read_up_to

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

    async def pass_on(thread: str, call: str, body: bytes) -> Answer | None:
        return await _pass_on(backend, thread, call, body)

    try:
        arrived = await _arrive(request, thread, call)
        label, answered = await receive(backend.runtime, arrived, pass_on)
    except InfinityError as error:
        refused = isinstance(error, (BadRequest, LimitReached, Refused))
        backend.metrics.callback("malformed" if refused else "failed")
        logger.info("callback for call %s of thread %s: %s", call, thread, error.code)
        raise
    backend.metrics.callback(label)
    logger.debug("callback for call %s of thread %s: %s, %d bytes", call, thread, label, len(arrived.body))
    return respond(answered)


async def _arrive(request: web.Request, thread: str, call: str) -> Arrived:
    """Read to its end, or beyond the limit: what breaks off or comes too slowly changes nothing (CB-7)."""
    limit = request.app[BACKEND].max_callback
    refused: Refused | None = None
    try:
        check_type(request, "CB-6")
    except Refused as error:
        refused = error
    announced = request.content_length
    if announced is not None and announced > limit:
        body, _ = await read_up_to(request, PREFIX, "CB-6")
        return Arrived(thread, call, body, refused or _too_large(limit))
    body, whole = await read_up_to(request, limit, "CB-6")
    if not whole:
        return Arrived(thread, call, body[:PREFIX], refused or _too_large(limit))
    return Arrived(thread, call, body, refused)


def _too_large(limit: int) -> Refused:
    return too_large(limit, "CB-6", "limits.callback_bytes")


async def _pass_on(backend: Backend, thread: str, call: str, body: bytes) -> Answer | None:
    """For a conversation that has moved: the answer of its new home, 410 where it takes nothing more, 503 while it moves."""
    if backend.moves is None or (absent := await backend.moves.absent(thread)) is None:
        return None
    if not absent.for_good:
        return refusal(503, "moving", absent.text)
    answered = await backend.moves.departures.forward(thread, call, body)
    if answered is None:
        return refusal(410, "moved", absent.text)
    status, said = answered
    return Answer(status, said)
