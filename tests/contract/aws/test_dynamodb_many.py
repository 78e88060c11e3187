"""DynamoDB: queries and batches."""

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


# batches


async def test_items_are_written_in_batches(aws: Aws) -> None:
    things = await table(aws)
    puts = [{"PutRequest": {"Item": item(str(n))}} for n in range(3)]
    await aws.call("dynamodb", "batch_write_item", RequestItems={things.name: puts})
    deletion: list[dict[str, Any]] = [{"DeleteRequest": {"Key": item("0")}}]
    await aws.call("dynamodb", "batch_write_item", RequestItems={things.name: deletion})
    found = [await things.get(item(str(n))) for n in range(4)]
    assert [each is not None for each in found] == [False, True, True, False]


async def test_a_batch_has_its_limits_and_names_an_item_once(aws: Aws) -> None:
    things = await table(aws)

    async def write(names: list[str]) -> None:
        puts = [{"PutRequest": {"Item": item(name)}} for name in names]
        await aws.call("dynamodb", "batch_write_item", RequestItems={things.name: puts})

    with refused(INVALID):
        await write([str(n) for n in range(26)])
    with refused(INVALID):
        await write(["same", "same"])
