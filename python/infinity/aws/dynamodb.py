"""One table of DynamoDB with a partition key ``pk`` and a sort key ``sk``: items in, items out, in the
service's own notation.

What the items mean is the caller's (``cloud/store.py``, ``cloud/tool_function.py``).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .breaker import Breaker
from .client import Aws, RetryPolicy
from .failure import AwsError

__all__ = ["Item", "Table", "binary", "bytes_of", "number", "text"]

Item = dict[str, dict[str, str]]
"""``{"name": {"S": text}}``, with ``N`` for numbers and ``B`` for bytes in base64."""

_BATCH = 25
_TRIES = 4
_FAILED = "ConditionalCheckFailedException"


class Table:
    """One table. Every method raises ``AwsError``; ``NotAsked`` is one.

    A ``policy`` is given where a caller cannot wait as long as the client would.
    """

    def __init__(self, aws: Aws, name: str, breaker: Breaker | None = None) -> None:
        """Take the name; nothing is asked.

        Args:
            aws: the client.
            name: of the table.
            breaker: the process's own, if there is one that outlives this.
        """
        self._aws, self._name = aws, name
        self._breaker = breaker or Breaker("dynamodb")

    async def get(self, pk: str, sk: str, policy: RetryPolicy | None = None) -> Item | None:
        """One item, as it was a moment ago: a read that may miss the latest write, at half the price.

        Args:
            pk: partition key.
            sk: sort key.
            policy: how long it may take.

        Returns:
            ``None`` if there is none.
        """
        payload = {"TableName": self._name, "Key": _key(pk, sk)}
        answer = await self._ask("GetItem", payload, policy)
        item: Item | None = answer.get("Item")
        return item

    async def begins(self, pk: str, prefix: str, policy: RetryPolicy | None = None) -> list[Item]:
        """All items of a partition whose sort key begins so, the latest writes included.

        Args:
            pk: partition key.
            prefix: of the sort key.
            policy: how long each request may take.
        """
        return await self._query(
            {
                "KeyConditionExpression": "pk = :pk AND begins_with(sk, :sk)",
                "ExpressionAttributeValues": {":pk": text(pk), ":sk": text(prefix)},
            },
            policy,
        )

    async def keys(self, pk: str) -> list[str]:
        """Sort keys of all items of a partition, the latest writes included.

        Args:
            pk: partition key.
        """
        found = await self._query(
            {
                "KeyConditionExpression": "pk = :pk",
                "ExpressionAttributeValues": {":pk": text(pk)},
                "ProjectionExpression": "sk",
            },
        )
        return [item["sk"]["S"] for item in found]

    async def _query(self, condition: Mapping[str, Any], policy: RetryPolicy | None = None) -> list[Item]:
        query: dict[str, Any] = {"TableName": self._name, "ConsistentRead": True, **condition}
        found: list[Item] = []
        while True:
            answer = await self._ask("Query", query, policy)
            found += answer.get("Items", ())
            # An empty page is not the last one; only this says so.
            if not (last := answer.get("LastEvaluatedKey")):
                return found
            query["ExclusiveStartKey"] = last

    async def put(self, pk: str, sk: str, item: Item, policy: RetryPolicy | None = None) -> None:
        """Write an item, in the place of any other of its key.

        Args:
            pk: partition key.
            sk: sort key.
            item: attributes beside the keys.
            policy: how long it may take.
        """
        payload = {"TableName": self._name, "Item": {**_key(pk, sk), **item}}
        await self._ask("PutItem", payload, policy)

    async def update(
        self, pk: str, sk: str, change: str, condition: str, values: Item, policy: RetryPolicy | None = None
    ) -> Item | None:
        """Change an item in one step. A repeat after a lost answer changes it once more.

        Args:
            pk: partition key.
            sk: sort key.
            change: an update expression, in which ``#name`` is the attribute and ``:name`` the value of
                that name.
            condition: an expression that must hold; empty: none.
            values: by name.
            policy: how long it may take.

        Returns:
            The item after the change; ``None`` if the condition does not hold.
        """
        # Under placeholders: a name may be a reserved word of DynamoDB.
        names = set(re.findall(r"#(\w+)", change + condition))
        payload = {
            "TableName": self._name,
            "Key": _key(pk, sk),
            "UpdateExpression": change,
            "ExpressionAttributeNames": {f"#{name}": name for name in sorted(names)},
            "ExpressionAttributeValues": {f":{name}": value for name, value in values.items()},
            "ReturnValues": "ALL_NEW",
        }
        if condition:
            payload["ConditionExpression"] = condition
        try:
            answer = await self._ask("UpdateItem", payload, policy)
        except AwsError as error:
            # No failure: the condition was there to be asked.
            if error.service_code == _FAILED:
                return None
            raise
        item: Item = answer["Attributes"]
        return item

    async def put_later(
        self, pk: str, sk: str, item: Item, by: str, policy: RetryPolicy | None = None
    ) -> bool:
        """Write an item, unless there is one whose number is greater.

        Args:
            pk: partition key.
            sk: sort key.
            item: attributes beside the keys.
            by: the name of the number that is compared.
            policy: how long it may take.

        Returns:
            False if there is a later one, which stays.
        """
        payload = {
            "TableName": self._name,
            "Item": {**_key(pk, sk), **item},
            "ConditionExpression": "attribute_not_exists(#by) OR #by <= :by",
            "ExpressionAttributeNames": {"#by": by},
            "ExpressionAttributeValues": {":by": item[by]},
        }
        return await self._conditionally("PutItem", payload, policy)

    async def take(self, pk: str, sk: str, name: str, value: str, policy: RetryPolicy | None = None) -> bool:
        """Delete an item if a text of it has this value: of several who try, one hears true.

        A repeat after a lost answer hears false: then nobody has it.

        Args:
            pk: partition key.
            sk: sort key.
            name: of the text.
            value: that it must have.
            policy: how long it may take.
        """
        payload = {
            "TableName": self._name,
            "Key": _key(pk, sk),
            "ConditionExpression": "#name = :value",
            "ExpressionAttributeNames": {"#name": name},
            "ExpressionAttributeValues": {":value": text(value)},
        }
        return await self._conditionally("DeleteItem", payload, policy)

    async def write(
        self,
        puts: Mapping[tuple[str, str], Item],
        deletes: Sequence[tuple[str, str]] = (),
        policy: RetryPolicy | None = None,
    ) -> None:
        """Write and delete many items in few requests, in no order and not all at once.

        Args:
            puts: items by ``(pk, sk)``.
            deletes: keys ``(pk, sk)``.
            policy: how long each request may take.

        Raises:
            AwsError: DynamoDB left some of them each time; the others are written.
        """
        requests: list[dict[str, Any]] = [
            {"PutRequest": {"Item": {**_key(*key), **item}}} for key, item in puts.items()
        ]
        requests += [{"DeleteRequest": {"Key": _key(*key)}} for key in dict.fromkeys(deletes)]
        for batch in _batches(requests):
            await self._write(batch, policy)

    async def _write(self, batch: Sequence[dict[str, Any]], policy: RetryPolicy | None) -> None:
        left: Any = {self._name: batch}
        for tried in range(1, _TRIES + 1):
            payload = {"RequestItems": left}
            answer = await self._ask("BatchWriteItem", payload, policy)
            left = answer.get("UnprocessedItems")
            if not left:
                return
            # The table is busy, and says so by what it leaves.
            if tried < _TRIES:
                await self._aws.pause(tried)
        count = len(left.get(self._name, ()))
        raise AwsError(
            f"dynamodb BatchWriteItem left {count} items each time; try again later", retryable=True
        )

    async def _ask(
        self, operation: str, payload: Mapping[str, Any], policy: RetryPolicy | None = None
    ) -> dict[str, Any]:
        with self._breaker.request():
            return await self._aws.json("dynamodb", operation, payload, policy=policy)

    async def _conditionally(
        self, operation: str, payload: Mapping[str, Any], policy: RetryPolicy | None
    ) -> bool:
        try:
            await self._ask(operation, payload, policy)
        except AwsError as error:
            if error.service_code == _FAILED:
                return False
            raise
        return True


def text(value: str) -> dict[str, str]:
    """A text, in the notation of DynamoDB."""
    return {"S": value}


def number(value: int) -> dict[str, str]:
    """A whole number, in the notation of DynamoDB."""
    return {"N": str(value)}


def binary(value: bytes) -> dict[str, str]:
    """Bytes, in the notation of DynamoDB."""
    return {"B": base64.b64encode(value).decode()}


def bytes_of(attribute: Mapping[str, str]) -> bytes:
    """The bytes of such an attribute."""
    return base64.b64decode(attribute["B"], validate=True)


def _key(pk: str, sk: str) -> Item:
    return {"pk": text(pk), "sk": text(sk)}


def _batches(requests: Sequence[dict[str, Any]]) -> Iterator[Sequence[dict[str, Any]]]:
    for start in range(0, len(requests), _BATCH):
        yield requests[start : start + _BATCH]
