"""Callbacks that are too large are shortened, not refused: a part of a result is worth more to a model
than an error about its size.

What is taken away is said in the text that remains, so that the model knows that it has seen a part
(M2).
"""

from __future__ import annotations

from typing import Any

from infinity.functions.failure import ToolError

from .result import encode

EVENT_BYTES = 1 << 20
"""What a runtime takes of an event; a result may be larger."""
CAUTIOUS_BYTES = 900_000
"""What any runtime takes of a result, for those that refused a larger one."""
TOO_LARGE = "{what} has {size} bytes, and at most {most} are sent; ask for less at once"
_LEFT_OUT = "\n[… {count} characters were left out here: the whole was too large to send …]\n"
_IMAGE = "[an image of {size} bytes was left out: it was too large to send]"
_ROUNDS = 64


def fitting(message: dict[str, Any], most: int) -> bytes:
    """The body of a callback of at most so many bytes.

    It goes without what only people see, then without the largest images, then with the longest texts
    shortened in their middle.

    Args:
        message: the callback's fields; it is not changed.
        most: bytes of the body; an event never gets more than ``EVENT_BYTES``.

    Raises:
        ToolError: even that does not fit, or the message has no JSON form.
    """
    # A runtime takes less of an event than of a result (SUB-9).
    if message["type"] == "subscription_event":
        most = min(most, EVENT_BYTES)
    body = encode(message)
    size = len(body)
    message = dict(message)
    # Bounded: each round takes something away, but a result may have thousands of small images.
    for _ in range(_ROUNDS):
        if len(body) <= most:
            return body
        if not _lessen(message, len(body) - most):
            break
        body = encode(message)
    what = f"the tool's {message['type'].replace('_', ' ')}"
    raise ToolError(TOO_LARGE.format(what=what, size=size, most=most))


def _lessen(message: dict[str, Any], over: int) -> bool:
    """Take away about so many bytes; false if nothing is left to take."""
    if message["type"] not in ("tool_result", "subscription_event"):
        return False
    # First what the model does not read.
    if message.pop("display_as", None) is not None:
        return True
    content = [dict(item) for item in message.get("content") or []]
    images = [item for item in content if item["type"] == "image"]
    if images:
        # The fewest images that make it fit.
        largest = max(images, key=lambda item: len(item["data"]))
        text = _IMAGE.format(size=len(largest["data"]) * 3 // 4)
        message["content"] = [{"type": "text", "text": text} if item is largest else item for item in content]
        return True
    texts = [item for item in content if item["type"] == "text"]
    if message.get("text"):
        texts.append(message)
    longest = max(texts, key=lambda item: len(item["text"]), default=None)
    # Shortening what is short gains nothing.
    if longest is None or len(longest["text"]) < 1_000:
        return False
    longest["text"] = _shortened(longest["text"], over)
    if content:
        message["content"] = content
    return True


def _shortened(text: str, over: int) -> str:
    """Head and tail of a text, about ``over`` bytes of JSON less, or the half of it."""
    size = len(encode({"type": "text", "text": text}))
    # In proportion, because one character may take one byte or six; 200 for the words in between.
    kept = max(int(len(text) * (size - over) / size) - 200, 0) if size > 2 * over else len(text) // 2
    head, tail = kept * 2 // 3, kept // 3
    return text[:head] + _LEFT_OUT.format(count=len(text) - head - tail) + text[len(text) - tail :]
