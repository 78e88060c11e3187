"""What goes wrong becomes an answer of the shape that every host gives it."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from aiohttp import web

from infinity._core import CoreError
from infinity.api import errors as failures
from infinity.api.errors import Refused, no_method, no_route, status_of
from infinity.errors import InfinityError, StoreError, from_core

from ..moving.failure import MoveFailed, Unconfirmed
from .answers import respond

__all__ = ["Refused", "failure", "refusal"]

logger = logging.getLogger("infinity.api")

_LEAST_FREE = 1 << 20


def failure(error: Exception, home: Path) -> web.Response:
    """The response for an error that a handler raised."""
    if isinstance(error, CoreError):
        error = from_core(error)
    if isinstance(error, Refused):
        return refusal(error.status, error.wire_code, str(error), error.rule)
    if isinstance(error, web.HTTPException):
        return _http_failure(error)
    if isinstance(error, InfinityError) and (status := _status(error, home)) is not None:
        return refusal(status, error.code, str(error), getattr(error, "rule", None))
    logger.error("a request failed: %s", type(error).__name__, exc_info=error)
    return refusal(500, "internal", "something failed inside the daemon; daemon.log says what")


def _status(error: InfinityError, home: Path) -> int | None:
    if isinstance(error, MoveFailed):
        return 502 if isinstance(error, Unconfirmed) else 409
    if isinstance(error, StoreError) and _full(home):
        return 507
    return status_of(error)


def refusal(status: int, code: str, text: str, rule: str | None = None) -> web.Response:
    return respond(failures.refusal(status, code, text, rule))


def _http_failure(error: web.HTTPException) -> web.Response:
    """aiohttp's own refusals, in our shape."""
    if error.status == 404:
        return respond(no_route())
    if isinstance(error, web.HTTPMethodNotAllowed):
        return respond(no_method(error.allowed_methods))
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return refusal(413, "too_large", "the body is larger than this daemon accepts (limits.message_bytes)")
    return refusal(error.status, "bad_request" if error.status < 500 else "internal", error.reason)


def _full(home: Path) -> bool:
    """Whether the disk explains a store that cannot write."""
    try:
        return shutil.disk_usage(home).free < _LEAST_FREE
    except OSError:
        return False
