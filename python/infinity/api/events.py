"""Events: where a client's cursor stands in a thread's stream."""

from __future__ import annotations

import msgspec

from infinity._core import header_json
from infinity.abc import ThreadRow
from infinity.errors import BadRequest

__all__ = ["cursor"]


def cursor(text: str | None, row: ThreadRow) -> int | None:
    """``text``: the id of an event, or ``latest``; ``None``: from the beginning."""
    if text is None:
        return None
    end = int(msgspec.json.decode(header_json(row.header))["feed"]) - 1
    if text == "latest":
        return end
    if text.removeprefix("-").isascii() and text.removeprefix("-").isdigit() and len(text) <= 18:
        # A cursor from before a database was put back may be ahead of it; what comes next must not be skipped.
        return min(max(int(text), -1), end)
    raise BadRequest("Last-Event-ID and 'after' must be the id of an event of this stream, or 'latest'")
