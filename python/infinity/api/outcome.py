"""What became of a message, as its sender hears it (I2)."""

from __future__ import annotations

from infinity.abc import Accepted, Status
from infinity.api.errors import refusal
from infinity.api.responses import Answer, answer

__all__ = ["CALLBACK_RULES", "accepted", "taken"]

_REFUSALS: dict[Status, tuple[int, str]] = {
    Status.UNKNOWN_THREAD: (404, "there is no such thread"),
    Status.MOVED: (410, "the conversation is out of service here"),
    Status.DELETED: (410, "the conversation was deleted"),
    Status.UNKNOWN_CALL: (404, "this thread has no such call"),
    Status.REUSED: (
        409,
        "this Idempotency-Key was used for something else; use a new key for each request, and the same one to repeat it",
    ),
    Status.NOT_PENDING: (409, "this is not pending any more"),
    Status.NOT_SUBSCRIBED: (409, "this call has no active subscription"),
    Status.FULL: (503, "too many events wait for this call's result; send it again later"),
}

CALLBACK_RULES: dict[Status, str] = {
    Status.UNKNOWN_THREAD: "CB-2",
    Status.UNKNOWN_CALL: "CB-2",
    Status.NOT_PENDING: "CB-2",
    Status.NOT_SUBSCRIBED: "SUB-1",
    Status.FULL: "SUB-9",
}
"""The rule by which a callback is refused."""


def taken(outcome: Accepted) -> Answer:
    """For people and programs that talk to a thread: what a closed thread discards has not been said."""
    if outcome.status is Status.DISCARDED:
        return refusal(409, "closed", "the thread is closed; nothing more can be said to it")
    return accepted(outcome)


def accepted(outcome: Accepted, *, rule: str | None = None) -> Answer:
    """200 once the message is durable, was before, or is discarded on record; else a 4xx, so that the sender stops (CB-2),
    or a 503, so that it sends it again (SUB-9)."""
    if outcome.status in _REFUSALS:
        status, text = _REFUSALS[outcome.status]
        return refusal(status, outcome.status.value, text, rule)
    body = {"status": outcome.status.value}
    if outcome.message is not None:
        body["id"] = outcome.message.id
    return answer(body)
