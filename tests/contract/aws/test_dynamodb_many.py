"""DynamoDB: queries, batches, transactions."""

from __future__ import annotations

from typing import Any

import pytest
from tests.contract.aws.backends import Aws
from tests.contract.aws.conftest import refused
from tests.contract.aws.tables import KEY, Table, item, number, table, text

SERVICE = "dynamodb"
INVALID = "ValidationException"


async def numbered(aws: Aws, count: int = 5) -> Table:
    things = await table(aws, sort="N")
    for n in range(count):
        await things.put(item(sk=number(n), word=text(f"w{n % 2}")))
    await things.put(item("b", sk=number(0)))
    return things


# queries


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("pk = :pk", [0, 1, 2, 3, 4]),
        ("pk = :pk AND sk = :two", [2]),
        ("pk = :pk AND sk < :two", [0, 1]),
        ("pk = :pk AND sk >= :two", [2, 3, 4]),
        ("sk > :two AND pk = :pk", [3, 4]),
        ("pk = :pk AND sk BETWEEN :two AND :three", [2, 3]),
        ("(pk = :pk) AND (sk <= :two)", [0, 1, 2]),
    ],
)
async def test_a_query_finds_what_its_key_condition_says_in_order(
    aws: Aws, condition: str, found: list[int]
) -> None:
    things = await numbered(aws)
    values = {":pk": text("a"), ":two": number(2), ":three": number(3)}
    used = {name: value for name, value in values.items() if name in condition}
    items = await things.query(KeyConditionExpression=condition, ExpressionAttributeValues=used)
    assert [int(each["sk"]["N"]) for each in items] == found


async def test_a_query_goes_backwards_too(aws: Aws) -> None:
    things = await numbered(aws)
    items = await things.query(
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": text("a")},
        ScanIndexForward=False,
        Limit=2,
    )
    assert [each["sk"]["N"] for each in items] == ["4", "3"]


async def test_numbers_are_in_the_order_of_their_size(aws: Aws) -> None:
    things = await table(aws, sort="N")
    for n in ("10", "9", "-1", "2.5"):
        await things.put(item(sk={"N": n}))
    items = await things.query(
        KeyConditionExpression="pk = :pk", ExpressionAttributeValues={":pk": text("a")}
    )
    assert [each["sk"]["N"] for each in items] == ["-1", "2.5", "9", "10"]


async def test_texts_are_in_the_order_of_their_bytes_and_found_by_prefix(aws: Aws) -> None:
    things = await table(aws, sort="S")
    for sk in ("b", "a2", "a1", "A", "ä"):
        await things.put(item(sk=text(sk)))
    values = {":pk": text("a"), ":a": text("a")}
    items = await things.query(
        KeyConditionExpression="pk = :pk", ExpressionAttributeValues={":pk": text("a")}
    )
    assert [each["sk"]["S"] for each in items] == ["A", "a1", "a2", "b", "ä"]
    items = await things.query(
        KeyConditionExpression="pk = :pk AND begins_with(sk, :a)", ExpressionAttributeValues=values
    )
    assert [each["sk"]["S"] for each in items] == ["a1", "a2"]


async def test_pages_together_are_the_whole(aws: Aws) -> None:
    things = await numbered(aws)
    found: list[str] = []
    start: dict[str, Any] = {}
    for _ in range(5):
        answer = await things.call(
            "query",
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": text("a")},
            Limit=2,
            **start,
        )
        found += [each["sk"]["N"] for each in answer["Items"]]
        if "LastEvaluatedKey" not in answer:
            break
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
    assert found == ["0", "1", "2", "3", "4"]


async def test_a_page_has_one_megabyte_at_most(aws: Aws) -> None:
    things = await table(aws, sort="N")
    for n in range(4):
        await things.put(item(sk=number(n), data=text("x" * 390 * 1024)))
    answer = await things.call(
        "query", KeyConditionExpression="pk = :pk", ExpressionAttributeValues={":pk": text("a")}
    )
    assert answer["Count"] == 3 and answer["LastEvaluatedKey"]["sk"] == number(2)


async def test_a_filter_takes_away_after_the_limit_has_counted(aws: Aws) -> None:
    things = await numbered(aws)
    answer = await things.call(
        "query",
        KeyConditionExpression="pk = :pk",
        FilterExpression="word = :w",
        ExpressionAttributeValues={":pk": text("a"), ":w": text("w1")},
        Limit=3,
    )
    assert (answer["Count"], answer["ScannedCount"]) == (1, 3)


async def test_a_projection_leaves_only_what_it_names(aws: Aws) -> None:
    things = await table(aws)
    await things.put(item(a=number(1), b={"M": {"c": number(2), "d": number(3)}}))
    found = await things.get(KEY, ProjectionExpression="pk, b.c")
    assert found == item(b={"M": {"c": number(2)}})


async def test_a_count_brings_no_items(aws: Aws) -> None:
    things = await numbered(aws)
    answer = await things.call(
        "query",
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": text("a")},
        Select="COUNT",
    )
    assert answer["Count"] == 5 and not answer.get("Items")


@pytest.mark.parametrize(
    "condition", ["sk = :v", "pk > :v", "pk = :v AND word = :v", "pk = :v OR sk = :v", "pk = :v AND sk <> :v"]
)
async def test_a_key_condition_that_names_no_partition_is_refused(aws: Aws, condition: str) -> None:
    things = await table(aws, sort="S")
    with refused(INVALID):
        await things.query(KeyConditionExpression=condition, ExpressionAttributeValues={":v": text("a")})


async def test_a_scan_finds_every_item(aws: Aws) -> None:
    things = await numbered(aws)
    answer = await things.call("scan")
    assert answer["Count"] == 6


# batches


async def test_items_are_written_and_read_in_batches(aws: Aws) -> None:
    things = await table(aws)
    puts = [{"PutRequest": {"Item": item(str(n))}} for n in range(3)]
    await aws.call("dynamodb", "batch_write_item", RequestItems={things.name: puts})
    deletion: list[dict[str, Any]] = [{"DeleteRequest": {"Key": item("0")}}]
    await aws.call("dynamodb", "batch_write_item", RequestItems={things.name: deletion})
    keys = {"Keys": [item(str(n)) for n in range(4)], "ConsistentRead": True}
    answer = await aws.call("dynamodb", "batch_get_item", RequestItems={things.name: keys})
    found = answer["Responses"][things.name]
    assert sorted(each["pk"]["S"] for each in found) == ["1", "2"]
    assert answer["UnprocessedKeys"] == {}


async def test_a_batch_has_its_limits_and_names_an_item_once(aws: Aws) -> None:
    things = await table(aws)

    async def write(names: list[str]) -> None:
        puts = [{"PutRequest": {"Item": item(name)}} for name in names]
        await aws.call("dynamodb", "batch_write_item", RequestItems={things.name: puts})

    with refused(INVALID):
        await write([str(n) for n in range(26)])
    with refused(INVALID):
        await write(["same", "same"])
    with refused(INVALID):
        keys = {"Keys": [item(str(n)) for n in range(101)]}
        await aws.call("dynamodb", "batch_get_item", RequestItems={things.name: keys})


# transactions


def put(things: Table, pk: str, **more: Any) -> dict[str, Any]:
    return {"Put": {"TableName": things.name, "Item": item(pk), **more}}


async def test_a_transaction_makes_all_its_changes(aws: Aws) -> None:
    things = await table(aws)
    await things.put(item("old", n=number(1)))
    await things.put(item("gone"))
    where = {"TableName": things.name}
    await aws.call(
        "dynamodb",
        "transact_write_items",
        TransactItems=[
            put(things, "new", ConditionExpression="attribute_not_exists(pk)"),
            {
                "Update": where
                | {
                    "Key": item("old"),
                    "UpdateExpression": "ADD n :one",
                    "ExpressionAttributeValues": {":one": number(1)},
                }
            },
            {"Delete": where | {"Key": item("gone")}},
            {
                "ConditionCheck": where
                | {"Key": item("none"), "ConditionExpression": "attribute_not_exists(pk)"}
            },
        ],
    )
    assert await things.get(item("new")) == item("new")
    assert await things.get(item("old")) == item("old", n=number(2))
    assert await things.get(item("gone")) is None
    assert await things.get(item("none")) is None


async def test_a_transaction_makes_none_of_them_if_one_may_not_be(aws: Aws) -> None:
    things = await table(aws)
    await things.put(item("there"))
    with refused("TransactionCanceledException") as refusal:
        await aws.call(
            "dynamodb",
            "transact_write_items",
            TransactItems=[
                put(things, "new"),
                put(things, "there", ConditionExpression="attribute_not_exists(pk)"),
            ],
        )
    reasons = refusal.error.response["CancellationReasons"]
    assert [reason["Code"] for reason in reasons] == ["None", "ConditionalCheckFailed"]
    assert "[None, ConditionalCheckFailed]" in refusal.message
    assert await things.get(item("new")) is None


async def test_a_transaction_names_an_item_once(aws: Aws) -> None:
    things = await table(aws)
    with refused(INVALID) as refusal:
        await aws.call("dynamodb", "transact_write_items", TransactItems=[put(things, "a"), put(things, "a")])
    assert "multiple operations on one item" in refusal.message


async def test_a_transaction_has_a_hundred_actions_at_most(aws: Aws) -> None:
    things = await table(aws)
    await aws.call(
        "dynamodb", "transact_write_items", TransactItems=[put(things, str(n)) for n in range(100)]
    )
    with refused(INVALID):
        await aws.call(
            "dynamodb", "transact_write_items", TransactItems=[put(things, str(n)) for n in range(101)]
        )


async def test_a_transaction_has_four_megabytes_at_most(aws: Aws) -> None:
    things = await table(aws)
    big = [
        {"Put": {"TableName": things.name, "Item": item(str(n), data=text("x" * 399 * 1024))}}
        for n in range(11)
    ]
    with refused(INVALID):
        await aws.call("dynamodb", "transact_write_items", TransactItems=big)
    assert await things.get(item("0")) is None


async def test_a_transaction_with_a_known_token_is_not_made_again(aws: Aws) -> None:
    things = await table(aws)
    request: dict[str, Any] = {
        "ClientRequestToken": things.name[:36],
        "TransactItems": [
            {
                "Update": {
                    "TableName": things.name,
                    "Key": KEY,
                    "UpdateExpression": "ADD n :one",
                    "ExpressionAttributeValues": {":one": number(1)},
                }
            }
        ],
    }
    await aws.call("dynamodb", "transact_write_items", **request)
    await aws.call("dynamodb", "transact_write_items", **request)
    assert await things.get(KEY) == item(n=number(1))


async def test_a_token_belongs_to_one_transaction(aws: Aws) -> None:
    things = await table(aws)
    token = {"ClientRequestToken": things.name[:36]}
    await aws.call("dynamodb", "transact_write_items", TransactItems=[put(things, "a")], **token)
    with refused("IdempotentParameterMismatchException"):
        await aws.call("dynamodb", "transact_write_items", TransactItems=[put(things, "b")], **token)


async def test_ten_minutes_later_a_token_is_new(aws: Aws) -> None:
    things = await table(aws)
    token = {"ClientRequestToken": things.name[:36]}
    await aws.call("dynamodb", "transact_write_items", TransactItems=[put(things, "a")], **token)
    await aws.later(601)
    await aws.call("dynamodb", "transact_write_items", TransactItems=[put(things, "b")], **token)
    assert await things.get(item("b")) == item("b")


async def test_several_items_are_read_at_one_point_in_time(aws: Aws) -> None:
    things = await table(aws)
    await things.put(item("a"))
    gets = [{"Get": {"TableName": things.name, "Key": item(pk)}} for pk in ("a", "b")]
    answer = await aws.call("dynamodb", "transact_get_items", TransactItems=gets)
    assert [response.get("Item") for response in answer["Responses"]] == [item("a"), None]
