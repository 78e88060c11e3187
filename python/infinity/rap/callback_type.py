"""What kind of callback a refused body was meant to be, read from its first bytes however broken the rest
is (CB-7).

A refused result ends its call with an error, whereas a refused event or view leaves the call as it is;
so the type has to be known although the body could not be read. This is not JSON parser: it finds one
key and bounds its work, and nothing of what it finds is used for anything else.
"""

from __future__ import annotations

import re

import msgspec

__all__ = ["PREFIX", "TOOL_RESULT", "callback_type"]

PREFIX = 64 << 10
"""Bytes that are looked at."""
TOOL_RESULT = "tool_result"
_KNOWN = frozenset({TOOL_RESULT, "subscription_event", "oauth", "user_choice", "view_update"})
# A text that is cut off reaches to the end, so that nothing is looked at twice.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[{}\[\]:,]', re.DOTALL)


def callback_type(body: bytes) -> str:
    """The ``type`` of the outermost object.

    Args:
        body: what was refused; it may be truncated, malformed or not JSON at all.

    Returns:
        One of the five types. What has none, or an unknown one, counts as a result: its call waits for
        one.
    """
    depth, key, after_colon = 0, b"", False
    for match in _TOKEN.finditer(body, 0, PREFIX):
        token = match.group()
        if token in (b"{", b"["):
            depth += 1
            key, after_colon = b"", False
        elif token in (b"}", b"]"):
            depth -= 1
        elif depth != 1:
            # Only keys of the outermost object count: content may hold a "type" of its own.
            continue
        elif token == b",":
            key, after_colon = b"", False
        elif token == b":":
            after_colon = True
        elif not after_colon:
            key = token
        elif _text(key) == "type":
            # The body is refused already; this decides only what ends with it.
            return found if (found := _text(token)) in _KNOWN else TOOL_RESULT
    return TOOL_RESULT


def _text(token: bytes) -> str:
    try:
        return msgspec.json.decode(token, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
