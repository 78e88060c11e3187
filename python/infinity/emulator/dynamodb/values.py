"""Attribute values in the form in which they travel (``{"S": "text"}``).

What is allowed, how big values are, how they compare. All other modules of this package use it. Numbers are
compared as decimals and never as floats, because keys and conditions must be exact.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from decimal import Context, Decimal, DecimalException
from typing import Any

from ..failure import AwsError

__all__ = [
    "Item",
    "Value",
    "added",
    "bad",
    "checked",
    "checked_item",
    "equal",
    "item_size",
    "kind_of",
    "number",
    "ordered",
    "written",
]

Value = dict[str, Any]
Item = dict[str, Value]

DEEPEST = 32
_EXACT = Context(prec=38)
_SETS = {"SS": "S", "NS": "N", "BS": "B"}


def bad(message: str) -> AwsError:
    """The refusal ``ValidationException``, with these words."""
    return AwsError("ValidationException", message)


def kind_of(value: Value) -> str:
    """The type of a value: ``S``, ``N``, ``B``, ``BOOL``, ``NULL``, ``L``, ``M``, or a set."""
    return next(iter(value))


def number(text: str) -> Decimal:
    return _EXACT.create_decimal(text)


def added(one: Value, other: Value, *, minus: bool = False) -> Value:
    """The sum or difference of two numbers, with 38 digits."""
    amounts = number(one["N"]), number(other["N"])
    return {"N": _number(str((_EXACT.subtract if minus else _EXACT.add)(*amounts)))}


def written(amount: Decimal) -> str:
    """Without an exponent where it fits in 38 digits, without trailing zeros."""
    plain = amount.normalize(_EXACT)
    return f"{plain:f}" if -130 < plain.adjusted() < 126 else str(plain)


def checked_item(item: object) -> Item:
    if not isinstance(item, dict):
        raise bad("One or more parameter values were invalid: an item is a map of attributes")
    return {str(name): checked(value) for name, value in item.items()}


def checked(value: object, depth: int = 0) -> Value:
    """Check a value as DynamoDB does.

    Args:
        value: In the form in which it travels.
        depth: Levels above it; more than 32 are refused.

    Returns:
        The value with its numbers in canonical form.

    Raises:
        AwsError: if DynamoDB would not take it.
    """
    if not isinstance(value, dict) or len(value) != 1:
        raise bad(
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"
        )
    if depth > DEEPEST:
        raise bad(
            "Nesting Levels have exceeded supported limits: The attribute value has nested more than 32 levels"
        )
    ((kind, content),) = value.items()
    match kind, content:
        case "S", str():
            return value
        case "N", str():
            return {"N": _number(content)}
        case "B", str():
            return {"B": base64.b64encode(_binary(content)).decode()}
        case (("SS" | "NS" | "BS"), list()):
            return {kind: _set(kind, content)}
        case "M", dict():
            return {"M": {str(name): checked(inner, depth + 1) for name, inner in content.items()}}
        case "L", list():
            return {"L": [checked(inner, depth + 1) for inner in content]}
        case "BOOL", bool():
            return value
        case "NULL", True:
            return value
    raise bad(
        f"Supplied AttributeValue is empty or of the wrong type, must contain exactly one of the supported datatypes: {kind}"
    )


def _number(text: str) -> str:
    try:
        amount = Decimal(text)
    except DecimalException:
        raise bad(f"The parameter cannot be converted to a numeric value: {text}") from None
    if not amount.is_finite():
        raise bad(f"The parameter cannot be converted to a numeric value: {text}")
    if len("".join(map(str, amount.as_tuple().digits)).strip("0")) > 38:
        raise bad("Attempting to store more than 38 significant digits in a Number")
    if amount and not -130 <= amount.adjusted() <= 125:
        raise bad("Number overflow. Attempting to store a number with magnitude larger than supported range")
    return written(amount)


def _binary(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise AwsError("SerializationException", "Base64 encoded length is unexpected") from None


def _set(kind: str, members: list[Any]) -> list[str]:
    if not members:
        raise bad(f"One or more parameter values were invalid: An {_word(kind)} set may not be empty")
    each = [str(checked({_SETS[kind]: member})[_SETS[kind]]) for member in members]
    if len(set(each)) != len(each):
        raise bad(
            f"One or more parameter values were invalid: Input collection [{', '.join(each)}] contains duplicates."
        )
    return each


def _word(kind: str) -> str:
    return {"SS": "string", "NS": "number", "BS": "binary"}[kind]


def equal(one: Value, other: Value) -> bool:
    """Whether two values are the same: numbers by their size, sets whatever their order."""
    kind = kind_of(one)
    if kind != kind_of(other):
        return False
    mine, its = one[kind], other[kind]
    if kind in _SETS:
        return set(mine) == set(its)
    if kind == "M":
        return mine.keys() == its.keys() and all(equal(mine[name], its[name]) for name in mine)
    if kind == "L":
        return len(mine) == len(its) and all(map(equal, mine, its))
    return bool(mine == its)


def ordered(value: Value) -> Any:
    """What values of one kind sort by: text by its UTF-8, numbers by size, binaries by their bytes. ``None``:
    it has no order.
    """
    match value:
        case {"S": str(text)}:
            return text.encode()
        case {"N": str(text)}:
            return number(text)
        case {"B": str(text)}:
            return base64.b64decode(text)
    return None


def item_size(item: Mapping[str, Value]) -> int:
    """Bytes, as the limit of 400 KB counts them: names and values."""
    return sum(len(name.encode()) + _size(value) for name, value in item.items())


def _size(value: Value) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(str(content).encode())
        case "N":
            text = str(content)
            return (len(text.strip("-0").replace(".", "")) + 1) // 2 + 1 + text.startswith("-")
        case "B":
            return len(base64.b64decode(content))
        case "SS" | "NS" | "BS":
            return sum(_size({_SETS[kind]: member}) for member in content)
        case "M":
            return 3 + sum(len(name.encode()) + _size(inner) + 1 for name, inner in content.items())
        case "L":
            return 3 + sum(_size(inner) + 1 for inner in content)
    return 1
