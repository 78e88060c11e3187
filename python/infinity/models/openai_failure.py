"""What went wrong at an OpenAI-compatible endpoint, as one of our errors: by ``error.code``, then by HTTP status."""

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
    "invalid_encrypted_content": UnreadableReasoning,
    "invalid_request_error": InvalidModelRequest,
}


def from_sdk(error: Any) -> ModelError:
    """From the SDK's ``APIStatusError``, or the ``APIError`` that it raises for an error in the middle of a stream."""
    body = error.body if isinstance(error.body, dict) else {}
    status = getattr(error, "status_code", None)
    headers = error.response.headers if status is not None else {}
    return of(body, status=status, headers=headers)


def of(
    body: Mapping[str, Any], *, status: int | None = None, headers: Mapping[str, str] | None = None
) -> ModelError:
    """``body``: the ``error`` object, of which compatible servers fill in what they like."""
    headers = headers or {}
    code, type = str(body.get("code") or ""), str(body.get("type") or "")
    described = Failure(code if code in _BY_CODE or not type else type, str(body.get("message") or ""))
    kind = _BY_CODE.get(code)
    if kind is None and status is not None:
        kind = Overloaded if status == 503 else failure.by_status(status)
    if kind is None:
        kind = _BY_CODE.get(type, ModelUnavailable)
    if kind is InvalidModelRequest and is_context_too_long(described.message):
        kind = ContextTooLong
    return failure.error_of(
        kind,
        described,
        status=status,
        retry_after=failure.retry_after(headers),
        request_id=headers.get("x-request-id"),
    )


def is_context_too_long(message: str) -> bool:
    """OpenAI has a code for it; servers that copy the API have only words.

    ``This model's maximum context length is …`` (vLLM and many others), ``exceeds the available context size`` (llama.cpp).
    """
    text = message.lower()
    return "maximum context length" in text or "exceeds the available context size" in text
