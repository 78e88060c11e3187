"""Reading JSON that strangers sent: every value knows its path, and a wrong one says what was expected and by which rule.

Errors name types and sizes, never values, which may be secrets (S9).
"""

from __future__ import annotations

from typing import Any, NoReturn

import msgspec

from infinity.errors import BadRequest, ToolsetError

_ABSENT: Any = object()
_decode = msgspec.json.Decoder().decode


def sound(body: bytes) -> bytes:
    """The same JSON, with halves of characters repaired: they are not refused (CB-8)."""
    if b"\\u" not in body and b"\xed" not in body:
        return body  # Nothing that could be half of a character.
    # Not at the top: a tool server that is made with the kit never needs the core.
    from infinity._core import repaired

    return repaired(body)


class Node:
    """One value of a document. ``error``: the class that a defect raises, with text and rule."""

    __slots__ = ("_error", "path", "value")

    def __init__(self, value: Any, path: str, error: type[BadRequest] | type[ToolsetError]) -> None:
        self.value = value
        self.path = path
        self._error = error

    @classmethod
    def parse(cls, body: bytes, error: type[BadRequest] | type[ToolsetError], rule: str) -> Node:
        """The document in ``body``: UTF-8 JSON, an object at the top."""
        try:
            value = _decode(sound(body))
        except UnicodeDecodeError as defect:
            raise error(f"not UTF-8: {defect.reason}", rule) from defect
        except RecursionError as defect:
            raise error("not acceptable JSON: nested too deeply", rule) from defect
        except msgspec.DecodeError as defect:
            raise error(f"not JSON: {defect}", rule) from defect
        node = cls(value, "$", error)
        node.object(rule)
        return node

    def __getitem__(self, name: str) -> Node:
        return Node(self.value.get(name, _ABSENT), f"{self.path}.{name}", self._error)

    @property
    def present(self) -> bool:
        """There and not null."""
        return self.value is not _ABSENT and self.value is not None

    def fail(self, expected: str, rule: str) -> NoReturn:
        raise self._error(f"{self.path}: expected {expected}, got {_kind(self.value)}", rule)

    def refuse(self, problem: str, rule: str) -> NoReturn:
        """The type is right, the value is not."""
        raise self._error(f"{self.path}: {problem}", rule)

    def text(self, rule: str, least: int = 0, most: int | None = None) -> str:
        if not isinstance(self.value, str):
            self.fail("a string", rule)
        if len(self.value) < least:
            self.refuse(f"must not be empty (at least {least} character{'s' * (least > 1)})", rule)
        if most is not None and len(self.value) > most:
            self.refuse(f"expected at most {most} characters, got {len(self.value)}", rule)
        return self.value

    def optional_text(self, rule: str, most: int | None = None) -> str | None:
        return self.text(rule, 0, most) if self.present else None

    def integer(self, rule: str) -> int:
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            self.fail("an integer", rule)
        return self.value

    def flag(self, rule: str) -> bool:
        """A boolean; absent or null is false."""
        if not self.present:
            return False
        if not isinstance(self.value, bool):
            self.fail("a boolean", rule)
        return self.value

    def object(self, rule: str) -> dict[str, Any]:
        if not isinstance(self.value, dict):
            self.fail("an object", rule)
        return self.value

    def items(self, rule: str, most: int) -> list[Node]:
        if not isinstance(self.value, list):
            self.fail("an array", rule)
        if len(self.value) > most:
            self.refuse(f"expected at most {most} items, got {len(self.value)}", rule)
        return [Node(item, f"{self.path}[{index}]", self._error) for index, item in enumerate(self.value)]


def _kind(value: Any) -> str:
    if value is _ABSENT:
        return "nothing (the field is missing)"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    names = {str: "a string", int: "an integer", float: "a number", list: "an array", dict: "an object"}
    return names[type(value)]
