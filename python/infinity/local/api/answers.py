"""Answers: JSON, and what became of a message (I2)."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from infinity.abc import Accepted, Status

from .failure import refusal

__all__ = ["accepted", "answer", "taken"]

_encode = msgspec.json.Encoder().encode

_REFUSALS: dict[Status, tuple[int, str]] = {
    Status.UNKNOWN_THREAD: (404, "there is no such thread"),
    Status.MOVED: (410, "the conversation is out of service here"),
    Status.UNKNOWN_CALL: (404, "this thread has no such call"),
    Status.NOT_PENDING: (409, "this is not pending any more"),
    Status.NOT_SUBSCRIBED: (409, "this call has no active subscription"),
}


def answer(value: Any, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=_encode(value), content_type="application/json")


def taken(outcome: Accepted) -> web.Response:
    """For people and programs that talk to a thread: what a closed thread discards has not been said."""
    if outcome.status is Status.DISCARDED:
        return refusal(409, "closed", "the thread is closed; nothing more can be said to it")
    return accepted(outcome)


def accepted(outcome: Accepted, *, rule: str | None = None) -> web.Response:
    """200 once the message is durable, was before, or is discarded on record; else a 4xx, so that the sender stops (CB-2)."""
    if outcome.status in _REFUSALS:
        status, text = _REFUSALS[outcome.status]
        return refusal(status, outcome.status.value, text, rule)
    body = {"status": outcome.status.value}
    if outcome.message is not None:
        body["id"] = outcome.message.id
    return answer(body)
