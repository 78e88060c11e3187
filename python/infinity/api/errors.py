"""Errors and refusals on the wire: one shape, ``{"error": {"code", "message", "rule"?}}``, and a status that tells the sender what to do.

4xx: stop, the request is at fault. 5xx: nothing happened, try again later (CB-3). Both hosts use these two tables and have none of their own: one gives the
status of each class of error, one that of what becomes of a message (I2).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import msgspec

from infinity._core import CoreError
from infinity.abc import Accepted, Status
from infinity.errors import (
    BadRequest,
    ConfigError,
    InfinityError,
    LimitReached,
    ModelError,
    MoveFailed,
    MoveUnconfirmed,
    NoFork,
    Stopped,
    StoreError,
    ThreadDeleted,
    ToolsetError,
    UnknownThread,
    from_core,
)

from .responses import Error, ErrorDetail, Response, Taken, respond

__all__ = [
    "CALLBACK_RULES",
    "Refused",
    "accepted",
    "at_fault",
    "failure",
    "no_method",
    "no_route",
    "refusal",
    "status_of",
    "taken",
]

logger = logging.getLogger("infinity.api")


class Refused(InfinityError):
    """A request that its status alone explains: authentication, host, size, type, state."""

    def __init__(self, status: int, code: str, text: str, rule: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.rule = rule


_STATUS: tuple[tuple[type[InfinityError], int], ...] = (
    (ThreadDeleted, 410),
    (UnknownThread, 404),
    (BadRequest, 400),
    (LimitReached, 429),
    (NoFork, 409),
    (MoveUnconfirmed, 502),
    (MoveFailed, 409),
    (ToolsetError, 502),
    (ModelError, 502),
    # The host's settings are wrong, which no sender can help: it is to try again (CB-3).
    (ConfigError, 503),
    (Stopped, 503),
    (StoreError, 503),
)

_REFUSALS: dict[Status, tuple[int, str]] = {
    Status.UNKNOWN_THREAD: (404, "thread not found"),
    Status.MOVED: (410, "the conversation is out of service here"),
    Status.DELETED: (410, "the conversation was deleted"),
    Status.UNKNOWN_CALL: (404, "the thread has no call with this id"),
    Status.REUSED: (
        409,
        "this Idempotency-Key was used for something else; use a new key for each request, and the same one to repeat it",
    ),
    Status.NOT_PENDING: (409, "this is no longer pending"),
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


def status_of(error: Exception) -> int | None:
    """``None``: a failure of ours, which no class of error explains."""
    if isinstance(error, Refused):
        return error.status
    return next((status for kind, status in _STATUS if isinstance(error, kind)), None)


def at_fault(error: Exception) -> bool:
    """Whether the sender is at fault, and may read why. Any other error speaks of what is behind the API, and is for the log (S9)."""
    return (status_of(error) or 500) < 500


def failure(error: Exception) -> Response:
    """The response for an error that a handler raised."""
    if isinstance(error, CoreError):
        error = from_core(error)
    if isinstance(error, OSError):
        logger.error("a request failed: %s", error)
        return refusal(503, "storage", "a service that this host needs does not answer; try again later")
    status = status_of(error)
    if status is None:
        logger.error("a request failed: %s", type(error).__name__, exc_info=error)
        return refusal(
            500,
            "internal",
            "the request failed because of an error in Infinity; the host's log has the details",
        )
    assert isinstance(error, InfinityError)
    if status >= 500 and not isinstance(error, Refused):
        logger.error("a request failed: %s: %s", error.code, error)
    return refusal(status, error.code, str(error), error.rule)


def refusal(status: int, code: str, text: str, rule: str | None = None) -> Response:
    made = respond(Error(ErrorDetail(code, text, rule)), status=status)
    if status == 401:
        return made._replace(headers={"WWW-Authenticate": "Bearer"})
    if status in (429, 503):
        return made._replace(headers={"Retry-After": "1"})
    return made


def no_route() -> Response:
    return refusal(404, "no_route", "path not found; GET /openapi.json lists every path")


def no_method(allowed: Iterable[str]) -> Response:
    names = ", ".join(sorted(allowed))
    return refusal(405, "method", f"this path supports {names} only")._replace(headers={"Allow": names})


def taken(outcome: Accepted) -> Response:
    """For people and programs that send a message to a thread: one that a closed thread discards is refused."""
    if outcome.status is Status.DISCARDED:
        return refusal(409, "closed", "the thread is closed and takes no more messages")
    return accepted(outcome)


def accepted(outcome: Accepted, *, rule: str | None = None) -> Response:
    """200 once the message is durable, was before, or is discarded on record; else a 4xx, so that the sender stops (CB-2),
    or a 503, so that it sends it again (SUB-9)."""
    if outcome.status in _REFUSALS:
        status, text = _REFUSALS[outcome.status]
        return refusal(status, outcome.status.value, text, rule)
    message = outcome.message
    return respond(Taken(outcome.status.value, message.id if message is not None else msgspec.UNSET))
