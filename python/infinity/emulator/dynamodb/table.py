"""A table: its key, and its items with as much of their past as a stale read may see.

All reads and writes of the service end here. An older version of an item is kept for as long as an
inconsistent read could still see it, and no longer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .values import Item, Value, bad, item_size, kind_of, ordered

__all__ = ["MAX_ITEM", "Key", "Table"]

MAX_ITEM = 400 * 1024
_KEY_BYTES = {"HASH": 2048, "RANGE": 1024}
Key = tuple[Any, Any]
"""What the key's values are known and sorted by; ``None`` where there is no sort key."""


@dataclass(frozen=True)
class _Version:
    written_at: int
    item: Item | None


@dataclass
class Table:
    """``keys``: the key's names, partition first. ``types``: their kinds. ``staleness``: how old a read may
    be that is not consistent, in ms.
    """

    name: str
    arn: str
    keys: tuple[str, ...]
    types: Mapping[str, str]
    created_at: int
    now: Callable[[], int]
    described: dict[str, Any] = field(default_factory=dict)
    """What ``CreateTable`` was given and nothing here depends on."""
    expires: str | None = None
    """The attribute that holds when an item may be deleted, in seconds since the epoch."""
    staleness: int = 0
    _items: dict[Any, dict[Any, list[_Version]]] = field(default_factory=dict)

    def key_of(self, item: Mapping[str, Value], *, exactly: bool = False) -> Key:
        """The key of an item.

        Args:
            item: With at least the key's attributes.
            exactly: Whether it may have nothing besides.

        Raises:
            AwsError: if the key is missing, empty, too long or of another kind.
        """
        if exactly and (
            item.keys() != set(self.keys) or any(kind_of(item[k]) != self.types[k] for k in self.keys)
        ):
            raise bad("The provided key element does not match the schema")
        parts = [self._part(item, name, "RANGE" if place else "HASH") for place, name in enumerate(self.keys)]
        return (parts[0], parts[1] if len(parts) > 1 else None)

    def _part(self, item: Mapping[str, Value], name: str, role: str) -> Any:
        if name not in item:
            raise bad(f"One or more parameter values were invalid: Missing the key {name} in the item")
        value, expected = item[name], self.types[name]
        if kind_of(value) != expected:
            raise bad(
                f"One or more parameter values were invalid: Type mismatch for key {name} expected: {expected} actual: {kind_of(value)}"
            )
        if value[expected] == "":
            raise bad(
                f"One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: {name}"
            )
        most = _KEY_BYTES[role]
        if item_size({"": value}) > most:
            part = "hash" if role == "HASH" else "range"
            raise bad(
                f"One or more parameter values were invalid: Size of {part}key has exceeded the maximum size limit of {most} bytes"
            )
        return ordered(value)

    def get(self, key: Key, *, consistent: bool = True) -> Item | None:
        versions = self._items.get(key[0], {}).get(key[1])
        return None if versions is None else self._seen(versions, consistent)

    def write(self, key: Key, item: Item | None) -> None:
        """``None`` deletes."""
        now = self.now()
        versions = self._items.setdefault(key[0], {}).setdefault(key[1], [])
        versions.append(_Version(now, item))
        # The newest that every reader sees is the last that is needed.
        settled = [place for place, v in enumerate(versions) if v.written_at <= now - self.staleness]
        del versions[: settled[-1] if settled else 0]
        if len(versions) == 1 and versions[0].item is None:
            self._drop(key)

    def _drop(self, key: Key) -> None:
        partition = self._items[key[0]]
        del partition[key[1]]
        if not partition:
            del self._items[key[0]]

    def partition(self, part: Any, *, consistent: bool = True) -> Iterator[tuple[Key, Item]]:
        """In the order of the sort key."""
        inside = self._items.get(part, {})
        for sort in sorted(inside) if len(self.keys) > 1 else list(inside):
            item = self._seen(inside[sort], consistent)
            if item is not None:
                yield (part, sort), item

    def items(self, *, consistent: bool = True) -> Iterator[tuple[Key, Item]]:
        """Partition by partition, in no order that means anything but always the same."""
        for part in sorted(self._items):
            yield from self.partition(part, consistent=consistent)

    def _seen(self, versions: list[_Version], consistent: bool) -> Item | None:
        if consistent or not self.staleness:
            return versions[-1].item
        before = self.now() - self.staleness
        return next((v.item for v in reversed(versions) if v.written_at <= before), None)

    def expired(self) -> list[Key]:
        """Keys of the items whose time to live is over."""
        if self.expires is None:
            return []
        now = self.now() // 1000
        found = []
        for key, item in self.items():
            value = item.get(self.expires, {}).get("N")
            if value is not None and float(value) <= now:
                found.append(key)
        return found
