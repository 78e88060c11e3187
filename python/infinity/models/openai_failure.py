"""What went wrong at an OpenAI-compatible endpoint, as one of our errors: by ``error.code``, then by HTTP
status.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infinity.errors import (
    ContextTooLong,
    InvalidModelRequest,
    ModelAuthentication,
    ModelError,
    ModelRefused,
    ModelUnavailable,
    Overloaded,
    RateLimited,
)

from . import failure
from .events import Failure
from .too_long import is_context_too_long


class UnreadableReasoning(InvalidModelRequest):
    """The endpoint cannot decrypt reasoning that is said to be its own."""


_BY_CODE: dict[str, type[ModelError]] = {
    "billing_hard_limit_reached": ModelAuthentication,
    "billing_not_active": ModelAuthentication,
    # A 429 that no waiting cures: the account has no money.
    "insufficient_quota": ModelAuthentication,
    "invalid_api_key": ModelAuthentication,
    "context_length_exceeded": ContextTooLong,
    "bio_policy": ModelRefused,
    "content_filter": ModelRefused,
    "content_policy_violation": ModelRefused,
    "cyber_policy": ModelRefused,
    "image_content_policy_violation": ModelRefused,
    "invalid_prompt": ModelRefused,
    "misalignment_policy_violation": ModelRefused,
    "rate_limit_exceeded": RateLimited,
    "rate_limit_error": RateLimited,
    "server_error": ModelUnavailable,
    "server_is_overloaded": Overloaded,
    "slow_down": Overloaded,
    "overloaded_error": Overloaded,
    # The model's own generation was no valid call or JSON: another one may be.
    "json_validate_failed": ModelUnavailable,
    "malformed_function_call": ModelUnavailable,
    "output_parse_failed": ModelUnavailable,
    "tool_call_parse_failed": ModelUnavailable,
    "tool_use_failed": ModelUnavailable,
    "invalid_encrypted_content": UnreadableReasoning,
    "invalid_request_error": InvalidModelRequest,
}


def from_sdk(error: Any) -> ModelError:
    """The error for one of the SDK.

    Args:
        error: its ``APIStatusError``, or the ``APIError`` that it raises for an error in the middle of
            a stream.
    """
    status = getattr(error, "status_code", None)
    headers = error.response.headers if status is not None else {}
    return of(error.body, status=status, headers=headers)


def of(body: Any, *, status: int | None = None, headers: Mapping[str, str] | None = None) -> ModelError:
    """The error that an endpoint describes.

    Args:
        body: the ``error`` object, of which compatible servers fill in what they like, or what stands
            in its place.
        status: of the answer; ``None`` in the middle of a stream.
        headers: of the answer.
    """
    headers = headers or {}
    error = failure.described(body)
    code, named = str(error.get("code") or ""), str(error.get("type") or error.get("status") or "")
    # The more telling of the two, for people.
    described = Failure(code if code.lower() in _BY_CODE or not named else named, failure.words(error))
    kind = ModelUnavailable if error.get("failed_generation") else _BY_CODE.get(code.lower())
    # Routers give the status of the server behind them as the code of an error in a stream, or in an answer
    # of 200.
    number = status or failure.number_in(code)
    if kind is None and number >= 400:
        kind = Overloaded if status == 503 else failure.by_status(number)
    if kind is None:
        kind = _BY_CODE.get(named, ModelUnavailable)
    if kind is InvalidModelRequest and is_context_too_long(described.message, code, named):
        kind = ContextTooLong
    return failure.error_of(
        kind,
        described,
        status=status,
        retry_after=failure.retry_after(headers),
        request_id=headers.get("x-request-id"),
    )
