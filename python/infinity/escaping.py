"""Text that others wrote, made fit to be shown: what cannot be seen is spelled out as ``\\uXXXX``, never left
out (S12, S13).

A character that a terminal obeys, or that changes how the characters around it look, lets a text show
less, or something else, than it holds. Dropping it would do the same. Everything that reaches a person
passes one of these functions; the escapes are those of JSON, so that escaped JSON is still the same JSON.
"""

from __future__ import annotations

import re

__all__ = ["escape", "escape_line", "escape_text", "is_visible"]

_IGNORABLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff"
    "\uffa0\ufff0-\uffff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Unicode's Default_Ignorable_Code_Point, and others that are drawn as nothing: most of them are letters or
marks to ``str.isprintable``."""

_HIDDEN = re.compile(f"[\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff\u2028\u2029{_IGNORABLE}]")
_SCRIPT = re.compile(
    # Joiners and selectors that scripts and emoji are written with: without them the text of its reader is
    # another.
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)


def escape(text: str) -> str:
    """Spell out every character that is not plainly seen, for what somebody decides by (S12).

    Args:
        text: Of a stranger. Line breaks and unusual spaces are spelled out, too.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character
        if character == " " or (character.isprintable() and not _HIDDEN.match(character))
        else _spelled(character)
        for character in text
    )


def escape_text(text: str) -> str:
    """Make a text of a conversation fit to be shown: it cannot steer a terminal, and nothing of it is left
    out.

    Args:
        text: Of a model, a tool or a person. Line breaks, tabs, spaces of all kinds, and the joiners that
            scripts need stay as they are.
    """
    if text.isascii() and text.isprintable():
        return text
    return _HIDDEN.sub(_unless_of_text, text.replace("\r\n", "\n"))


def escape_line(text: str) -> str:
    """Make a text fit for one line, such as a cell of a list.

    Args:
        text: As for ``escape_text``. Line breaks and tabs become spaces.
    """
    return " ".join(escape_text(text).split("\n")).replace("\t", " ")


def is_visible(text: str) -> bool:
    """Whether ``escape`` would leave the text as it is."""
    return escape(text) == text


def _unless_of_text(found: re.Match[str]) -> str:
    character = found[0]
    return character if character in "\n\t" or _SCRIPT.match(character) else _spelled(character)


def _spelled(character: str) -> str:
    """As JSON spells it, in UTF-16: ``\\u202e``, ``\\udb40\\udc41``."""
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place] << 8 | units[place + 1]:04x}" for place in range(0, len(units), 2))
