"""How many tokens a request has at least, by its characters: for refusals that do not say that it is too long."""

from __future__ import annotations

from typing import Any

import msgspec

from infinity.abc.model import ModelRequest

__all__ = ["least_tokens", "likely_tokens", "overfull"]

_MOST_CHARS_PER_TOKEN = 4
"""Of English; other texts have fewer."""
_FULL = 0.9
"""Share of the window from which on a refusal may be one for its length. What is taken for that by mistake costs a compaction, which is due soon anyway."""
_LEAST_CHARS_PER_TOKEN = 3
_MARGIN = 64
"""Tokens of a request beside its texts."""
_STATUSES = frozenset({None, 400, 413, 422, 500})
_decode = msgspec.json.Decoder().decode


def least_tokens(request: ModelRequest) -> int:
    """Without images and documents, whose tokens do not follow from their bytes."""
    return _all_characters(request) // _MOST_CHARS_PER_TOKEN


def likely_tokens(request: ModelRequest) -> int:
    """On the safe side: more than the API counts, mostly."""
    return _all_characters(request) // _LEAST_CHARS_PER_TOKEN + _MARGIN


def _all_characters(request: ModelRequest) -> int:
    return len(request.system) + len(request.tools) + _characters(_decode(request.messages))


def overfull(request: ModelRequest, status: int | None) -> bool:
    """Whether a request that was refused with this status can hardly fit the model's window, whatever the refusal says."""
    window = request.model.context_window
    full = least_tokens(request) + request.max_tokens > window * _FULL
    return bool(window) and status in _STATUSES and full


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(map(_characters, value))
    if isinstance(value, dict):
        return sum(_characters(each) for name, each in value.items() if name not in ("source", "signature"))
    return 0
