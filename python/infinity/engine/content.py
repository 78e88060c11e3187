"""The door of history as a slice uses it (I11, DESIGN 5.7): what content must be before it enters, and how much of it one turn shows the model.

Whatever comes from outside passes ``entering`` or ``admitted``; ``_core.admit`` decides what a model API takes. What a turn gets to see for the first
time, results, events and what people say, shares a part of the model's window (``limits.turn_share``). What does not fit is shown head and tail and
kept whole beside its entry.
"""

from __future__ import annotations

from typing import Any

import msgspec

from infinity._core import CoreError, admit
from infinity.characters import whole_value
from infinity.engine.slice.state import Slice
from infinity.errors import BadRequest, ConfigError, from_core
from infinity.message import Block
from infinity.stamps import stamp

__all__ = [
    "CHARS_PER_TOKEN",
    "admitted",
    "check_content",
    "encode_content",
    "entering",
    "fits",
    "room",
    "shortened",
    "stamped",
]

CHARS_PER_TOKEN = 3
"""An estimate on the safe side: English has four or more, digits and most other scripts fewer."""
LEAST_CHARS = 500
"""Of any content, however full the window is: enough to say what it was."""
_FULL = 0.9
"""Share of the window that a request may fill; the rest is for what estimates miss."""
_DEFAULT_WINDOW = 200_000


def admitted(content: list[Block]) -> tuple[list[Block], list[str]]:
    """Content that the model API takes, and what was changed, in words. What cannot be used becomes a sentence for the model."""
    given = msgspec.json.encode(content)
    blocks, notes = admit(given, strict=False)
    return (content if blocks == given else msgspec.json.decode(blocks)), notes


def entering(
    current: Slice, content: list[Block], most: int | None = None
) -> tuple[list[Block], dict[str, Any]]:
    """Content for history, and what is kept beside its entry: ``whole`` of what was shortened, ``changed`` of what was put right.

    ``most``: characters that the model gets in any case at most; the turn's budget may be less.
    """
    blocks, notes = admitted(content)
    left = room(current)
    short, cut = shortened(blocks, left if most is None else min(most, left))
    meta: dict[str, Any] = {"whole": blocks} if cut else {}
    if notes:
        meta["changed"] = notes[:20]
    return short, meta


def stamped(current: Slice, content: list[Block]) -> list[Block]:
    """With the time at which it came in a block of its own (M6)."""
    zone = current.services.settings.timezone
    return [stamp(current.came_at or current.now, zone), *content] if zone else content


def room(current: Slice) -> int:
    """Characters that the next content may have: an equal share of what the turn's budget has left, for each result that is still to come."""
    window = _window(current)
    free = int(window * _FULL) - current.thread.context_tokens
    budget = min(int(window * current.limits.turn_share), max(free, window // 8)) * CHARS_PER_TOKEN
    left = budget - current.thread.unanswered_weight()
    return max(left // max(1, len(current.thread.attached())), LEAST_CHARS)


def fits(window: int, fixed: int) -> int:
    """Characters of history that a window takes beside ``fixed`` characters of instructions and tools."""
    return int(window * _FULL) * CHARS_PER_TOKEN - fixed


def _window(current: Slice) -> int:
    try:
        return current.services.models.resolve(current.thread.model)[1].context_window or _DEFAULT_WINDOW
    except ConfigError:
        return _DEFAULT_WINDOW  # The completion will say what is wrong with the model.


def shortened(content: list[Block], limit: int) -> tuple[list[Block], bool]:
    """Head and tail of what has more than ``limit`` characters of text, over all its blocks; and whether anything was cut. Images stay."""
    length = sum(len(_text(block)) for block in content)
    if length <= limit:
        return content, False
    head, tail = limit * 3 // 4, length - limit // 4
    gap = f"\n\n[… {tail - head} characters left out …]\n\n"
    short: list[Block] = []
    at = 0
    for block in content:
        text = _text(block)
        first, last = text[: max(0, head - at)], text[max(0, tail - at) :]
        if at <= head < at + len(text):
            first += gap
        at += len(text)
        if first or last:
            short.append({**block, "text": first + last})
        elif block.get("type") != "text":
            short.append(block)
    return short, True


def _text(block: Block) -> str:
    return str(block.get("text", "")) if block.get("type") == "text" else ""


def check_content(blocks: list[Block]) -> list[Block]:
    """What a person says, as history takes it (I11): base64 in its one form, media types that are true, no cache breakpoints.

    Raises:
        BadRequest: what no model could take, in words: an empty text, an image that is cut off, too large or of another kind, an unknown block.
    """
    try:
        given = encode_content(blocks)
        checked, _ = admit(given, strict=True)
    except CoreError as error:
        raise from_core(error) from None
    return blocks if checked == given else msgspec.json.decode(checked)


def encode_content(blocks: list[Block]) -> bytes:
    try:
        return msgspec.json.encode(blocks)
    except UnicodeEncodeError:
        return msgspec.json.encode(whole_value(blocks))
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise BadRequest(f"content cannot be written as JSON: {error}") from None
