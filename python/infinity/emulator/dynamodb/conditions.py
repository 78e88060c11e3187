"""Conditions: comparisons, BETWEEN, IN, functions, AND, OR, NOT. Read once, then asked of an item.

A parser by recursive descent, one function for each level of the grammar; each gives a function that is
asked of an item. ``changes`` and ``reading`` use it. What DynamoDB would refuse must be refused here, with
its words.
"""

from __future__ import annotations

import base64
import operator
from collections.abc import Callable, Mapping
from typing import Any

from .expression import Parser, Placeholders, found
from .values import Item, Value, bad, equal, kind_of, ordered

__all__ = ["Condition", "condition", "holds_always"]

Condition = Callable[[Item], bool]
_Operand = Callable[[Item], Value | None]
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_KINDS = {"S", "N", "B", "SS", "NS", "BS", "M", "L", "NULL", "BOOL"}
_FUNCTIONS = {"attribute_exists", "attribute_not_exists", "attribute_type", "begins_with", "contains"}


def holds_always(_: Item) -> bool:
    return True


def condition(text: str | None, kind: str, placeholders: Placeholders) -> Condition:
    """Read a condition.

    Args:
        text: The expression; ``None`` holds always.
        kind: ``ConditionExpression`` or ``FilterExpression``, for refusals.
        placeholders: Of the request.

    Returns:
        Asked of an item, as often as needed.

    Raises:
        AwsError: in DynamoDB's words, for what it would refuse.
    """
    if text is None:
        return holds_always
    parser = Parser(text, kind, placeholders)
    read = _either(parser)
    parser.finish()
    return read


def _either(parser: Parser) -> Condition:
    one = _both(parser)
    while parser.take("OR"):
        one = _or(one, _both(parser))
    return one


def _or(one: Condition, other: Condition) -> Condition:
    return lambda item: one(item) or other(item)


def _both(parser: Parser) -> Condition:
    one = _not(parser)
    while parser.take("AND"):
        one = _and(one, _not(parser))
    return one


def _and(one: Condition, other: Condition) -> Condition:
    return lambda item: one(item) and other(item)


def _not(parser: Parser) -> Condition:
    if parser.take("NOT"):
        inner = _not(parser)
        return lambda item: not inner(item)
    if parser.take("("):
        inner = _either(parser)
        parser.expect(")")
        return inner
    if parser.peek() in _FUNCTIONS and parser.peek(1) == "(":
        return _function(parser)
    return _comparison(parser)


def _comparison(parser: Parser) -> Condition:
    left = _operand(parser)
    sign = parser.peek()
    if sign in ("=", "<>"):
        parser.next()
        right = _operand(parser)
        return _same(left, right) if sign == "=" else _different(left, right)
    if sign in _ORDERS:
        parser.next()
        return _compared(left, _ORDERS[sign], _operand(parser))
    if parser.take("BETWEEN"):
        low = _operand(parser)
        parser.expect("AND")
        high = _operand(parser)
        return _and(_compared(left, operator.ge, low), _compared(left, operator.le, high))
    if parser.take("IN"):
        parser.expect("(")
        choices = [_operand(parser)]
        while parser.take(","):
            choices.append(_operand(parser))
        parser.expect(")")
        return lambda item: any(_same(left, choice)(item) for choice in choices)
    raise parser.wrong()


def _operand(parser: Parser) -> _Operand:
    if parser.peek() == "size" and parser.peek(1) == "(":
        parser.next()
        parser.next()
        inner = _operand(parser)
        parser.expect(")")
        return lambda item: _measured(inner(item))
    if parser.peek() in _FUNCTIONS and parser.peek(1) == "(":
        raise bad(
            f"Invalid {parser.kind}: The function is not allowed to be used this way in an expression; function: {parser.peek()}"
        )
    if parser.peek().startswith(":"):
        value = parser.value()
        return lambda _: value
    path = parser.path()
    return lambda item: found(item, path)


def _same(left: _Operand, right: _Operand) -> Condition:
    def check(item: Item) -> bool:
        one, other = left(item), right(item)
        return one is not None and other is not None and equal(one, other)

    return check


def _different(left: _Operand, right: _Operand) -> Condition:
    def check(item: Item) -> bool:
        one, other = left(item), right(item)
        if one is None or other is None:
            return one is not other
        return not equal(one, other)

    return check


def _compared(left: _Operand, sign: Callable[[Any, Any], bool], right: _Operand) -> Condition:
    def check(item: Item) -> bool:
        one, other = left(item), right(item)
        # Values of different kinds are never in order, whichever way they are compared.
        if one is None or other is None or kind_of(one) != kind_of(other):
            return False
        return ordered(one) is not None and sign(ordered(one), ordered(other))

    return check


def _measured(value: Value | None) -> Value | None:
    match value:
        case {"S": str(text)}:
            return {"N": str(len(text.encode()))}
        case {"B": str(text)}:
            return {"N": str(len(base64.b64decode(text)))}
        case {"SS": inside} | {"NS": inside} | {"BS": inside} | {"L": inside} | {"M": inside}:
            return {"N": str(len(inside))}
    return None


def _function(parser: Parser) -> Condition:
    name = parser.next()
    parser.expect("(")
    if name in ("attribute_exists", "attribute_not_exists"):
        path = parser.path()
        parser.expect(")")
        wanted = name == "attribute_exists"
        return lambda item: (found(item, path) is not None) == wanted
    subject = _operand(parser)
    parser.expect(",")
    # Seen before the operand is read: DynamoDB refuses a literal of the wrong kind, whatever the item holds.
    literal = parser.placeholders.values.get(parser.peek())
    other = _operand(parser)
    parser.expect(")")
    _check_literal(parser, name, literal)
    test = {"attribute_type": _is_kind, "begins_with": _begins, "contains": _contains}[name]

    def check(item: Item) -> bool:
        one, two = subject(item), other(item)
        return one is not None and two is not None and test(one, two)

    return check


def _check_literal(parser: Parser, name: str, literal: Mapping[str, Any] | None) -> None:
    if literal is None:
        return
    kind = next(iter(literal))
    if (name == "begins_with" and kind not in ("S", "B")) or (name == "attribute_type" and kind != "S"):
        raise bad(
            f"Invalid {parser.kind}: Incorrect operand type for operator or function; operator or function: {name}, operand type: {kind}"
        )
    if name == "attribute_type" and literal["S"] not in _KINDS:
        raise bad(f"Invalid {parser.kind}: Invalid attribute type name found; type: {literal['S']}")


def _is_kind(value: Value, kind: Value) -> bool:
    return kind_of(value) == kind.get("S")


def _begins(value: Value, start: Value) -> bool:
    if kind_of(value) != kind_of(start) or kind_of(value) not in ("S", "B"):
        return False
    return bool(ordered(value).startswith(ordered(start)))


def _contains(value: Value, part: Value) -> bool:
    match value, part:
        case {"S": str(text)}, {"S": str(inner)}:
            return inner in text
        case {"B": _}, {"B": _}:
            return bool(ordered(part) in ordered(value))
        case {"SS": inside}, {"S": str(one)}:
            return one in inside
        case {"NS": inside}, {"N": str(one)}:
            return one in inside
        case {"BS": inside}, {"B": str(one)}:
            return one in inside
        case {"L": inside}, _:
            return any(equal(each, part) for each in inside)
    return False
