"""One run of a function and how it ended."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

__all__ = ["MAX_PAYLOAD", "Invocation", "Outcome", "failed"]

MAX_PAYLOAD = 6 << 20
"""Bytes of a synchronous request, and of any response."""


@dataclass(frozen=True)
class Invocation:
    """One event: JSON bytes, an id and a trace header."""

    payload: bytes
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    trace: str = field(
        default_factory=lambda: f"Root=1-{uuid.uuid4().hex[:8]}-{uuid.uuid4().hex[:24]};Sampled=0"
    )


@dataclass(frozen=True)
class Outcome:
    """``error`` is ``None`` or ``"Unhandled"``, as the header ``X-Amz-Function-Error`` says it; the payload
    then describes the error.
    """

    payload: bytes
    error: str | None = None

    def value(self) -> Any:
        """The payload's JSON."""
        return json.loads(self.payload) if self.payload else None


def failed(kind: str, message: str, **more: Any) -> Outcome:
    """The outcome of a run that failed. ``kind`` is the error's type as Lambda names it; ``more`` are further
    members.
    """
    return Outcome(json.dumps({"errorType": kind, "errorMessage": message, **more}).encode(), "Unhandled")
