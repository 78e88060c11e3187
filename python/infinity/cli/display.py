"""How things look in a terminal: times, states, content.

All commands print by these functions. Text of models, tools and strangers must pass ``clean``, ``one_line``
or ``exact`` before it is printed, so that it cannot steer the terminal or pass for this program's own words
(S12, S13).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from infinity.escaping import escape, escape_line, escape_text
from infinity.stamps import is_stamp

__all__ = [
    "ago",
    "clean",
    "dim",
    "exact",
    "json_text",
    "moment",
    "one_line",
    "print_json",
    "question_lines",
    "strong",
    "table",
    "text_of",
    "warn",
    "within",
]

exact = escape
"""For what somebody decides by: every character that is not plainly seen is spelled out."""
one_line = escape_line
"""For cells of lists and names."""


def print_json(value: Any) -> None:
    """Print a value as JSON: indented on a terminal, one line for scripts."""
    click.echo(json_text(value, indent=2 if sys.stdout.isatty() else None))


def json_text(value: Any, *, indent: int | None = None) -> str:
    """JSON for scripts as it is; on a terminal the same JSON, with what cannot be seen in it escaped (S13).

    Args:
        value: What JSON can hold.
        indent: Spaces of a level; ``None`` is one line.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return "\n".join(map(escape, text.split("\n"))) if sys.stdout.isatty() else text


def dim(text: str) -> str:
    """In a fainter colour, for what is beside the point."""
    return click.style(text, dim=True)


def strong(text: str) -> str:
    """In bold, for what a line is about."""
    return click.style(text, bold=True)


def warn(text: str) -> str:
    """In red, for what somebody has to look at."""
    return click.style(text, fg="red")


def clean(text: str) -> str:
    """What models and tools say, fit for a terminal: it is not steered by it, and nothing of it is left out."""
    return escape_text(text)


def within(text: str, margin: str) -> str:
    """Put a margin before the further lines of a text, so that none of them can pass for a line of somebody
    else.

    Args:
        text: Its first line stays as it is.
        margin: Spaces, or a mark.
    """
    return text.replace("\n", f"\n{margin}")


def ago(at: int) -> str:
    """How long ago a moment was, roughly. ``at`` is in milliseconds since the epoch."""
    return f"{_span(time.time() - at / 1000)} ago"


def moment(at: int) -> str:
    """A moment in local time; for one that is still to come also how long that is. ``at`` is in milliseconds
    since the epoch.
    """
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
    """Lay out rows in columns as wide as their widest cell; the last column as it is.

    Args:
        rows: Plain text, escaped here: colours in a cell would be spelled out. At least one row.
    """
    rows = [[escape_line(cell) for cell in row] for row in rows]
    # The last column is not padded: it may be long, and nothing stands behind it.
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def question_lines(prompt: dict[str, Any], kind: str) -> list[str]:
    """A question as it is asked: by whom, in words that only this program writes, then what (S12).

    Args:
        prompt: As the API gives it.
        kind: ``consent``, ``choice`` or ``oauth``.

    Returns:
        Lines in which everything can be seen.
    """
    tool = exact(str(prompt.get("tool", "a tool")))
    if kind == "oauth":
        where = prompt.get("auth_url")
        return [f"the tool {tool} wants you to sign in" + (f": {exact(where)}" if where else "")]
    asker = "Infinity" if kind == "consent" else f"the tool {tool}"
    asked = [exact(line) for line in str(prompt.get("prompt", "")).split("\n")]
    lines = [f"{asker} asks: {asked[0]}", *(f"    | {line}" for line in asked[1:])]
    for index, choice in enumerate(prompt.get("choices", ())):
        default = dim(" (default)") if index == prompt.get("default") else ""
        lines.append(f"    {index}: {exact(choice)}{default}")
    return lines


def text_of(blocks: Sequence[dict[str, Any]]) -> str:
    """The readable part of content blocks, fit for a terminal; stamps of the time are left out."""
    pieces = []
    for block in blocks:
        if block["type"] == "text" and not is_stamp(block):
            pieces.append(block["text"])
        elif block["type"] == "tool_result":
            content = block.get("content", "")
            pieces.append(content if isinstance(content, str) else text_of(content))
        elif block["type"] == "image":
            pieces.append("(image)")
    return clean("\n".join(pieces))
