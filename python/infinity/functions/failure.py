"""How a function says no, and what the model reads of an exception."""

from __future__ import annotations

from infinity.characters import whole

__all__ = ["ToolError", "error_text"]

MAX_ERROR = 2_000


class ToolError(Exception):
    """Raise it to answer ``Error: <text>``; the model reads the text, so say what to do instead (RES-5, M2)."""


def error_text(operation: str, error: BaseException) -> str:
    """``Error: …``: the cause in words, no stack trace (SRV-2, RES-5)."""
    words = _words(error)
    if isinstance(error, ToolError):
        text = words or "the tool refused"
    else:
        text = f"{operation} failed: {type(error).__name__}" + (f": {words}" if words else "")
    return whole(f"Error: {text}"[:MAX_ERROR])


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # noqa: BLE001  an error that cannot even say what it is
        return ""
