"""Query: which items, in which order, how many at a time.

``service`` calls it. A page ends as on DynamoDB: by the number of items that were looked at, or by their
bytes, before the filter is asked. Code that takes a short page for the end fails here as it would there.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .conditions import condition
from .expression import Parser, Placeholders, projected
from .table import Key, Table
from .values import Item, Value, bad, checked_item, item_size, kind_of, ordered

__all__ = ["Page", "queried"]

PAGE_BYTES = 1 << 20
_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_Test = Callable[[Any], bool]


@dataclass(frozen=True)
class Page:
    answer: dict[str, Any]
    size: int
    """Bytes that were read, filtered out or not."""


def queried(table: Table, arguments: Mapping[str, Any]) -> Page:
    """Read one page of a partition.

    Args:
        table: Where.
        arguments: Of the request.

    Raises:
        AwsError: for a request that DynamoDB would refuse, or a secondary index, which the emulator does
            not have.
    """
    if arguments.get("IndexName"):
        raise bad("The table does not have the specified index: this emulator has no secondary indexes")
    placeholders = Placeholders(arguments)
    part, test = _key_condition(table, arguments.get("KeyConditionExpression") or "", placeholders)
    forward = arguments.get("ScanIndexForward", True)
    pairs = list(table.partition(part, consistent=bool(arguments.get("ConsistentRead"))))
    chosen = [pair for pair in (pairs if forward else reversed(pairs)) if test(pair[0][1])]
    start = _start(table, arguments)
    if start is not None:
        beyond = operator.gt if forward else operator.lt
        chosen = [pair for pair in chosen if len(table.keys) > 1 and beyond(pair[0][1], start[1])]
    return _page(table, chosen, arguments, placeholders)


def _start(table: Table, arguments: Mapping[str, Any]) -> Key | None:
    given = arguments.get("ExclusiveStartKey")
    if given is None:
        return None
    try:
        return table.key_of(checked_item(given), exactly=True)
    except Exception as error:
        raise bad("The provided starting key is invalid") from error


def _page(
    table: Table, pairs: Iterable[tuple[Key, Item]], arguments: Mapping[str, Any], placeholders: Placeholders
) -> Page:
    matches = condition(arguments.get("FilterExpression"), "FilterExpression", placeholders)
    text = arguments.get("ProjectionExpression")
    paths = Parser(text, "ProjectionExpression", placeholders).projection() if text else None
    placeholders.all_used()
    limit = arguments.get("Limit")
    if limit is not None and limit < 1:
        raise bad(
            "1 validation error detected: Value at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1"
        )
    items: list[Item] = []
    seen, size, last, more = 0, 0, None, False
    for _, item in pairs:
        if (limit is not None and seen == limit) or size >= PAGE_BYTES:
            more = True
            break
        seen, size, last = seen + 1, size + item_size(item), item
        if matches(item):
            items.append(item if paths is None else projected(item, paths))
    answer: dict[str, Any] = {"Count": len(items), "ScannedCount": seen}
    if arguments.get("Select") != "COUNT":
        answer["Items"] = items
    # A page that its limit filled may be the last; the service says that there may be more.
    if last is not None and (more or seen == limit):
        answer["LastEvaluatedKey"] = {name: last[name] for name in table.keys}
    return Page(answer, size)


def _key_condition(table: Table, text: str, placeholders: Placeholders) -> tuple[Any, _Test]:
    """The partition, and what its sort keys must satisfy."""
    parser = Parser(text, "KeyConditionExpression", placeholders)
    tests: dict[str, tuple[str, _Test, Value]] = {}
    while True:
        wrapped = parser.take("(")
        name, test = _key_test(parser, table)
        if name in tests:
            raise bad(
                "Invalid KeyConditionExpression: KeyConditionExpressions must only contain one condition per key"
            )
        tests[name] = test
        if wrapped:
            parser.expect(")")
        if not parser.take("AND"):
            break
    parser.finish()
    partition = tests.pop(table.keys[0], None)
    if partition is None:
        raise bad(f"Query condition missed key schema element: {table.keys[0]}")
    if partition[0] != "=":
        raise bad("Query key condition not supported")
    sort = tests.pop(table.keys[1], None) if len(table.keys) > 1 else None
    if tests:
        wanted = table.keys[1] if len(table.keys) > 1 else table.keys[0]
        raise bad(f"Query condition missed key schema element: {wanted}")
    return ordered(partition[2]), sort[1] if sort is not None else lambda _: True


def _key_test(parser: Parser, table: Table) -> tuple[str, tuple[str, _Test, Value]]:
    if parser.peek() == "begins_with" and parser.peek(1) == "(":
        parser.next()
        parser.next()
        name = _key_name(parser)
        parser.expect(",")
        start = _key_value(parser, table, name)
        parser.expect(")")
        return name, ("begins_with", lambda key: key.startswith(ordered(start)), start)
    name = _key_name(parser)
    sign = parser.next().upper()
    value = _key_value(parser, table, name)
    if sign == "BETWEEN":
        parser.expect("AND")
        high = _key_value(parser, table, name)
        return name, (sign, lambda key: ordered(value) <= key <= ordered(high), value)
    if sign not in _SIGNS:
        raise bad(f"Invalid KeyConditionExpression: Invalid operator used in KeyConditionExpression: {sign}")
    return name, (sign, lambda key: _SIGNS[sign](key, ordered(value)), value)


def _key_name(parser: Parser) -> str:
    path = parser.path()
    if len(path) != 1:
        raise bad(
            "Invalid KeyConditionExpression: KeyConditionExpressions cannot have conditions on nested attributes"
        )
    return str(path[0])


def _key_value(parser: Parser, table: Table, name: str) -> Value:
    value = parser.value()
    if name in table.types and kind_of(value) != table.types[name]:
        raise bad(
            "One or more parameter values were invalid: Condition parameter type does not match schema type"
        )
    return value
