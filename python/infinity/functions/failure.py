"""How a function says no, and what the model reads of an exception.

Raised by tools' authors and by this package; read by anyone who turns an outcome into a result: the
functions of a host (``tools/functions.py``) and the tool server (``rap/server``). No stack trace and no
secret of the process goes into these texts, because they reach the model and with it the conversation.
"""

from __future__ import annotations

from infinity.characters import whole

__all__ = ["ToolError", "error_text"]

MAX_ERROR = 2_000
"""Characters of such a text; the model can do nothing with more."""


class ToolError(Exception):
    """Raise it to answer ``Error: <text>``; the model reads the text, so say what to do instead (RES-5,
    M2).
    """


def error_text(operation: str, error: BaseException) -> str:
    """What the model reads when a function raised: the cause in words, no stack trace (SRV-2, RES-5).

    Args:
        operation: the name of the function, as the model called it.
        error: what it raised; a ``ToolError`` speaks for itself, anything else is named by its class.

    Returns:
        ``Error: …``, at most ``MAX_ERROR`` characters, all of them whole.
    """
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
