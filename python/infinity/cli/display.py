"""How things look in a terminal: times, states, content."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

__all__ = ["ago", "clean", "dim", "moment", "print_json", "strong", "table", "text_of", "warn"]


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def dim(text: str) -> str:
    return click.style(text, dim=True)


def strong(text: str) -> str:
    return click.style(text, bold=True)


def warn(text: str) -> str:
    return click.style(text, fg="red")


def clean(text: str) -> str:
    """Without control characters: what models and tools say must not steer the terminal."""
    return "".join(character for character in text if character in "\n\t" or character.isprintable())


def ago(at: int) -> str:
    """``at`` in ms since the epoch."""
    return f"{_span(time.time() - at / 1000)} ago"


def moment(at: int) -> str:
    """``at`` in ms since the epoch; for one that is still to come also how long that is."""
    left = at / 1000 - time.time()
    return f"{datetime.fromtimestamp(at / 1000):%Y-%m-%d %H:%M:%S}" + (
        f" (in {_span(left)})" if left > 0 else ""
    )


def _span(seconds: float) -> str:
    seconds = max(seconds, 0)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; the last one as it is."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def text_of(blocks: Sequence[dict[str, Any]]) -> str:
    """The readable part of content blocks."""
    pieces = []
    for block in blocks:
        if block["type"] == "text":
            pieces.append(block["text"])
        elif block["type"] == "tool_result":
            content = block.get("content", "")
            pieces.append(content if isinstance(content, str) else text_of(content))
        elif block["type"] == "image":
            pieces.append("(image)")
    return clean("\n".join(pieces))
