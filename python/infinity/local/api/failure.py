"""What goes wrong becomes one shape: ``{"error": {"code", "message", "rule"?}}`` and a status that tells the sender what to do.

4xx: stop, the request is at fault. 5xx: nothing happened, try again later (CB-3).
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import msgspec
from aiohttp import web

from infinity.errors import (
    BadRequest,
    ConfigError,
    InfinityError,
    LimitReached,
    ModelError,
    Stopped,
    StoreError,
    ToolsetError,
    UnknownThread,
)

from ..moving.failure import MoveFailed, Unconfirmed

__all__ = ["Refused", "failure", "refusal"]

logger = logging.getLogger("infinity.api")

_STATUS: tuple[tuple[type[InfinityError], int], ...] = (
    (UnknownThread, 404),
    (BadRequest, 400),
    (ConfigError, 400),
    (LimitReached, 429),
    (Unconfirmed, 502),
    (MoveFailed, 409),
    (ToolsetError, 502),
    (ModelError, 502),
    (Stopped, 503),
    (StoreError, 503),
)
_LEAST_FREE = 1 << 20


class Refused(InfinityError):
    """A request that its status alone explains: authentication, host, size, type, state."""

    def __init__(self, status: int, code: str, text: str, rule: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.wire_code = code
        self.rule = rule


def failure(error: Exception, home: Path) -> web.Response:
    """The response for an error that a handler raised."""
    if isinstance(error, Refused):
        return refusal(error.status, error.wire_code, str(error), error.rule)
    if isinstance(error, web.HTTPException):
        return _http_failure(error)
    if isinstance(error, InfinityError):
        for kind, status in _STATUS:
            if isinstance(error, kind):
                if status == 503 and isinstance(error, StoreError) and _full(home):
                    status = 507
                return refusal(status, error.code, str(error), getattr(error, "rule", None))
    logger.error("a request failed: %s", type(error).__name__, exc_info=error)
    return refusal(500, "internal", "something failed inside the daemon; daemon.log says what")


def refusal(status: int, code: str, text: str, rule: str | None = None) -> web.Response:
    error = {"code": code, "message": text}
    if rule is not None:
        error["rule"] = rule
    response = web.Response(
        status=status, body=msgspec.json.encode({"error": error}), content_type="application/json"
    )
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if status in (429, 503):
        response.headers["Retry-After"] = "1"
    return response


def _http_failure(error: web.HTTPException) -> web.Response:
    """aiohttp's own refusals, in our shape."""
    if error.status == 404:
        return refusal(404, "no_route", "there is no such path; GET /openapi.json lists them")
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        response = refusal(405, "method", f"this path answers to {allowed} only")
        response.headers["Allow"] = allowed
        return response
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return refusal(413, "too_large", "the body is larger than this daemon accepts (limits.message_bytes)")
    return refusal(error.status, "bad_request" if error.status < 500 else "internal", error.reason)


def _full(home: Path) -> bool:
    """Whether the disk explains a store that cannot write."""
    try:
        return shutil.disk_usage(home).free < _LEAST_FREE
    except OSError:
        return False
