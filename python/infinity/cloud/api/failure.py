"""What goes wrong becomes an answer of the shape that every host gives it."""

from __future__ import annotations

import logging

from infinity._core import CoreError
from infinity.api.errors import Refused, refusal, status_of
from infinity.api.responses import Answer
from infinity.errors import ConfigError, InfinityError, from_core

__all__ = ["answerable", "failure"]

logger = logging.getLogger("infinity.api")


def failure(error: Exception) -> Answer:
    """The answer for an error that a handler raised. ``ConfigError`` is the deployment's, never the sender's: it is to try again (CB-3)."""
    if isinstance(error, CoreError):
        error = from_core(error)
    if isinstance(error, Refused):
        return refusal(error.status, error.wire_code, str(error), error.rule)
    if isinstance(error, OSError):
        logger.error("a request failed: %s", error)
        return refusal(503, "storage", "a service that the function needs does not answer; try again later")
    if isinstance(error, InfinityError) and (status := status_of(error)) is not None:
        if isinstance(error, ConfigError):
            status = 503
        if status >= 500:
            logger.error("a request failed: %s: %s", error.code, error)
        return refusal(status, error.code, str(error), getattr(error, "rule", None))
    logger.error("a request failed: %s", type(error).__name__, exc_info=error)
    return refusal(500, "internal", "something failed inside the function; its log says what")


def answerable(error: Exception) -> bool:
    """Whether the sender is at fault, and may read why. Anything else speaks of services behind the door, and is for the log."""
    return isinstance(error, Refused) or (
        isinstance(error, InfinityError)
        and not isinstance(error, ConfigError)
        and (status_of(error) or 500) < 500
    )
