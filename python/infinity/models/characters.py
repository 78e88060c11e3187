"""Characters that came in halves: a gateway cuts an emoji into two deltas, each one half of a surrogate pair.

Pairs are joined; a half that stays alone becomes U+FFFD, because no store and no other API takes it.
"""

from __future__ import annotations

from infinity.characters import whole, whole_value

__all__ = ["Joiner", "whole", "whole_value"]


class Joiner:
    """Joins halves across the pieces of a stream.

    The first half is held back until the next piece shows whether the second follows.
    """

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held = ""

    def feed(self, piece: str) -> str:
        """Take one piece.

        Args:
            piece: as it came; it may begin or end with half of a character.

        Returns:
            What can be shown now; may be empty.
        """
        # Nearly every piece.
        if not self.held and piece.isascii():
            return piece
        text, self.held = self.held + piece, ""
        if "\ud800" <= text[-1:] <= "\udbff":
            text, self.held = text[:-1], text[-1]
        return whole(text)
