"""A table of whichever backend, with the few words that the tests of DynamoDB use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.contract.aws.backends import Aws, fresh


@dataclass(frozen=True)
class Table:
    aws: Aws
    name: str

    async def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        return await self.aws.call("dynamodb", operation, TableName=self.name, **arguments)

    async def put(self, item: dict[str, Any], **more: Any) -> dict[str, Any]:
        return await self.call("put_item", Item=item, **more)

    async def get(self, key: dict[str, Any], **more: Any) -> dict[str, Any] | None:
        return (await self.call("get_item", Key=key, ConsistentRead=True, **more)).get("Item")

    async def update(self, key: dict[str, Any], expression: str, **more: Any) -> dict[str, Any]:
        return await self.call("update_item", Key=key, UpdateExpression=expression, **more)

    async def query(self, **more: Any) -> list[dict[str, Any]]:
        return list((await self.call("query", ConsistentRead=True, **more))["Items"])


async def table(aws: Aws, *, sort: str | None = None) -> Table:
    """``pk`` is its partition key, a text; ``sort`` the kind of its sort key ``sk``, if it has one."""
    name = fresh("table")
    keys = [("pk", "S", "HASH")] + ([("sk", sort, "RANGE")] if sort else [])
    await aws.call(
        "dynamodb",
        "create_table",
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": key, "KeyType": role} for key, _, role in keys],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind} for key, kind, _ in keys],
    )
    return Table(aws, name)


def text(value: str) -> dict[str, str]:
    return {"S": value}


def number(value: float) -> dict[str, str]:
    return {"N": str(value)}


def item(pk: str = "a", **attributes: Any) -> dict[str, Any]:
    return {"pk": text(pk), **attributes}


KEY = item()
