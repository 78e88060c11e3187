"""Characters that came in halves: a gateway cuts an emoji into two deltas, each one half of a surrogate pair.

Pairs are joined; a half that stays alone becomes U+FFFD, because no store and no other API takes it.
"""

from __future__ import annotations

from typing import Any


def whole(text: str) -> str:
    """The text with its surrogate pairs joined and lone ones replaced; nearly always the same object."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def whole_value(value: Any) -> Any:
    """JSON with ``whole`` applied to every text and key. ``RecursionError`` for what is nested beyond Python's limit."""
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, dict):
        return {whole_value(key): whole_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [whole_value(item) for item in value]
    return value


class Joiner:
    """Joins halves across the pieces of a stream: the first half is held back until the next piece shows whether the second follows."""

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held = ""

    def feed(self, piece: str) -> str:
        """What can be shown now; may be empty."""
        if not self.held and piece.isascii():
            return piece
        text, self.held = self.held + piece, ""
        if "\ud800" <= text[-1:] <= "\udbff":
            text, self.held = text[:-1], text[-1]
        return whole(text)
