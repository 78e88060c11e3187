"""What goes wrong becomes one shape: ``{"error": {"code", "message", "rule"?}}`` and a status that tells the sender what to do.

4xx: stop, the request is at fault. 5xx: nothing happened, try again later (CB-3).
"""

from __future__ import annotations

from collections.abc import Iterable

from infinity.api.responses import Answer, answer
from infinity.errors import (
    BadRequest,
    ConfigError,
    InfinityError,
    LimitReached,
    ModelError,
    Stopped,
    StoreError,
    ThreadDeleted,
    ToolsetError,
    UnknownThread,
)

__all__ = ["Refused", "no_method", "no_route", "refusal", "status_of"]

_STATUS: tuple[tuple[type[InfinityError], int], ...] = (
    (ThreadDeleted, 410),
    (UnknownThread, 404),
    (BadRequest, 400),
    (ConfigError, 400),
    (LimitReached, 429),
    (ToolsetError, 502),
    (ModelError, 502),
    (Stopped, 503),
    (StoreError, 503),
)


class Refused(InfinityError):
    """A request that its status alone explains: authentication, host, size, type, state."""

    def __init__(self, status: int, code: str, text: str, rule: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.wire_code = code
        self.rule = rule


def status_of(error: InfinityError) -> int | None:
    """``None``: a failure of ours, which no class of error explains."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), None)


def refusal(status: int, code: str, text: str, rule: str | None = None) -> Answer:
    error = {"code": code, "message": text}
    if rule is not None:
        error["rule"] = rule
    made = answer({"error": error}, status=status)
    if status == 401:
        return made._replace(headers={"WWW-Authenticate": "Bearer"})
    if status in (429, 503):
        return made._replace(headers={"Retry-After": "1"})
    return made


def no_route() -> Answer:
    return refusal(404, "no_route", "there is no such path; GET /openapi.json lists them")


def no_method(allowed: Iterable[str]) -> Answer:
    names = ", ".join(sorted(allowed))
    made = refusal(405, "method", f"this path answers to {names} only")
    return made._replace(headers={"Allow": names})
