"""From what a function returned to one text for the model.

The value is a stranger's: it may be endless, refer to itself, or have no JSON form. Whatever it is, the
work here is bounded (I15), and what cannot be written is a ``ToolError`` that the model can read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from infinity.characters import whole

from .failure import ToolError

__all__ = ["is_plain", "text_of"]

NOTHING = "Done."
"""The result of a function that returned ``None``: a model takes an empty result for a failure."""
MAX_ITEMS = 1_000_000
"""Values in a result; a text of more would be too long for any model, and take seconds to make."""
MAX_DEPTH = 200
"""Levels of containers within containers; the encoders recurse."""
_CONTAINERS = (dict, list, tuple, set, frozenset)


def is_plain(value: Any) -> bool:
    """Whether the text of this value is made in no time, so that it needs no thread of its own.

    Args:
        value: what a function returned. Subclasses count as not plain: their methods may do anything.
    """
    return value is None or type(value) in (str, bool, int, float)


def text_of(value: Any) -> str:
    """One text for a returned value: texts as they are, ``None`` as ``Done.``, all else as JSON.

    It may take long for large values; call it in a thread unless ``is_plain``.

    Args:
        value: whatever a function returned.

    Raises:
        ToolError: it has no JSON form, is nested too deeply, or holds more than ``MAX_ITEMS`` values.
    """
    if value is None:
        return NOTHING
    if isinstance(value, str):
        # Not str(value): a subclass, for instance a StrEnum, may say something else of itself.
        return whole(str.__str__(value))
    _check(value)
    from pydantic_core import to_json

    problem = ""
    # In this order: the fast encoder; the same for bytes that are no UTF-8; and the standard library's for
    # keys and half characters that the fast one refuses.
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
    """Bounded, before the work begins: an endless iterator would never be written, and hold everybody up
    (I15).
    """
    seen, layer = 0, [value]
    # Layer by layer and not by recursion: the native stack has no limit that could be caught.
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
