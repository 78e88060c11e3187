"""The language of DynamoDB's expressions: tokens, names and values by placeholder, paths into an item.

What the grammar of conditions and of updates share. Every refusal says which expression it is about, in
the service's words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .reserved import RESERVED
from .values import Item, Value, bad, checked

__all__ = ["Parser", "Path", "Placeholders", "found", "projected", "shown"]

Path = tuple[str | int, ...]
_TOKEN = re.compile(r"\s*(?:([:#][A-Za-z0-9_]+)|([A-Za-z_][A-Za-z0-9_]*)|(\d+)|(<>|<=|>=|[=<>()\[\].,+-]))")


def found(item: Mapping[str, Value], path: Path) -> Value | None:
    """What is at a path of an item.

    Args:
        item: Attribute values by name.
        path: Names and list indexes.

    Returns:
        ``None`` if nothing is.
    """
    here: Value | None = {"M": item}
    for step in path:
        if here is None:
            return None
        if isinstance(step, str):
            here = here.get("M", {}).get(step)
        else:
            inside = here.get("L", ())
            here = inside[step] if step < len(inside) else None
    return here


def shown(path: Path) -> str:
    return "[" + ", ".join(str(step) if isinstance(step, str) else f"[{step}]" for step in path) + "]"


class Placeholders:
    """``ExpressionAttributeNames`` and ``-Values`` of one request; each of them must be used."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self.names: Mapping[str, str] = arguments.get("ExpressionAttributeNames") or {}
        values = arguments.get("ExpressionAttributeValues") or {}
        self.values = {name: checked(value) for name, value in values.items()}
        self._used: set[str] = set()
        for kind, given in (("Names", self.names), ("Values", self.values)):
            if arguments.get(f"ExpressionAttribute{kind}") == {}:
                raise bad(f"ExpressionAttribute{kind} must not be empty")
            for name in given:
                if re.fullmatch("[#:][A-Za-z0-9_]+", name) is None:
                    raise bad(f'ExpressionAttribute{kind} contains invalid key: Syntax error; key: "{name}"')

    def name(self, placeholder: str, kind: str) -> str:
        """The attribute name that a placeholder stands for.

        Args:
            placeholder: With its ``#``.
            kind: The expression's parameter, for refusals.

        Raises:
            AwsError: if it is not defined.
        """
        if placeholder not in self.names:
            raise bad(
                f"Invalid {kind}: An expression attribute name used in the document path is not defined; attribute name: {placeholder}"
            )
        self._used.add(placeholder)
        return self.names[placeholder]

    def value(self, placeholder: str, kind: str) -> Value:
        """The value that a placeholder stands for; as ``name``, with ``:``."""
        if placeholder not in self.values:
            raise bad(
                f"Invalid {kind}: An expression attribute value used in expression is not defined; attribute value: {placeholder}"
            )
        self._used.add(placeholder)
        return self.values[placeholder]

    def all_used(self) -> None:
        """Check that every placeholder was used, once every expression of the request has been read.

        Raises:
            AwsError: if one was not, as DynamoDB refuses it.
        """
        for kind, given in (("Names", self.names), ("Values", self.values)):
            unused = sorted(given.keys() - self._used)
            if unused:
                raise bad(
                    f"Value provided in ExpressionAttribute{kind} unused in expressions: keys: {{{', '.join(unused)}}}"
                )


class Parser:
    """A place in an expression's tokens.

    Args:
        text: The expression.
        kind: The parameter's name, for refusals: ``ConditionExpression`` …
        placeholders: Of the request.

    Raises:
        AwsError: for an empty text, or a character that no token has.
    """

    def __init__(self, text: str, kind: str, placeholders: Placeholders) -> None:
        self.kind = kind
        self.placeholders = placeholders
        if not text.strip():
            raise bad(f"Invalid {kind}: The expression can not be empty;")
        self._tokens = list(self._split(text))
        self._at = 0

    def _split(self, text: str) -> Iterator[str]:
        position, end = 0, len(text.rstrip())
        while position < end:
            match = _TOKEN.match(text, position)
            if match is None:
                raise self.wrong(text[position:].split()[0])
            position = match.end()
            yield match[0].strip()

    def wrong(self, token: str | None = None) -> Exception:
        """The refusal for a token that does not belong here, with what stands around it."""
        token = self.peek() if token is None else token
        # A refusal may come while the tokens are still being read; there is no neighbourhood to show then.
        near = (
            " ".join(self._tokens[max(self._at - 1, 0) : self._at + 2]) if hasattr(self, "_tokens") else token
        )
        return bad(f'Invalid {self.kind}: Syntax error; token: "{token or "<EOF>"}", near: "{near}"')

    # tokens

    def peek(self, ahead: int = 0) -> str:
        """The next token, ``""`` at the end."""
        place = self._at + ahead
        return self._tokens[place] if place < len(self._tokens) else ""

    def next(self) -> str:
        token = self.peek()
        self._at += 1
        return token

    def word(self) -> str:
        """The next token in capitals, to compare with keywords."""
        return self.peek().upper()

    def take(self, token: str) -> bool:
        """Whether the next token is this one, which is then behind us."""
        if self.peek().upper() != token:
            return False
        self._at += 1
        return True

    def expect(self, token: str) -> None:
        """Take a token that must come next.

        Raises:
            AwsError: if another one does.
        """
        if not self.take(token):
            raise self.wrong()

    def finish(self) -> None:
        if self.peek():
            raise self.wrong()

    # what tokens mean

    def path(self) -> Path:
        steps: list[str | int] = [self._name()]
        while True:
            if self.take("."):
                steps.append(self._name())
            elif self.take("["):
                if not self.peek().isdecimal():
                    raise self.wrong()
                steps.append(int(self.next()))
                self.expect("]")
            else:
                return tuple(steps)

    def _name(self) -> str:
        token = self.peek()
        if token.startswith("#"):
            self._at += 1
            return self.placeholders.name(token, self.kind)
        if not token or not (token[0].isalpha() or token[0] == "_"):
            raise self.wrong()
        if token.upper() in RESERVED:
            raise bad(f"Invalid {self.kind}: Attribute name is a reserved keyword; reserved keyword: {token}")
        self._at += 1
        return token

    def value(self) -> Value:
        token = self.peek()
        if not token.startswith(":"):
            raise self.wrong()
        self._at += 1
        return self.placeholders.value(token, self.kind)

    def projection(self) -> list[Path]:
        paths = [self.path()]
        while self.take(","):
            paths.append(self.path())
        self.finish()
        return paths


def projected(item: Item, paths: list[Path]) -> Item:
    """Only what is at the paths, in the shape of the item."""
    result: Value = {"M": {}}
    for path in paths:
        value = found(item, path)
        if value is None:
            continue
        here = result
        for step, following in zip(path, (*path[1:], None), strict=True):
            inner = value if following is None else ({"M": {}} if isinstance(following, str) else {"L": []})
            if isinstance(step, str):
                here = here["M"].setdefault(step, inner)
            else:
                # Lists keep their order but not their gaps.
                here["L"].append(inner)
                here = inner
    kept: Item = result["M"]
    return kept
