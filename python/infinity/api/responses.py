"""An answer: a status, headers, and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

__all__ = ["Answer", "answer"]

_encode = msgspec.json.Encoder().encode


class Answer(NamedTuple):
    """``body``: JSON in UTF-8; ``headers``: those beside its type."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}


def answer(value: Any, *, status: int = 200) -> Answer:
    return Answer(status, _encode(value))
