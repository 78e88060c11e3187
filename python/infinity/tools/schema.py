"""Checking a call's arguments against its tool's schema before anything is sent (INV-2).

The catalog compiles one ``ArgumentSchema`` for each tool, dispatch asks it for each call. The validator is
native code that cannot be interrupted, so its work is bounded before it begins (``schema_work``), and it
fetches nothing from elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NoReturn

import jsonschema_rs

from infinity.errors import ToolsetError
from infinity.schema_work import PATTERNS, SchemaWork

MAX_PROBLEMS = 8
MAX_CHARACTERS = 300
MAX_DEPTH = 128


class ArgumentSchema:
    """A tool's ``inputSchema``, compiled once.

    Args:
        schema: JSON Schema, 2020-12 unless ``$schema`` says otherwise.

    Raises:
        ToolsetError: if it is not one, or asks for too much work (B10).
    """

    __slots__ = ("_validator", "_work")

    def __init__(self, schema: Mapping[str, Any]) -> None:
        # A copy, because the count of work knows the schema's parts by their identity.
        own = dict(schema)
        try:
            self._work = SchemaWork(own)
            # The mask keeps values, which may be long or secret, out of the texts.
            self._validator = jsonschema_rs.validator_for(
                own, retriever=_no_retrieval, mask="the value", pattern_options=PATTERNS
            )
        except ValueError as error:
            text = getattr(error, "message", str(error))
            raise ToolsetError(f"not a usable JSON Schema: {text[:MAX_CHARACTERS]}", "DISC-2") from error

    def problems(self, arguments: Mapping[str, Any]) -> list[str]:
        """What is wrong with arguments, for the model: where, and what was expected.

        Args:
            arguments: Under the tool's own names.

        Returns:
            At most 8 texts of 300 characters; empty if nothing is wrong. Values are not repeated in them.
        """
        instance = dict(arguments)
        if _deeper_than(MAX_DEPTH, instance):
            return [f"arguments: nested more than {MAX_DEPTH} levels deep"]
        try:
            # Counted before the validator begins: native code cannot be interrupted (B10).
            self._work.steps(instance)
            if self._validator.is_valid(instance):
                return []
            defects = list(islice(self._validator.iter_errors(instance), MAX_PROBLEMS + 1))
        except ValueError as error:
            return [f"the arguments cannot be checked: {error}"[:MAX_CHARACTERS]]
        texts = [_text(defect.instance_path, defect.message) for defect in defects[:MAX_PROBLEMS]]
        if len(defects) > MAX_PROBLEMS:
            texts[-1] = "… and more"
        return texts


def _text(path: Sequence[str | int], message: str) -> str:
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    text = f"{steps.removeprefix('.') or 'arguments'}: {message}"
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1] + "…"


def _deeper_than(levels: int, value: Any) -> bool:
    """The validator recurses on the native stack, which has no limit to catch: an exhausted one kills the
    process.
    """
    layer = [value]
    for _ in range(levels):
        layer = [
            child
            for item in layer
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, (dict, list))
        ]
        if not layer:
            return False
    return True


def _no_retrieval(uri: str) -> NoReturn:
    raise ValueError(f"schemas are not fetched from elsewhere ({uri[:100]})")
