"""Entries for screens: what is too long of them is cut, because a page of a conversation may hold megabytes that nobody looks at.

What the model reads is never cut here; the whole entry has an address of its own.
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["LONGEST", "shortened"]

LONGEST = 16 << 10
"""Bytes of an entry that are shown whole."""
_TEXT = 4_000
"""Characters that are left of each text of a longer one."""
_UNREADABLE = frozenset({"data", "signature"})
"""Members whose beginning is of no use: pictures, files, and what a model signs."""


def shortened(text: bytes) -> bytes:
    """An entry's JSON as it is shown at first.

    Args:
        text: The whole, with its braces.

    Returns:
        The same, if it is short. Else with each long text cut, and with a member ``size``: the bytes of the whole.
    """
    if len(text) <= LONGEST:
        return text
    return msgspec.json.encode({**_shorter(msgspec.json.decode(text)), "size": len(text)})


def _shorter(value: Any, name: str = "") -> Any:
    if isinstance(value, str):
        if len(value) <= _TEXT:
            return value
        return "" if name in _UNREADABLE else value[:_TEXT]
    if isinstance(value, dict):
        return {key: _shorter(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_shorter(each, name) for each in value]
    return value
