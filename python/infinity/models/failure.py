"""What went wrong at the provider, as one of our errors: by HTTP status and ``error.type``."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

import msgspec

from infinity.errors import (
    ContextTooLong,
    InvalidModelRequest,
    ModelAuthentication,
    ModelError,
    ModelUnavailable,
    Overloaded,
    RateLimited,
)

from .events import ErrorBody, Failure
from .too_long import is_context_too_long

_BY_STATUS: dict[int, type[ModelError]] = {
    400: InvalidModelRequest,
    401: ModelAuthentication,
    402: ModelAuthentication,
    403: ModelAuthentication,
    404: InvalidModelRequest,
    408: ModelUnavailable,
    409: ModelUnavailable,
    413: ContextTooLong,
    425: ModelUnavailable,
    429: RateLimited,
    529: Overloaded,
}

_BY_TYPE: dict[str, type[ModelError]] = {
    "invalid_request_error": InvalidModelRequest,
    "authentication_error": ModelAuthentication,
    "billing_error": ModelAuthentication,
    "permission_error": ModelAuthentication,
    "not_found_error": InvalidModelRequest,
    "request_too_large": ContextTooLong,
    "rate_limit_error": RateLimited,
    "overloaded_error": Overloaded,
}

_ADVICE: dict[type[ModelError], str] = {
    ModelAuthentication: "; check the API key and the account behind it",
    ContextTooLong: "; compact the thread",
}

_MESSAGE_CHARS = 500
_MOST_SECONDS = 1e9


def by_status(status: int) -> type[ModelError]:
    kind = _BY_STATUS.get(status)
    if kind is None:
        kind = ModelUnavailable if status >= 500 else InvalidModelRequest
    return kind


def from_response(status: int, body: bytes, headers: Mapping[str, str]) -> ModelError:
    """The error for an answer other than 200. ``headers`` must be looked up without regard to case."""
    try:
        answer = msgspec.json.decode(body, type=ErrorBody)
    except msgspec.DecodeError:
        answer = ErrorBody()
    kind = by_status(status)
    request_id = headers.get("request-id") or answer.request_id
    return error_of(
        kind, answer.error, status=status, retry_after=retry_after(headers), request_id=request_id
    )


def from_answer(body: bytes, headers: Mapping[str, str]) -> ModelError | None:
    """The error that an answer of 200 tells of in JSON, where a stream should be; ``None`` if it tells of none."""
    try:
        answer = msgspec.json.decode(body, type=ErrorBody)
    except msgspec.DecodeError:
        return None
    return from_event(answer.error, headers) if answer.error.type or answer.error.message else None


def from_event(failure: Failure | None, headers: Mapping[str, str]) -> ModelError:
    """The error for an ``error`` event in the middle of a stream; unknown types are the provider's trouble."""
    failure = failure or Failure()
    return error_of(
        _BY_TYPE.get(failure.type, ModelUnavailable),
        failure,
        status=None,
        retry_after=None,
        request_id=headers.get("request-id"),
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the provider asks to wait: ``retry-after-ms``, or ``retry-after`` in seconds or as a date; ``None`` if it names none.

    Never negative, never nan, never more than ``_MOST_SECONDS``; how long a wait may be is the engine's to say.
    """
    try:
        seconds = _advice(headers)
    except (ValueError, TypeError, OverflowError, OSError, IndexError, AttributeError):
        return None  # advice that cannot be read is no advice; the caller has its own back-off
    if seconds is None or math.isnan(seconds):
        return None
    return min(max(0.0, seconds), _MOST_SECONDS)


def _advice(headers: Mapping[str, str]) -> float | None:
    if milliseconds := headers.get("retry-after-ms"):
        return float(milliseconds) / 1000
    value = (headers.get("retry-after") or "").strip()
    if not value:
        return None
    if value[0].isdigit():
        return float(value)
    from email.utils import parsedate_to_datetime

    # The answer's own date, where there is one, is free of our clock's error.
    sent = headers.get("date")
    now = parsedate_to_datetime(sent).timestamp() if sent else time.time()
    return parsedate_to_datetime(value).timestamp() - now


def error_of(
    kind: type[ModelError],
    failure: Failure,
    *,
    status: int | None = None,
    retry_after: float | None = None,
    request_id: str | None = None,
) -> ModelError:
    """An error whose text says what was answered and what to do about it."""
    if kind is InvalidModelRequest and is_context_too_long(failure.message, failure.type):
        kind = ContextTooLong
    what = failure.type or (f"HTTP {status}" if status else "error")
    text = f"the model provider answered {what}"
    if status and failure.type:
        text += f" (HTTP {status})"
    if failure.message:
        text += f": {failure.message[:_MESSAGE_CHARS]}"
    text += _ADVICE.get(kind, "")
    if request_id:
        text += f" [request {request_id}]"
    return kind(text, status=status, retry_after=retry_after)
