"""Reading JSON that strangers sent: every value knows its path, and a wrong one says what was expected and
by which rule.

Callbacks (``wire``), manifests (``manifest``) and the kit's invocations are read with it. Errors name
types and sizes, never values, which may be secrets (S9).
"""

from __future__ import annotations

from typing import Any, NoReturn

import msgspec

from infinity.errors import BadRequest, ToolsetError

_ABSENT: Any = object()
_decode = msgspec.json.Decoder().decode


def sound(body: bytes) -> bytes:
    """The same JSON, with halves of characters repaired: they are not refused (CB-8).

    Args:
        body: UTF-8 JSON as it came; anything else is returned as it is.
    """
    if b"\\u" not in body and b"\xed" not in body:
        return body  # Nothing that could be half of a character.
    # Not at the top: a tool server that is made with the kit never needs the core.
    from infinity._core import repaired

    return repaired(body)


class Node:
    """One value of a document, with its path from the top."""

    __slots__ = ("_error", "path", "value")

    def __init__(self, value: Any, path: str, error: type[BadRequest] | type[ToolsetError]) -> None:
        """Wrap a value.

        Args:
            value: a decoded JSON value, or the marker of an absent one.
            path: where it stands, as ``$.tools[0].name``.
            error: the class that a defect raises, with text and rule.
        """
        self.value = value
        self.path = path
        self._error = error

    @classmethod
    def parse(cls, body: bytes, error: type[BadRequest] | type[ToolsetError], rule: str) -> Node:
        """The document in ``body``: UTF-8 JSON, an object at the top.

        Args:
            body: as it came.
            error: the class that this and every later defect of the document raises.
            rule: the id of the rule that a document which cannot be read breaks.
        """
        try:
            value = _decode(sound(body))
        except UnicodeDecodeError as defect:
            raise error(f"not UTF-8: {defect.reason}", rule) from defect
        except RecursionError as defect:
            raise error("not acceptable JSON: nested too deeply", rule) from defect
        except msgspec.DecodeError as defect:
            raise error(f"not JSON: {defect}", rule) from defect
        node = cls(value, "$", error)
        # Every document of the protocol is an object; what follows may rely on it.
        node.object(rule)
        return node

    def __getitem__(self, name: str) -> Node:
        """The value of a field; absent fields are nodes as well, so that their error has a path. On an
        object only.
        """
        return Node(self.value.get(name, _ABSENT), f"{self.path}.{name}", self._error)

    @property
    def present(self) -> bool:
        """There and not null."""
        return self.value is not _ABSENT and self.value is not None

    def fail(self, expected: str, rule: str) -> NoReturn:
        """Raise: the value has the wrong type, or is absent.

        Args:
            expected: what was expected, with its article.
            rule: the id of the broken rule.
        """
        raise self._error(f"{self.path}: expected {expected}, got {_kind(self.value)}", rule)

    def refuse(self, problem: str, rule: str) -> NoReturn:
        """Raise: the type is right, the value is not.

        Args:
            problem: what is wrong, and what was expected; never the value itself.
            rule: the id of the broken rule.
        """
        raise self._error(f"{self.path}: {problem}", rule)

    def text(self, rule: str, least: int = 0, most: int | None = None) -> str:
        """The value as a text.

        Args:
            rule: the id of the rule that says so.
            least: characters at the least.
            most: characters at the most; ``None``: any number.
        """
        if not isinstance(self.value, str):
            self.fail("a string", rule)
        if len(self.value) < least:
            self.refuse(f"must not be empty (at least {least} character{'s' * (least > 1)})", rule)
        if most is not None and len(self.value) > most:
            self.refuse(f"expected at most {most} characters, got {len(self.value)}", rule)
        return self.value

    def optional_text(self, rule: str, most: int | None = None) -> str | None:
        """The value as a text; ``None`` if it is absent or null.

        Args:
            rule: the id of the rule that says so.
            most: characters at the most.
        """
        return self.text(rule, 0, most) if self.present else None

    def integer(self, rule: str) -> int:
        """The value as an integer. JSON's true and false are none, although Python takes them for 1 and 0.

        Args:
            rule: the id of the rule that says so.
        """
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            self.fail("an integer", rule)
        return self.value

    def flag(self, rule: str) -> bool:
        """The value as a boolean; absent or null is false.

        Args:
            rule: the id of the rule that says so.
        """
        if not self.present:
            return False
        # No other value is taken for true or false: 0, "" and "false" mean something else to each server.
        if not isinstance(self.value, bool):
            self.fail("a boolean", rule)
        return self.value

    def object(self, rule: str) -> dict[str, Any]:
        """The value as an object, undecorated.

        Args:
            rule: the id of the rule that says so.
        """
        if not isinstance(self.value, dict):
            self.fail("an object", rule)
        return self.value

    def items(self, rule: str, most: int) -> list[Node]:
        """The elements of an array.

        Args:
            rule: the id of the rule that says so.
            most: elements at the most.
        """
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
