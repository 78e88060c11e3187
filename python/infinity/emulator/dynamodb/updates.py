"""Update expressions: SET, ADD, REMOVE, DELETE. Read once, then applied to an item, of which they make a new
one.

``changes`` plans with it. Every part sees the item as it was before, and the old item is never changed: a
condition that fails afterwards, or a second change, relies on it.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field

from .expression import Parser, Path, Placeholders, found, shown
from .values import Item, Value, added, bad, kind_of

__all__ = ["Update", "update"]

_Operand = Callable[[Item], Value]
_CLAUSES = ("SET", "ADD", "REMOVE", "DELETE")
_WRONG_TYPE = "An operand in the update expression has an incorrect data type"


@dataclass
class Update:
    """Every part sees the item as it was before."""

    sets: list[tuple[Path, _Operand]] = field(default_factory=list)
    adds: list[tuple[Path, Value]] = field(default_factory=list)
    removes: list[Path] = field(default_factory=list)
    deletes: list[tuple[Path, Value]] = field(default_factory=list)

    def paths(self) -> list[Path]:
        pairs = [*self.sets, *self.adds, *self.deletes]
        return [*(path for path, _ in pairs), *self.removes]

    def apply(self, item: Item) -> Item:
        values = [(path, operand(item)) for path, operand in self.sets]
        values += [(path, _added(found(item, path), value)) for path, value in self.adds]
        lessened = [(path, _lessened(found(item, path), value)) for path, value in self.deletes]
        values += [(path, value) for path, value in lessened if value is not None]
        gone = [path for path, value in lessened if value is None] + self.removes
        result: Value = {"M": deepcopy(item)}
        for path, value in values:
            _put(result, path, deepcopy(value))
        # The last of a list first: an index means the list as it was.
        for path in sorted(gone, key=lambda path: [(isinstance(s, int), s) for s in path], reverse=True):
            _drop(result, path)
        changed: Item = result["M"]
        return changed


def update(text: str, keys: tuple[str, ...], placeholders: Placeholders) -> Update:
    """``keys``: the names of the table's key, which no update may change."""
    parser = Parser(text, "UpdateExpression", placeholders)
    made, seen = Update(), set[str]()
    while parser.peek():
        clause = parser.next().upper()
        if clause not in _CLAUSES:
            raise parser.wrong(clause)
        if clause in seen:
            raise bad(
                f'Invalid UpdateExpression: The "{clause}" section can only be used once in an update expression;'
            )
        seen.add(clause)
        _part(parser, clause, made)
        while parser.take(","):
            _part(parser, clause, made)
    _check_paths(made.paths(), keys)
    return made


def _part(parser: Parser, clause: str, made: Update) -> None:
    path = parser.path()
    if clause == "SET":
        parser.expect("=")
        made.sets.append((path, _sum(parser)))
    elif clause == "REMOVE":
        made.removes.append(path)
    else:
        value = parser.value()
        if kind_of(value) not in (("N", "SS", "NS", "BS") if clause == "ADD" else ("SS", "NS", "BS")):
            raise bad(
                f"Invalid UpdateExpression: Incorrect operand type for operator or function; operator: {clause}, operand type: {kind_of(value)}"
            )
        (made.adds if clause == "ADD" else made.deletes).append((path, value))


def _check_paths(paths: list[Path], keys: tuple[str, ...]) -> None:
    for path in paths:
        if path[0] in keys:
            raise bad(
                f"One or more parameter values were invalid: Cannot update attribute {path[0]}. This attribute is part of the key"
            )
    for place, one in enumerate(paths):
        for other in paths[place + 1 :]:
            shorter = min(len(one), len(other))
            if one[:shorter] == other[:shorter]:
                raise bad(
                    "Invalid UpdateExpression: Two document paths overlap with each other; must remove or rewrite one of these paths; "
                    f"path one: {shown(one)}, path two: {shown(other)}"
                )


def _sum(parser: Parser) -> _Operand:
    left = _operand(parser)
    sign = parser.peek()
    if sign not in ("+", "-"):
        return left
    parser.next()
    right = _operand(parser)

    def compute(item: Item) -> Value:
        one, other = left(item), right(item)
        if "N" not in one or "N" not in other:
            raise bad(_WRONG_TYPE)
        return added(one, other, minus=sign == "-")

    return compute


def _operand(parser: Parser) -> _Operand:
    if parser.peek(1) == "(" and parser.peek() in ("if_not_exists", "list_append"):
        return _function(parser)
    if parser.take("("):
        inner = _sum(parser)
        parser.expect(")")
        return inner
    if parser.peek().startswith(":"):
        value = parser.value()
        return lambda _: value
    path = parser.path()

    def read(item: Item) -> Value:
        value = found(item, path)
        if value is None:
            raise bad("The provided expression refers to an attribute that does not exist in the item")
        return value

    return read


def _function(parser: Parser) -> _Operand:
    name = parser.next()
    parser.expect("(")
    if name == "if_not_exists":
        path = parser.path()
        parser.expect(",")
        otherwise = _operand(parser)
        parser.expect(")")
        return lambda item: present if (present := found(item, path)) is not None else otherwise(item)
    one = _operand(parser)
    parser.expect(",")
    other = _operand(parser)
    parser.expect(")")

    def joined(item: Item) -> Value:
        first, second = one(item), other(item)
        if "L" not in first or "L" not in second:
            raise bad(_WRONG_TYPE)
        return {"L": [*first["L"], *second["L"]]}

    return joined


def _added(present: Value | None, value: Value) -> Value:
    if present is None:
        return value
    kind = kind_of(value)
    if kind_of(present) != kind:
        raise bad(_WRONG_TYPE)
    if kind == "N":
        return added(present, value)
    return {kind: list(dict.fromkeys([*present[kind], *value[kind]]))}


def _lessened(present: Value | None, value: Value) -> Value | None:
    """A set without some members; ``None`` when nothing is left, because there are no empty sets."""
    if present is None:
        return None
    kind = kind_of(value)
    if kind_of(present) != kind:
        raise bad(_WRONG_TYPE)
    left = [member for member in present[kind] if member not in value[kind]]
    return {kind: left} if left else None


def _holder(result: Value, path: Path) -> Value | None:
    return found(result["M"], path[:-1]) if len(path) > 1 else result


def _put(result: Value, path: Path, value: Value) -> None:
    holder, last = _holder(result, path), path[-1]
    if holder is not None and isinstance(last, str) and "M" in holder:
        holder["M"][last] = value
    elif holder is not None and isinstance(last, int) and "L" in holder:
        if last < len(holder["L"]):
            holder["L"][last] = value
        else:
            holder["L"].append(value)
    else:
        raise bad("The document path provided in the update expression is invalid for update")


def _drop(result: Value, path: Path) -> None:
    holder, last = _holder(result, path), path[-1]
    if holder is not None and isinstance(last, str) and "M" in holder:
        holder["M"].pop(last, None)
    elif holder is not None and isinstance(last, int) and "L" in holder:
        del holder["L"][last : last + 1]
    elif len(path) > 1:
        raise bad("The document path provided in the update expression is invalid for update")
