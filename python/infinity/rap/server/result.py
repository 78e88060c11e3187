"""From what a function returned or raised to the ``tool_result`` that the model gets (RES-1)."""

from __future__ import annotations

import json
from typing import Any

from infinity.characters import whole
from infinity.functions.failure import ToolError
from infinity.functions.rendering import NOTHING, text_of

from .call import Image, Result


def result_fields(value: Any) -> dict[str, Any]:
    """``text``, ``content`` and ``display_as`` of a tool_result.

    Texts stay texts, images become items, all else JSON text.

    Args:
        value: whatever a function returned.

    Raises:
        ToolError: a value that is none of these.
    """
    if isinstance(value, Result):
        return _fields(value)
    if isinstance(value, Image):
        return _fields(Result(content=[value]))
    # A list of texts alone stays a list: it is data, and becomes JSON.
    if isinstance(value, (list, tuple)) and {type(item) for item in value} in ({Image}, {Image, str}):
        return _fields(Result(content=value))
    return {"text": text_of(value)}


def encode(message: dict[str, Any]) -> bytes:
    """A callback as it is sent: UTF-8 JSON, without fields that are ``None``.

    Args:
        message: the callback's fields.

    Raises:
        ToolError: something in it has no JSON form.
    """
    try:
        body = json.dumps(
            _sound({name: value for name, value in message.items() if value is not None}), allow_nan=False
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise ToolError(
            f"the tool made a {message['type']} that has no JSON form ({str(error)[:200]}); this is a mistake in the tool"
        ) from error
    return body.encode()


def _fields(result: Result) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if result.text is not None:
        fields["text"] = result.text
    if result.content:
        fields["content"] = [_item(item) for item in result.content]
    if result.display_as:
        fields["display_as"] = list(result.display_as)
    # The protocol wants one of them, and the model something to read (RES-1).
    return fields if "text" in fields or "content" in fields else {**fields, "text": NOTHING}


def _item(item: str | Image) -> dict[str, str]:
    if isinstance(item, Image):
        return item.item()
    if isinstance(item, str):
        return {"type": "text", "text": item}
    raise ToolError(
        f"the tool made a result with a {type(item).__name__} in its content; expected str or Image; this is a mistake in the tool"
    )


def _sound(value: Any) -> Any:
    """Without lone surrogates, which JSON readers refuse: a callback that nobody can read leaves the call
    unanswered.
    """
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, dict):
        return {_sound(key): _sound(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_sound(item) for item in value]
    return value
