"""DynamoDB: update expressions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.contract.aws.backends import Aws
from tests.contract.aws.conftest import refused
from tests.contract.aws.tables import KEY, item, number, table, text

SERVICE = "dynamodb"
INVALID = "ValidationException"
START: dict[str, Any] = {
    "n": number(5),
    "word": text("hello"),
    "tags": {"SS": ["a", "b"]},
    "list": {"L": [number(1), number(2), number(3)]},
    "map": {"M": {"x": number(1)}},
}
VALUES: dict[str, Any] = {
    ":one": number(1),
    ":text": text("new"),
    ":set": {"SS": ["b", "c"]},
    ":all": {"SS": ["a", "b"]},
    ":list": {"L": [number(9)]},
}


@pytest.mark.parametrize(
    ("expression", "name", "value"),
    [
        ("SET n = :one", "n", number(1)),
        ("SET n = n + :one", "n", number(6)),
        ("SET n = n - :one", "n", number(4)),
        ("SET n = if_not_exists(n, :one)", "n", number(5)),
        ("SET fresh = if_not_exists(fresh, :one)", "fresh", number(1)),
        ("SET fresh = if_not_exists(fresh, :one) + :one", "fresh", number(2)),
        ("SET fresh = word", "fresh", text("hello")),
        ("SET #list = list_append(#list, :list)", "list", {"L": [*map(number, (1, 2, 3, 9))]}),
        ("SET #list = list_append(:list, #list)", "list", {"L": [*map(number, (9, 1, 2, 3))]}),
        ("SET #list[1] = :one", "list", {"L": [*map(number, (1, 1, 3))]}),
        ("SET #list[7] = :one", "list", {"L": [*map(number, (1, 2, 3, 1))]}),
        ("SET #map.y = :text", "map", {"M": {"x": number(1), "y": text("new")}}),
        ("ADD n :one", "n", number(6)),
        ("ADD fresh :one", "fresh", number(1)),
        ("REMOVE word", "word", None),
        ("REMOVE absent", "absent", None),
        ("REMOVE #list[0], #list[1]", "list", {"L": [number(3)]}),
        ("REMOVE #map.x", "map", {"M": {}}),
        ("DELETE tags :all", "tags", None),
        ("DELETE absent :set", "absent", None),
        ("SET n = :one REMOVE word ADD tags :set", "n", number(1)),
    ],
)
async def test_updates_change_what_they_name(
    aws: Aws, expression: str, name: str, value: dict[str, Any] | None
) -> None:
    things = await table(aws)
    await things.put(item(**START))
    used = {key: given for key, given in VALUES.items() if key in expression}
    arguments: dict[str, Any] = {"ExpressionAttributeValues": used} if used else {}
    names = {f"#{word}": word for word in ("list", "map") if f"#{word}" in expression}
    if names:
        arguments["ExpressionAttributeNames"] = names
    await things.update(KEY, expression, **arguments)
    found = await things.get(KEY)
    assert found is not None
    assert found.get(name) == value
    untouched = START.keys() - {name, "word", "tags"}
    assert {key: found[key] for key in untouched} == {key: START[key] for key in untouched}


async def test_sets_grow_and_shrink(aws: Aws) -> None:
    things = await table(aws)
    await things.update(KEY, "ADD tags :v", ExpressionAttributeValues={":v": {"SS": ["a", "b"]}})
    await things.update(KEY, "ADD tags :v", ExpressionAttributeValues={":v": {"SS": ["b", "c"]}})
    await things.update(KEY, "DELETE tags :v", ExpressionAttributeValues={":v": {"SS": ["a", "z"]}})
    found = await things.get(KEY)
    assert found is not None and set(found["tags"]["SS"]) == {"b", "c"}


async def test_every_part_sees_the_item_as_it_was(aws: Aws) -> None:
    things = await table(aws)
    await things.put(item(a=number(1), b=number(2)))
    await things.update(KEY, "SET a = b, b = a")
    assert await things.get(KEY) == item(a=number(2), b=number(1))


async def test_an_update_makes_the_item_if_there_is_none(aws: Aws) -> None:
    things = await table(aws)
    await things.update(KEY, "SET a = :v", ExpressionAttributeValues={":v": number(1)})
    assert await things.get(KEY) == item(a=number(1))


async def test_an_update_with_a_condition_on_what_is_not_there_makes_nothing(aws: Aws) -> None:
    things = await table(aws)
    with refused("ConditionalCheckFailedException"):
        await things.update(
            KEY,
            "SET a = :v",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues={":v": number(1)},
        )
    assert await things.get(KEY) is None


async def test_additions_at_once_are_all_counted(aws: Aws) -> None:
    things = await table(aws)
    one = {"ExpressionAttributeValues": {":one": number(1)}}
    await asyncio.gather(*(things.update(KEY, "ADD n :one", **one) for _ in range(10)))
    assert await things.get(KEY) == item(n=number(10))


@pytest.mark.parametrize(
    ("wanted", "attributes"),
    [
        ("ALL_OLD", item(a=number(1), b=number(2))),
        ("UPDATED_OLD", {"a": number(1)}),
        ("ALL_NEW", item(a=number(9), b=number(2))),
        ("UPDATED_NEW", {"a": number(9)}),
        ("NONE", None),
    ],
)
async def test_an_update_tells_what_it_was_asked_for(
    aws: Aws, wanted: str, attributes: dict[str, Any] | None
) -> None:
    things = await table(aws)
    await things.put(item(a=number(1), b=number(2)))
    answer = await things.update(
        KEY, "SET a = :v", ExpressionAttributeValues={":v": number(9)}, ReturnValues=wanted
    )
    assert answer.get("Attributes") == attributes


@pytest.mark.parametrize(
    "expression",
    [
        "SET pk = :one",
        "SET n = :one, n = :text",
        "SET #map.x = :one, #map = :text",
        "SET n = :one SET word = :text",
        "SET fresh = absent + :one",
        "SET fresh = absent",
        "SET word = word + :one",
        "SET nowhere.y = :one",
        "ADD word :one",
        "ADD n :text",
        "DELETE n :set",
        "PUT n = :one",
        "SET n :one",
    ],
)
async def test_updates_that_make_no_sense_are_refused_and_change_nothing(aws: Aws, expression: str) -> None:
    things = await table(aws)
    await things.put(item(**START))
    arguments: dict[str, Any] = {}
    used = {key: given for key, given in VALUES.items() if key in expression}
    if used:
        arguments["ExpressionAttributeValues"] = used
    if "#map" in expression:
        arguments["ExpressionAttributeNames"] = {"#map": "map"}
    with refused(INVALID):
        await things.update(KEY, expression, **arguments)
    found = await things.get(KEY)
    assert found is not None
    assert {key: value for key, value in found.items() if key != "tags"} == item(
        **{key: value for key, value in START.items() if key != "tags"}
    )
