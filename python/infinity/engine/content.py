"""Content on its way to the model: what its API takes, and no more of it than is useful."""

from __future__ import annotations

from infinity.message import Block, text_blocks

__all__ = ["shortened", "speakable"]


def speakable(content: list[Block]) -> list[Block]:
    """Content that the model API accepts: never empty, no empty text (I4)."""
    kept = [block for block in content if block.get("type") != "text" or block.get("text", "").strip()]
    return kept or text_blocks("")


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
