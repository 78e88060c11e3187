"""Callbacks: what tool servers send back. The capability in the path is checked before anything else is looked at (CB-5, S1).

A tool server stops at a 4xx for good, so a refusal must not leave its call open: nobody would ever answer it. The error that ends the call is durable before
the 4xx is sent (CB-3, CB-7). A tool server is a stranger: what fails behind the API is for the log, and it is told only to try again (S9).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from infinity._core import CoreError
from infinity.abc import Accepted, Status
from infinity.errors import BadRequest, InfinityError, LimitReached, StoreError
from infinity.rap.callback_type import PREFIX, TOOL_RESULT, callback_type

from .backend import Backend, Runs
from .errors import CALLBACK_RULES, Refused, accepted, at_fault
from .requests import Request, too_large
from .responses import Response

__all__ = ["Arrived", "PassOn", "receive", "receive_callback"]

logger = logging.getLogger("infinity.callbacks")

PassOn = Callable[[str, str, bytes], Awaitable[Response | None]]
"""``Backend.pass_on``."""
_ELSEWHERE = (Status.MOVED, Status.UNKNOWN_THREAD)


@dataclass(frozen=True, slots=True)
class Arrived:
    """A callback that was read to its end, or exceeded the limit. ``body``: of what is ``refused`` already, perhaps its beginning only."""

    thread: str
    call_id: str
    body: bytes
    refused: InfinityError | None = None


async def receive_callback(backend: Backend, request: Request) -> Response:
    """200 once it is durable, or was (CB-3, CB-4); 4xx tells the sender to stop, 5xx to try again."""
    about = "a callback"
    try:
        thread, call = await _open(backend, request.parameters["token"])
        about = f"callback for call {call} of thread {thread}"
        arrived = await _arrive(request, thread, call, backend.runtime.settings.limits.callback_bytes)
        outcome, response = await receive(backend.runtime, arrived, backend.pass_on)
    except (InfinityError, CoreError, OSError) as error:
        code = error.code if isinstance(error, InfinityError) else "storage"
        if at_fault(error):
            backend.count_callback("refused" if isinstance(error, _Forged) else "malformed")
            logger.info("%s is refused: %s", about, code)
            raise
        backend.count_callback("failed")
        logger.error("%s failed: %s: %s", about, code, error)
        raise StoreError("the message could not be made durable; send it again") from error
    backend.count_callback(outcome)
    logger.debug("%s: %s, %d bytes", about, outcome, len(arrived.body))
    return response


class _Forged(Refused):
    """A token that is not one of ours."""


async def _open(backend: Backend, token: str) -> tuple[str, str]:
    try:
        return await backend.open_callback(token)
    except BadRequest as error:
        raise _Forged(403, "capability", str(error), error.rule) from None


async def _arrive(request: Request, thread: str, call: str, limit: int) -> Arrived:
    """Read to its end, or beyond the limit: what breaks off or comes too slowly changes nothing (CB-7)."""
    refused: InfinityError | None = None
    body, whole = b"", True
    try:
        request.check_json("CB-6")
    except Refused as error:
        refused = error
    if request.body is not None:
        try:
            body, whole = await request.body.read_up_to(limit, "CB-6")
        except BadRequest as error:
            refused = refused or error
    if not whole:
        refused = refused or too_large(limit, "CB-6", "limits.callback_bytes")
    return Arrived(thread, call, body if refused is None else body[:PREFIX], refused)


async def receive(runtime: Runs, arrived: Arrived, pass_on: PassOn | None = None) -> tuple[str, Response]:
    """What it counts as in metrics, and the answer. Raises the refusal, once its consequence is durable; a ``StoreError`` if that cannot be."""
    refused: InfinityError | None = arrived.refused
    if refused is None:
        try:
            outcome = await runtime.accept_callback(arrived.thread, arrived.call_id, arrived.body)
        except (BadRequest, LimitReached) as error:
            refused = error
        else:
            return await _answered(arrived, outcome, arrived.body, pass_on)
    kind = callback_type(arrived.body)
    outcome = await runtime.refuse_callback(arrived.thread, arrived.call_id, kind, refused)
    if outcome.status in _ELSEWHERE:
        # The body was not kept, so its new home is sent what this host would have made of it.
        body = _refusal_to_forward(arrived, kind, refused) if arrived.refused is not None else arrived.body
        label, response = await _answered(arrived, outcome, body, pass_on)
        if label == "moved" and response.status != 200:
            return label, response
    raise refused


async def _answered(
    arrived: Arrived, outcome: Accepted, body: bytes, pass_on: PassOn | None
) -> tuple[str, Response]:
    if outcome.status in _ELSEWHERE and pass_on is not None:
        passed_on = await pass_on(arrived.thread, arrived.call_id, body)
        if passed_on is not None:
            return "moved", passed_on
    return outcome.status.value, accepted(outcome, rule=CALLBACK_RULES.get(outcome.status))


def _refusal_to_forward(arrived: Arrived, kind: str, refused: InfinityError) -> bytes:
    """A callback of the same kind that can be forwarded and will be refused there for the same reason, or ends the call with its words."""
    message = {"type": kind, "group_id": arrived.thread, "id": arrived.call_id}
    if kind == TOOL_RESULT:
        message["text"] = f"Error: what the tool server sent was refused: {refused}"
    return msgspec.json.encode(message)
