"""The operations of DynamoDB, as the JSON protocol names them.

Only those that the cloud host and tool functions use: what is missing is refused loudly. Units are counted
as they are billed, for tests and benchmarks of what a slice costs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..clock import Timeline
from ..failure import AwsError
from ..protocols import JsonService, Operation
from .batches import Batches
from .changes import planned, returned
from .expression import Parser, Placeholders, projected
from .reading import queried
from .table import Table
from .values import Item, bad, checked_item, item_size

__all__ = ["DynamoDb"]

_NAME = re.compile(r"[a-zA-Z0-9_.-]{3,255}")
_RETURNS = {"PutItem": ("NONE", "ALL_OLD"), "DeleteItem": ("NONE", "ALL_OLD")}
_EVERY_RETURN = ("NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW")


class DynamoDb(JsonService):
    """``create``, ``table``, ``expire`` and ``staleness`` are for tests. ``units`` counts what is paid for:
    ``read`` and ``write`` units.
    """

    name = "dynamodb"
    target = "DynamoDB_20120810"
    namespace = "com.amazonaws.dynamodb.v20120810"

    def __init__(self, timeline: Timeline, region: str, account: str) -> None:
        self.batches = Batches(self)
        super().__init__()
        self.timeline = timeline
        self._place = f"arn:aws:dynamodb:{region}:{account}:table/"
        self._tables: dict[str, Table] = {}
        self._staleness = 0
        self._dry = False
        self.units: Counter[str] = Counter()

    def offered(self) -> dict[str, Operation]:
        return {
            "BatchWriteItem": self.batches.write,
            "CreateTable": self._create,
            "DeleteItem": lambda a: self._write("DeleteItem", "Delete", a),
            "DescribeTable": lambda a: {"Table": self._described(self.asked(a), "ACTIVE")},
            "GetItem": self._get,
            "ListTables": lambda a: {"TableNames": sorted(self._tables)},
            "PutItem": lambda a: self._write("PutItem", "Put", a),
            "Query": self._query,
            "UpdateItem": lambda a: self._write("UpdateItem", "Update", a),
            "UpdateTimeToLive": self._update_ttl,
        }

    # for tests and the other parts

    def create(
        self, name: str, partition: str, sort: str | None = None, *, expires: str | None = None
    ) -> Table:
        """Make a table; for tests.

        Args:
            name: Of the table.
            partition: The partition key: ``"id"`` is a text, ``"id:N"`` a number.
            sort: The sort key, in the same form.
            expires: The attribute of its time to live.
        """
        keys = [key.partition(":") for key in (partition, sort) if key is not None]
        roles = ("HASH", "RANGE")
        self._create(
            {
                "TableName": name,
                "BillingMode": "PAY_PER_REQUEST",
                "KeySchema": [
                    {"AttributeName": k[0], "KeyType": r} for k, r in zip(keys, roles, strict=False)
                ],
                "AttributeDefinitions": [{"AttributeName": k[0], "AttributeType": k[2] or "S"} for k in keys],
            }
        )
        table = self.table(name)
        table.expires = expires
        return table

    def restore(self, described: dict[str, Any], expires: str | None, items: list[Item]) -> None:
        """A table of an earlier run."""
        self._create(described)
        table = self.table(described["TableName"])
        table.expires = expires
        for item in items:
            table.write(table.key_of(item), item)

    def table(self, name: str) -> Table:
        """By its name or ARN."""
        found = self._tables.get(name.rpartition("/")[2])
        if found is None:
            raise AwsError(
                "ResourceNotFoundException", f"Requested resource not found: Table: {name} not found"
            )
        return found

    def tables(self) -> list[Table]:
        return list(self._tables.values())

    def expire(self) -> int:
        """Delete what is beyond its time to live, as the service does some days late; for tests.

        Returns:
            How many items those were.
        """
        gone = [(table, key) for table in self._tables.values() for key in table.expired()]
        for table, key in gone:
            table.write(key, None)
        return len(gone)

    @property
    def staleness(self) -> int:
        """How long a write stays unseen by reads that are not consistent, in ms; 0 at first."""
        return self._staleness

    @staleness.setter
    def staleness(self, milliseconds: int) -> None:
        self._staleness = milliseconds
        for table in self._tables.values():
            table.staleness = milliseconds

    @contextmanager
    def dry(self) -> Iterator[None]:
        """Writes inside are checked and answered, and not made."""
        self._dry = True
        try:
            yield
        finally:
            self._dry = False

    @property
    def writing(self) -> bool:
        return not self._dry

    def throttled(self) -> AwsError:
        return AwsError(
            "ProvisionedThroughputExceededException",
            "The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level with the UpdateTable API.",
        )

    def asked(self, arguments: Mapping[str, Any]) -> Table:
        name = arguments.get("TableName")
        if not name or not isinstance(name, str):
            raise bad(
                "1 validation error detected: Value null at 'tableName' failed to satisfy constraint: Member must not be null"
            )
        return self.table(name)

    def charge(self, kind: str, size: int, arguments: Mapping[str, Any], factor: float = 1) -> dict[str, Any]:
        """Count units of a read or a write.

        Args:
            kind: ``read`` (blocks of 4 KB) or ``write`` (1 KB).
            size: Bytes.
            arguments: Of the request, which may ask for the figure.
            factor: 0.5 for a read that need not be consistent.

        Returns:
            ``ConsumedCapacity`` if it was asked for.
        """
        block = 4096 if kind == "read" else 1024
        # At least one, also for an item that is not there: reading nothing is paid for.
        units = max(1, -(-size // block)) * factor
        self.units[kind] += units  # type: ignore[assignment]
        if arguments.get("ReturnConsumedCapacity", "NONE") == "NONE":
            return {}
        return {"ConsumedCapacity": {"TableName": arguments.get("TableName"), "CapacityUnits": units}}

    # tables

    def _create(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        name = arguments.get("TableName") or ""
        if _NAME.fullmatch(name) is None:
            raise bad(
                "TableName must be at least 3 characters long and at most 255 characters long, and may contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'"
            )
        if name in self._tables:
            raise AwsError("ResourceInUseException", f"Table already exists: {name}")
        if arguments.get("GlobalSecondaryIndexes") or arguments.get("LocalSecondaryIndexes"):
            raise bad("this emulator has no secondary indexes")
        schema = {key["KeyType"]: key["AttributeName"] for key in arguments.get("KeySchema") or ()}
        types = {a["AttributeName"]: a["AttributeType"] for a in arguments.get("AttributeDefinitions") or ()}
        keys = tuple(schema[role] for role in ("HASH", "RANGE") if role in schema)
        if "HASH" not in schema or set(keys) != types.keys():
            raise bad(
                "One or more parameter values were invalid: Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions"
            )
        table = Table(name, self._place + name, keys, types, self.timeline.now(), self.timeline.now)
        table.staleness = self._staleness
        table.described = dict(arguments)
        self._tables[name] = table
        return {"TableDescription": self._described(table, "CREATING")}

    def _described(self, table: Table, status: str) -> dict[str, Any]:
        items = [item for _, item in table.items()]
        return {
            "TableName": table.name,
            "TableArn": table.arn,
            "TableStatus": status,
            "CreationDateTime": table.created_at / 1000,
            "KeySchema": table.described["KeySchema"],
            "AttributeDefinitions": table.described["AttributeDefinitions"],
            "BillingModeSummary": {"BillingMode": table.described.get("BillingMode", "PROVISIONED")},
            "ItemCount": len(items),
            "TableSizeBytes": sum(map(item_size, items)),
        }

    def _update_ttl(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        table, wanted = self.asked(arguments), arguments.get("TimeToLiveSpecification") or {}
        if wanted.get("Enabled") == (table.expires is not None):
            raise bad(f"TimeToLive is already {'enabled' if table.expires else 'disabled'}")
        table.expires = wanted.get("AttributeName") if wanted.get("Enabled") else None
        return {"TimeToLiveSpecification": wanted}

    # items

    def _get(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        table, placeholders = self.asked(arguments), Placeholders(arguments)
        item, size = self.read(table, arguments, arguments.get("Key"), placeholders)
        placeholders.all_used()
        factor = 1 if arguments.get("ConsistentRead") else 0.5
        capacity = self.charge("read", size, arguments, factor)
        return ({} if item is None else {"Item": item}) | capacity

    def read(
        self, table: Table, arguments: Mapping[str, Any], key: Any, placeholders: Placeholders
    ) -> tuple[Item | None, int]:
        """The item, projected, and its size."""
        text = arguments.get("ProjectionExpression")
        paths = Parser(text, "ProjectionExpression", placeholders).projection() if text else None
        consistent = bool(arguments.get("ConsistentRead"))
        item = table.get(table.key_of(checked_item(key), exactly=True), consistent=consistent)
        if item is None:
            return None, 0
        return (item if paths is None else projected(item, paths)), item_size(item)

    def _write(self, operation: str, kind: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        wanted = arguments.get("ReturnValues") or "NONE"
        if wanted not in _RETURNS.get(operation, _EVERY_RETURN):
            raise bad(
                "Return values set to invalid value"
                if wanted not in _EVERY_RETURN
                else "ReturnValues can only be ALL_OLD or NONE"
            )
        # Everything that may refuse comes before the change is made.
        change = planned(kind, self.asked(arguments), arguments)
        if self.writing:
            change.make()
        capacity = self.charge("write", change.size, arguments)
        attributes = returned(change, wanted)
        return ({"Attributes": attributes} if attributes else {}) | capacity

    def _query(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        page = queried(self.asked(arguments), arguments)
        factor = 1 if arguments.get("ConsistentRead") else 0.5
        return page.answer | self.charge("read", page.size, arguments, factor)
