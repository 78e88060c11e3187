"""Characters that came in halves: some languages' strings hold one half of a surrogate pair, and some
gateways cut an emoji into two pieces.

Pairs are joined; a half that stays alone becomes U+FFFD, because no store and no model API takes it.
``infinity._core.repaired`` does the same for JSON that is not decoded yet.
"""

from __future__ import annotations

from typing import Any


def whole(text: str) -> str:
    """Join the surrogate pairs of a text and replace lone halves with U+FFFD.

    Args:
        text: Any; nearly always the very same object is given back.
    """
    if text.isascii():
        return text
    # Asking the encoder is faster than looking at each character, and nearly every text passes.
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def whole_value(value: Any) -> Any:
    """Apply ``whole`` to every text and key of a JSON value.

    Args:
        value: Decoded JSON. Lists and objects are copied.

    Raises:
        RecursionError: for what is nested beyond Python's limit.
    """
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, dict):
        return {whole_value(key): whole_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [whole_value(item) for item in value]
    return value
