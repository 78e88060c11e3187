"""BatchWriteItem: several items at once, each by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .changes import planned
from .values import bad

if TYPE_CHECKING:
    from .service import DynamoDb

__all__ = ["Batches"]

_MOST_WRITTEN = 25


class Batches:
    def __init__(self, service: DynamoDb) -> None:
        self._service = service

    def write(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The operation ``BatchWriteItem``: at most 25 puts and deletes, without conditions.

        Raises:
            AwsError: for a request that DynamoDB would refuse as a whole; nothing is written then.
        """
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
        # All are planned before the first is made: a bad one refuses the whole batch.
        for change in changes:
            if self._service.writing:
                change.make()
            self._service.charge("write", change.size, {})
        return {"UnprocessedItems": {}}
