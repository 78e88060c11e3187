"""From what a function returned or raised to the ``tool_result`` that the model gets."""

from __future__ import annotations

from typing import Any

from pydantic_core import to_json

from .call import Image, Result, ToolError

MAX_ERROR = 2_000
NOTHING = "Done."


def result_fields(value: Any) -> dict[str, Any]:
    """``text``, ``content`` and ``display_as`` of a tool_result. Texts stay texts, images become items, all else JSON text."""
    if isinstance(value, Result):
        return _fields(value)
    if isinstance(value, Image):
        return _fields(Result(content=[value]))
    if isinstance(value, (list, tuple)) and {type(item) for item in value} in ({Image}, {Image, str}):
        return _fields(Result(content=value))
    return {"text": text_of(value)}


def text_of(value: Any) -> str:
    """One text for the model."""
    if value is None:
        return NOTHING
    return value if isinstance(value, str) else to_json(value, fallback=str).decode()


def error_text(operation: str, error: BaseException) -> str:
    """``Error: …``: the cause in words, no stack trace (SRV-2, RES-5)."""
    if isinstance(error, ToolError):
        text = str(error) or "the tool refused"
    else:
        cause = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        text = f"{operation} failed: {cause}"
    return f"Error: {text}"[:MAX_ERROR]


def _fields(result: Result) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if result.text is not None:
        fields["text"] = result.text
    if result.content:
        fields["content"] = [
            item.item() if isinstance(item, Image) else {"type": "text", "text": item}
            for item in result.content
        ]
    if result.display_as:
        fields["display_as"] = list(result.display_as)
    return fields if "text" in fields or "content" in fields else {**fields, "text": NOTHING}
