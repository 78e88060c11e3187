"""How many tokens a request has at least, by its characters.

For refusals that do not say that the request is too long, and for endpoints that do not count.
Estimates, each on the side on which an error is cheap.
"""

from __future__ import annotations

from typing import Any

import msgspec

from infinity.abc.model import ModelRequest

__all__ = ["least_tokens", "likely_tokens", "overfull"]

_MOST_CHARS_PER_TOKEN = 4
"""Of English; other texts have fewer."""
_FULL = 0.9
"""Share of the window from which on a refusal may be one for its length.

What is taken for that by mistake costs a compaction, which is due soon anyway.
"""
_LEAST_CHARS_PER_TOKEN = 3
_MARGIN = 64
"""Tokens of a request beside its texts."""
# With 500: some servers fail on what they should refuse.
_STATUSES = frozenset({None, 400, 413, 422, 500})
_decode = msgspec.json.Decoder().decode


def least_tokens(request: ModelRequest) -> int:
    """At least so many tokens. Images and documents do not count: their tokens do not follow from their
    bytes.

    Args:
        request: as it is sent.
    """
    return _all_characters(request) // _MOST_CHARS_PER_TOKEN


def likely_tokens(request: ModelRequest) -> int:
    """About so many tokens, on the safe side: more than the API counts, mostly.

    Args:
        request: as it is sent.
    """
    return _all_characters(request) // _LEAST_CHARS_PER_TOKEN + _MARGIN


def _all_characters(request: ModelRequest) -> int:
    return len(request.system) + len(request.tools) + _characters(_decode(request.messages))


def overfull(request: ModelRequest, status: int | None) -> bool:
    """Whether a refused request can hardly fit the model's window, whatever the refusal says.

    Args:
        request: as it was sent.
        status: the HTTP status of the refusal; ``None`` if it came in a stream.
    """
    window = request.model.context_window
    full = least_tokens(request) + request.max_tokens > window * _FULL
    return bool(window) and status in _STATUSES and full


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(map(_characters, value))
    if isinstance(value, dict):
        # Neither an image's bytes nor a signature counts by its characters.
        return sum(_characters(each) for name, each in value.items() if name not in ("source", "signature"))
    return 0
