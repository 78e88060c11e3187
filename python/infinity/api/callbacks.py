"""Callbacks: what becomes of one whose capability is genuine, on every host (CB-3, CB-7).

A tool server stops at a 4xx for good, so a refusal must not leave its call open: nobody would ever answer it. The error that ends the call is durable before the 4xx is sent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from infinity.abc import Accepted, Status
from infinity.api.errors import Refused
from infinity.api.responses import Answer
from infinity.errors import BadRequest, InfinityError, LimitReached
from infinity.rap.callback_type import TOOL_RESULT, callback_type

from .outcome import CALLBACK_RULES, accepted
from .runs import Runs

__all__ = ["Arrived", "PassOn", "receive"]

PassOn = Callable[[str, str, bytes], Awaitable[Answer | None]]
"""For a conversation that has moved: thread, call and body; the answer of its new home, ``None`` if it is not elsewhere."""
_ELSEWHERE = (Status.MOVED, Status.UNKNOWN_THREAD)


@dataclass(frozen=True, slots=True)
class Arrived:
    """A callback that was read to its end, or exceeded the limit. ``body``: of what is ``refused`` already, perhaps its beginning only."""

    thread: str
    call_id: str
    body: bytes
    refused: Refused | None = None


async def receive(runtime: Runs, arrived: Arrived, pass_on: PassOn | None = None) -> tuple[str, Answer]:
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
        # Of a body that was not kept, its new home hears what this one would have made of it.
        body = _told(arrived, kind, refused) if arrived.refused is not None else arrived.body
        label, answer = await _answered(arrived, outcome, body, pass_on)
        if label == "moved" and answer.status != 200:
            return label, answer
    raise refused


async def _answered(
    arrived: Arrived, outcome: Accepted, body: bytes, pass_on: PassOn | None
) -> tuple[str, Answer]:
    if outcome.status in _ELSEWHERE and pass_on is not None:
        passed_on = await pass_on(arrived.thread, arrived.call_id, body)
        if passed_on is not None:
            return "moved", passed_on
    return outcome.status.value, accepted(outcome, rule=CALLBACK_RULES.get(outcome.status))


def _told(arrived: Arrived, kind: str, refused: InfinityError) -> bytes:
    """A callback of the same kind that can be forwarded and will be refused there for the same reason, or ends the call with its words."""
    told = {"type": kind, "group_id": arrived.thread, "id": arrived.call_id}
    if kind == TOOL_RESULT:
        told["text"] = f"Error: what the tool server sent was refused: {refused}"
    return msgspec.json.encode(told)
