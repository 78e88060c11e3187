"""DynamoDB: items, conditions, limits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.contract.aws.backends import Aws, fresh
from tests.contract.aws.conftest import refused
from tests.contract.aws.tables import KEY, item, number, table, text

SERVICE = "dynamodb"
FAILED = "ConditionalCheckFailedException"
INVALID = "ValidationException"

EVERY_KIND: dict[str, Any] = {
    "text": {"S": "héllo"},
    "empty": {"S": ""},
    "number": {"N": "-12.5"},
    "binary": {"B": b"\0\1"},
    "yes": {"BOOL": True},
    "nothing": {"NULL": True},
    "list": {"L": [{"S": "a"}, {"N": "1"}, {"L": []}]},
    "map": {"M": {"inner": {"M": {"deep": {"S": "x"}}}}},
}


async def test_an_item_comes_back_as_it_was_written(aws: Aws) -> None:
    things = await table(aws)
    await things.put(item(**EVERY_KIND))
    assert await things.get(KEY) == item(**EVERY_KIND)


async def test_sets_keep_their_members(aws: Aws) -> None:
    things = await table(aws)
    await things.put(item(texts={"SS": ["b", "a"]}, numbers={"NS": ["2", "1"]}))
    found = await things.get(KEY)
    assert found is not None
    assert set(found["texts"]["SS"]) == {"a", "b"} and set(found["numbers"]["NS"]) == {"1", "2"}


async def test_an_item_that_is_not_there_is_none(aws: Aws) -> None:
    things = await table(aws)
    assert await things.get(KEY) is None


async def test_a_put_replaces_the_whole_item(aws: Aws) -> None:
    things = await table(aws)
    await things.put(item(a=number(1)))
    answer = await things.put(item(b=number(2)), ReturnValues="ALL_OLD")
    assert answer["Attributes"] == item(a=number(1))
    assert await things.get(KEY) == item(b=number(2))


async def test_a_delete_is_harmless_and_tells_what_was_there(aws: Aws) -> None:
    things = await table(aws)
    await things.put(item(a=number(1)))
    answer = await things.call("delete_item", Key=KEY, ReturnValues="ALL_OLD")
    assert answer["Attributes"] == item(a=number(1))
    answer = await things.call("delete_item", Key=KEY, ReturnValues="ALL_OLD")
    assert "Attributes" not in answer


async def test_numbers_are_kept_exactly(aws: Aws) -> None:
    things = await table(aws)
    await things.put(item(n={"N": "0.1"}, big={"N": "12345678901234567890123456789012345678"}))
    found = await things.get(KEY)
    assert found is not None
    assert found["n"] == {"N": "0.1"} and found["big"] == {"N": "12345678901234567890123456789012345678"}


# conditions


async def test_only_the_first_of_two_puts_of_something_new_succeeds(aws: Aws) -> None:
    things = await table(aws)
    await things.put(item(a=number(1)), ConditionExpression="attribute_not_exists(pk)")
    with refused(FAILED) as refusal:
        await things.put(item(a=number(2)), ConditionExpression="attribute_not_exists(pk)")
    assert refusal.message == "The conditional request failed"
    assert await things.get(KEY) == item(a=number(1))


async def test_of_many_puts_at_once_one_succeeds(aws: Aws) -> None:
    things = await table(aws)

    async def attempt(n: int) -> bool:
        try:
            await things.put(item(by=number(n)), ConditionExpression="attribute_not_exists(pk)")
        except ClientError as error:
            return error.response["Error"]["Code"] != FAILED
        return True

    assert sum(await asyncio.gather(*map(attempt, range(8)))) == 1


async def test_a_failed_condition_may_tell_what_is_there(aws: Aws) -> None:
    things = await table(aws)
    await things.put(item(a=number(1)))
    with refused(FAILED) as refusal:
        await things.put(
            item(),
            ConditionExpression="attribute_not_exists(pk)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    assert refusal.error.response["Item"] == item(a=number(1))


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("n = :five", True),
        ("n <> :five", False),
        ("n < :six AND n >= :five", True),
        ("n > :five OR attribute_exists(word)", True),
        ("NOT n = :five", False),
        ("NOT (n = :six OR n = :seven)", True),
        ("n = :six OR n = :five AND attribute_not_exists(word)", False),
        ("n BETWEEN :five AND :six", True),
        ("n IN (:six, :seven)", False),
        ("begins_with(word, :hel)", True),
        ("contains(word, :ell)", True),
        ("contains(tags, :red)", True),
        ("size(word) = :five", True),
        ("size(tags) > :five", False),
        ("attribute_type(word, :kind)", True),
        ("deep.part[1] = :five", True),
        ("attribute_exists(deep.part[2])", False),
        ("absent = :five", False),
        ("absent <> :five", True),
        ("word > :five", False),
        ("attribute_not_exists(absent) and (n = :five)", True),
    ],
)
async def test_conditions_hold_as_documented(aws: Aws, expression: str, holds: bool) -> None:
    things = await table(aws)
    deep = {"M": {"part": {"L": [number(4), number(5)]}}}
    await things.put(item(n=number(5), word=text("hello"), tags={"SS": ["red", "blue"]}, deep=deep))
    values = {":five": number(5), ":six": number(6), ":seven": number(7), ":hel": text("hel")}
    values |= {":ell": text("ell"), ":red": text("red"), ":kind": text("S")}
    used = {name: value for name, value in values.items() if name in expression}
    arguments: dict[str, Any] = {"ExpressionAttributeValues": used} if used else {}
    request = things.call("delete_item", Key=KEY, ConditionExpression=expression, **arguments)
    if holds:
        await request
        assert await things.get(KEY) is None
    else:
        with refused(FAILED):
            await request


# expressions that are wrong


async def test_a_reserved_word_needs_a_placeholder(aws: Aws) -> None:
    things = await table(aws)
    with refused(INVALID) as refusal:
        await things.put(item(), ConditionExpression="attribute_not_exists(status)")
    assert "reserved keyword" in refusal.message and "status" in refusal.message
    await things.put(
        item(),
        ConditionExpression="attribute_not_exists(#status)",
        ExpressionAttributeNames={"#status": "status"},
    )


@pytest.mark.parametrize(
    ("expression", "word"),
    [
        ("attribute_not_exists(pk", "Syntax error"),
        ("pk = ", "Syntax error"),
        ("pk = :undefined", ":undefined"),
        ("#undefined = :v", "#undefined"),
        ("", "empty"),
    ],
)
async def test_an_expression_that_is_wrong_is_refused_with_its_reason(
    aws: Aws, expression: str, word: str
) -> None:
    things = await table(aws)
    values = {"ExpressionAttributeValues": {":v": text("x")}} if ":v" in expression else {}
    with refused(INVALID) as refusal:
        await things.put(item(), ConditionExpression=expression, **values)
    assert word in refusal.message


async def test_placeholders_that_are_not_used_are_refused(aws: Aws) -> None:
    things = await table(aws)
    with refused(INVALID) as refusal:
        await things.put(
            item(),
            ConditionExpression="attribute_not_exists(pk)",
            ExpressionAttributeValues={":unused": text("x")},
        )
    assert "unused in expressions" in refusal.message


# limits and kinds


async def test_an_item_has_400_kilobytes_at_most(aws: Aws) -> None:
    things = await table(aws)
    await things.put(item(data=text("x" * (400 * 1024 - 7))))
    with refused(INVALID) as refusal:
        await things.put(item(data=text("x" * (400 * 1024 - 6))))
    assert "Item size has exceeded the maximum allowed size" in refusal.message


async def test_an_update_does_not_grow_an_item_beyond_400_kilobytes(aws: Aws) -> None:
    things = await table(aws)
    await things.put(item(one=text("x" * 250 * 1024)))
    with refused(INVALID):
        await things.update(KEY, "SET two = :v", ExpressionAttributeValues={":v": text("x" * 250 * 1024)})
    found = await things.get(KEY)
    assert found is not None and "two" not in found


async def test_keys_must_be_there_and_of_their_kind(aws: Aws) -> None:
    things = await table(aws)
    for wrong in ({"other": text("x")}, {"pk": number(1)}, {"pk": text("")}):
        with refused(INVALID):
            await things.put(wrong)
    for key in ({"pk": text("a"), "more": text("b")}, {"other": text("x")}, {"pk": number(1)}):
        with refused(INVALID):
            await things.get(key)


async def test_a_key_has_a_size(aws: Aws) -> None:
    things = await table(aws, sort="S")
    await things.put(item("p" * 2048, sk=text("s" * 1024)))
    for pk, sk in (("p" * 2049, "s"), ("p", "s" * 1025)):
        with refused(INVALID):
            await things.put(item(pk, sk=text(sk)))


@pytest.mark.parametrize(
    "value",
    [{"SS": []}, {"SS": ["a", "a"]}, {"N": "twelve"}, {"N": "1" * 39}, {"N": "1e126"}],
    ids=str,
)
async def test_values_that_do_not_exist_are_refused(aws: Aws, value: dict[str, Any]) -> None:
    things = await table(aws)
    with refused(INVALID):
        await things.put(item(wrong=value))


async def test_a_table_that_is_not_there_is_said_not_to_be(aws: Aws) -> None:
    with refused("ResourceNotFoundException"):
        await aws.call("dynamodb", "get_item", TableName=fresh("none"), Key=KEY)


async def test_a_table_is_made_once(aws: Aws) -> None:
    things = await table(aws)
    described = (await things.call("describe_table"))["Table"]
    assert described["TableStatus"] == "ACTIVE" and described["KeySchema"][0]["AttributeName"] == "pk"
    with refused("ResourceInUseException"):
        await things.call(
            "create_table",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        )


async def test_a_time_to_live_is_set_and_items_beyond_it_are_still_read(aws: Aws) -> None:
    things = await table(aws)
    await things.call(
        "update_time_to_live", TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"}
    )
    await things.put(item(expires=number(1)))
    assert await things.get(KEY) is not None
