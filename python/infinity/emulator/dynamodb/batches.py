"""BatchGetItem and BatchWriteItem: several items at once, each by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .changes import planned
from .expression import Placeholders
from .values import bad, checked_item

if TYPE_CHECKING:
    from .service import DynamoDb

__all__ = ["Batches"]

_MOST_READ = 100
_MOST_WRITTEN = 25
_READ_BYTES = 16 << 20


class Batches:
    def __init__(self, service: DynamoDb) -> None:
        self._service = service

    def get(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """At most 100 items and 16 MB; keys that did not fit are given back."""
        requests: Mapping[str, Any] = arguments.get("RequestItems") or {}
        count = sum(len(request.get("Keys") or ()) for request in requests.values())
        if not count:
            raise bad("The batch get request list for a table cannot be null or empty")
        if count > _MOST_READ:
            raise bad("Too many items requested for the BatchGetItem call")
        answers: dict[str, list[Any]] = {}
        left: dict[str, Any] = {}
        total = 0
        for name, request in requests.items():
            table = self._service.table(name)
            placeholders = Placeholders(request)
            known = [table.key_of(checked_item(key), exactly=True) for key in request["Keys"]]
            if len(set(known)) != len(known):
                raise bad("Provided list of item keys contains duplicates")
            answers[name] = []
            for key in request["Keys"]:
                if total >= _READ_BYTES:
                    left.setdefault(name, {**request, "Keys": []})["Keys"].append(key)
                    continue
                item, size = self._service.read(table, request, key, placeholders)
                total += size
                self._service.charge("read", size, {}, 1 if request.get("ConsistentRead") else 0.5)
                if item is not None:
                    answers[name].append(item)
            placeholders.all_used()
        return {"Responses": answers, "UnprocessedKeys": left}

    def write(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """At most 25 puts and deletes, without conditions."""
        requests: Mapping[str, Any] = arguments.get("RequestItems") or {}
        count = sum(map(len, requests.values()))
        if not 1 <= count <= _MOST_WRITTEN:
            raise bad(
                "1 validation error detected: Value at 'requestItems' failed to satisfy constraint: Map value must satisfy constraint: "
                "[Member must have length less than or equal to 25, Member must have length greater than or equal to 1]"
            )
        changes = []
        for name, entries in requests.items():
            table = self._service.table(name)
            for entry in entries:
                ((kind, request),) = entry.items()
                changes.append(planned("Put" if kind == "PutRequest" else "Delete", table, request))
        if len({(change.table.name, change.key) for change in changes}) != count:
            raise bad("Provided list of item keys contains duplicates")
        for change in changes:
            if self._service.writing:
                change.make()
            self._service.charge("write", change.size, {})
        return {"UnprocessedItems": {}}
