"""Writes: what each would change, worked out before anything is changed, so that several can be made as one.

``service`` and ``batches`` plan first and make afterwards. Planning checks everything that DynamoDB checks,
and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..failure import AwsError
from .conditions import condition
from .expression import Placeholders, found
from .table import MAX_ITEM, Key, Table
from .updates import Update, update
from .values import Item, bad, checked_item, item_size

__all__ = ["Change", "planned", "returned"]

_LEGACY = {
    "AttributeUpdates",
    "Expected",
    "ConditionalOperator",
    "QueryFilter",
    "KeyConditions",
    "AttributesToGet",
}


@dataclass(frozen=True)
class Change:
    """What one write would do. ``old`` and ``new`` are ``None`` where there is no item."""

    table: Table
    key: Key
    old: Item | None
    new: Item | None
    update: Update | None = None

    def make(self) -> None:
        self.table.write(self.key, self.new)

    @property
    def size(self) -> int:
        """Bytes that a write is charged for: the larger of before and after."""
        return max(item_size(item or {}) for item in (self.old, self.new))


def planned(kind: str, table: Table, arguments: Mapping[str, Any]) -> Change:
    """Work out a write without making it.

    Args:
        kind: ``Put``, ``Update`` or ``Delete``.
        table: Where.
        arguments: Of the request, or of one part of a batch.

    Raises:
        AwsError: if the request is invalid, or its condition does not hold.
    """
    for name in _LEGACY & arguments.keys():
        raise bad(f"{name} is of an older interface than this emulator; use expressions")
    placeholders = Placeholders(arguments)
    if kind == "Put":
        item = checked_item(arguments.get("Item"))
        key = table.key_of(item)
    else:
        given = checked_item(arguments.get("Key"))
        key, item = table.key_of(given, exactly=True), given
    holds = condition(arguments.get("ConditionExpression"), "ConditionExpression", placeholders)
    changing = None
    if kind == "Update" and arguments.get("UpdateExpression") is not None:
        changing = update(arguments["UpdateExpression"], table.keys, placeholders)
    # When every expression has been read, and before the condition is asked: a bad request is refused in any
    # state.
    placeholders.all_used()
    old = table.get(key)
    # An item that is not there has no attributes; conditions are asked of an empty one.
    if not holds(old or {}):
        shown = arguments.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" and old is not None
        fields: dict[str, Any] = {"Item": old} if shown else {}
        raise AwsError("ConditionalCheckFailedException", "The conditional request failed", **fields)
    return _change(kind, Change(table, key, old, old, changing), item)


def _change(kind: str, change: Change, item: Item) -> Change:
    table, key, old, changing = change.table, change.key, change.old, change.update
    match kind:
        case "Put":
            if item_size(item) > MAX_ITEM:
                raise bad("Item size has exceeded the maximum allowed size")
            return Change(table, key, old, item)
        case "Delete":
            return Change(table, key, old, None)
    base = old if old is not None else item
    new = changing.apply(base) if changing is not None else base
    if item_size(new) > MAX_ITEM:
        raise bad("Item size to update has exceeded the maximum allowed size")
    return Change(table, key, old, new, changing)


def returned(change: Change, wanted: str) -> Item | None:
    """What ``ReturnValues`` asks for."""
    match wanted:
        case "ALL_OLD":
            return change.old
        case "ALL_NEW":
            return change.new
        case "UPDATED_OLD" | "UPDATED_NEW":
            item = (change.old if wanted == "UPDATED_OLD" else change.new) or {}
            touched = {str(path[0]) for path in change.update.paths()} if change.update else set()
            return {name: item[name] for name in sorted(touched) if found(item, (name,)) is not None}
    return None
