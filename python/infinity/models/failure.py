"""What went wrong at the provider, as one of our errors: by HTTP status and ``error.type``.

The class decides what the engine does (wait and try again, make the request simpler, park the thread),
so the status and the provider's own code decide the class, never the words of a message; length is the
exception (``too_long``). Texts are for people and never carry a secret: adapters redact them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

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

from .events import Failure
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

_ADDRESS = frozenset({404, 405})
"""Statuses of an address that is not that of the API, or of a model that is not there."""

_MESSAGE_CHARS = 500
"""Characters of a provider's message that are repeated."""
_MOST_SECONDS = 1e9


def by_status(status: int) -> type[ModelError]:
    """The class for an HTTP status, where nothing more is known.

    Args:
        status: 400 or above.
    """
    kind = _BY_STATUS.get(status)
    if kind is None:
        # What no table knows: the server's trouble is waited for, the request's is not.
        kind = ModelUnavailable if status >= 500 else InvalidModelRequest
    return kind


def number_in(code: Any) -> int:
    """The HTTP status that a provider's error code is, 0 if it is none.

    Args:
        code: of any type.
    """
    text = _text(code)
    return int(text) if len(text) == 3 and text.isascii() and text.isdecimal() and int(text) >= 400 else 0


def from_response(status: int, body: bytes, headers: Mapping[str, str]) -> ModelError:
    """The error for an answer other than 200.

    Args:
        status: of the answer.
        body: JSON in any of the forms that providers and gateways have, or a text of a proxy.
        headers: looked up without regard to case.
    """
    answer = _decoded(body)
    error = described(answer)
    answered = Failure(_text(error.get("type") or error.get("code") or error.get("status")), words(error))
    request_id = headers.get("request-id") or (
        _text(answer.get("request_id")) if isinstance(answer, dict) else ""
    )
    return error_of(
        by_status(status), answered, status=status, retry_after=retry_after(headers), request_id=request_id
    )


def from_answer(body: bytes, headers: Mapping[str, str]) -> ModelError | None:
    """The error that an answer of 200 tells of in JSON, where a stream should be.

    Args:
        body: of the answer.
        headers: looked up without regard to case.

    Returns:
        ``None`` if it tells of none.
    """
    answer = _decoded(body)
    if not isinstance(answer, dict | list) or (isinstance(answer, dict) and "content" in answer):
        return None
    error = described(answer)
    said = Failure(_text(error.get("type")), words(error))
    return from_event(said, headers, error.get("code")) if said.type or said.message else None


def _decoded(body: bytes) -> Any:
    """A body in whatever form: JSON, or a text of a proxy."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        text = body.decode("utf-8", "replace").strip()
        return "" if text.startswith("<") else text


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def described(body: Any) -> dict[str, Any]:
    """The innermost object that describes the error.

    Of a list the first, behind ``error`` what is there, a text as its message.

    Args:
        body: decoded JSON.
    """
    # Bounded: a stranger's body may be nested without end (I15).
    for _ in range(4):
        if isinstance(body, list):
            body = body[0] if body else {}
        elif isinstance(body, dict) and isinstance(body.get("error"), dict | list):
            body = body["error"]
    if isinstance(body, str):
        return {"message": body}
    return body if isinstance(body, dict) else {}


def words(error: Mapping[str, Any]) -> str:
    """What the error says, wherever a server puts it.

    Args:
        error: from ``described``.
    """
    for name in ("message", "error", "detail", "msg", "error_message", "error_description", "reason"):
        said = error.get(name)
        if isinstance(said, str) and said:
            return said
        if said and not isinstance(said, bool | int | float):
            return msgspec.json.encode(said).decode()
    return ""


def told(error: BaseException) -> str:
    """What an exception of a library says, with its causes, on one line: the outermost often says nothing.

    Args:
        error: of aiohttp, httpx or an SDK.
    """
    said: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(said) < 3:
        text = " ".join(str(cause).split()) or type(cause).__name__
        if not any(text in each for each in said):
            said.append(text[:200])
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return ": ".join(said)


def from_event(failure: Failure | None, headers: Mapping[str, str], code: Any = None) -> ModelError:
    """The error for an ``error`` event in the middle of a stream.

    Args:
        failure: what the event says; ``None`` if it says nothing.
        headers: of the answer.
        code: an HTTP status in it. Other types that are unknown are the provider's trouble.
    """
    failure = failure or Failure()
    status = number_in(code) or number_in(failure.type)
    return error_of(
        _BY_TYPE.get(failure.type) or (by_status(status) if status else ModelUnavailable),
        failure,
        status=None,
        retry_after=None,
        request_id=headers.get("request-id"),
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the provider asks to wait.

    ``retry-after-ms``, or ``retry-after`` in seconds or as a date. Never negative, never nan, never
    more than ``_MOST_SECONDS``; how long a wait may be is the engine's to say.

    Args:
        headers: looked up without regard to case.

    Returns:
        ``None`` if it names none that can be read.
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
    """An error whose text says what was answered and what to do about it.

    Args:
        kind: its class; one for its length is found out here.
        failure: what the provider says.
        status: of the answer, where there was one.
        retry_after: seconds.
        request_id: the provider's own, for its support.
    """
    if kind is InvalidModelRequest and is_context_too_long(failure.message, failure.type):
        kind = ContextTooLong
    what = failure.type or (f"HTTP {status}" if status else "error")
    text = f"the model provider answered {what}"
    if status and failure.type:
        text += f" (HTTP {status})"
    if failure.message:
        text += f": {failure.message[:_MESSAGE_CHARS]}"
    if status in _ADDRESS:
        text += "; if the base URL of the provider is right, check the model's name"
    text += _ADVICE.get(kind, "")
    if request_id:
        text += f" [request {request_id}]"
    return kind(text, status=status, retry_after=retry_after)
