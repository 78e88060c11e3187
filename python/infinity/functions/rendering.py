"""From what a function returned to one text for the model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from infinity.characters import whole

from .failure import ToolError

__all__ = ["is_plain", "text_of"]

NOTHING = "Done."
MAX_ITEMS = 1_000_000
"""Values in a result; a text of more would be too long for any model, and take seconds to make."""
MAX_DEPTH = 200
_CONTAINERS = (dict, list, tuple, set, frozenset)


def is_plain(value: Any) -> bool:
    """Whether its text is made in no time."""
    return value is None or type(value) in (str, bool, int, float)


def text_of(value: Any) -> str:
    """One text: texts as they are, nothing as ``Done.``, all else as JSON. ``ToolError`` for a value that has no such form."""
    if value is None:
        return NOTHING
    if isinstance(value, str):
        return whole(str.__str__(value))
    _check(value)
    from pydantic_core import to_json

    problem = ""
    attempts: list[Callable[[], str]] = [
        lambda: to_json(value).decode(),
        lambda: to_json(value, bytes_mode="base64").decode(),
        lambda: whole(json.dumps(_whole(value), ensure_ascii=False, separators=(",", ":"), default=_default)),
    ]
    for attempt in attempts:
        try:
            return attempt()
        except (ValueError, TypeError, RecursionError) as error:  # PydanticSerializationError is a ValueError
            problem = problem or str(error)[:200]
    raise ToolError(
        f"the tool returned a value that has no JSON form ({type(value).__name__}: {problem}); "
        "this is a mistake in the tool, other arguments may work"
    )


def _check(value: Any) -> None:
    """Bounded, before the work begins: an endless iterator would never be written, and hold everybody up (I15)."""
    seen, layer = 0, [value]
    for _ in range(MAX_DEPTH):
        upcoming: list[Any] = []
        for item in layer:
            seen += 1
            if isinstance(item, Iterator):
                raise ToolError(
                    f"the tool returned a {type(item).__name__}, which has no JSON form; return a list, this is a mistake in the tool"
                )
            if isinstance(item, Mapping):
                upcoming += item.values()
            elif isinstance(item, _CONTAINERS):
                upcoming += item
            if seen + len(upcoming) > MAX_ITEMS:
                raise ToolError(f"the tool returned more than {MAX_ITEMS} values; return less")
        layer = upcoming
        if not layer:
            return
    raise ToolError(
        f"the tool returned a value that has no JSON form: it is nested deeper than {MAX_DEPTH} levels, or contains itself"
    )


def _default(value: Any) -> Any:
    from pydantic_core import to_jsonable_python

    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return _whole(to_jsonable_python(value))


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, Mapping):
        return {whole(key) if isinstance(key, str) else key: _whole(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_whole(item) for item in value]
    return value
