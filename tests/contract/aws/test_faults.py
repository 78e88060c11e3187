"""What a test can make AWS do wrong, as a client sees it."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, HTTPClientError
from tests.contract.aws.backends import Aws
from tests.contract.aws.conftest import refused as refusal_of
from tests.contract.aws.tables import KEY, item, number, table, text
from tests.patience import PATIENCE

from infinity.emulator import (
    Emulator,
    Gate,
    broken,
    delayed,
    lost,
    refused,
    repeated,
    reset,
    slow,
    throttled,
)

CUT = (ConnectionClosedError, EndpointConnectionError, HTTPClientError)
THROTTLES = {
    "sqs": ("list_queues", {}, "RequestThrottled"),
    "dynamodb": ("list_tables", {}, "ProvisionedThroughputExceededException"),
    "scheduler": ("list_schedules", {}, "ThrottlingException"),
    "s3": ("list_buckets", {}, "SlowDown"),
    "secretsmanager": ("get_secret_value", {"SecretId": "x"}, "ThrottlingException"),
    "lambda": ("list_functions", {}, "TooManyRequestsException"),
}


def emulator(aws: Aws) -> Emulator:
    assert aws.emulator is not None
    return aws.emulator


@pytest.mark.parametrize("service", sorted(THROTTLES))
async def test_a_service_throttles_in_its_own_words(aws: Aws, service: str) -> None:
    operation, arguments, code = THROTTLES[service]
    emulator(aws).faults.add(service, "*", throttled(), times=1)
    with refusal_of(code):
        await aws.call(service, operation, **arguments)
    with refusal_of("ResourceNotFoundException") if arguments else nullcontext():
        await aws.call(service, operation, **arguments)


async def test_an_error_of_the_service_comes_before_or_after_the_effect(aws: Aws) -> None:
    url = emulator(aws).sqs.create("queue")
    queue = emulator(aws).sqs.queue("queue")
    for after, bodies in ((False, []), (True, ["x"])):
        emulator(aws).faults.add("sqs", "SendMessage", broken(500, after=after), times=1)
        with refusal_of("InternalServerError") as refusal:
            await aws.call("sqs", "send_message", QueueUrl=url, MessageBody="x")
        assert refusal.status == 500
        assert [message.body for message in queue.messages()] == bodies


async def test_a_connection_is_cut_before_or_after_the_effect(aws: Aws) -> None:
    url = emulator(aws).sqs.create("queue")
    queue = emulator(aws).sqs.queue("queue")
    for after, bodies in ((False, []), (True, ["x"])):
        emulator(aws).faults.add("sqs", "SendMessage", reset(after=after), times=1)
        with pytest.raises(CUT):
            await aws.call("sqs", "send_message", QueueUrl=url, MessageBody="x")
        assert [message.body for message in queue.messages()] == bodies


async def test_a_rule_is_for_what_it_names(aws: Aws) -> None:
    things = await table(aws)
    rule = emulator(aws).faults.add(
        "dynamodb",
        "PutItem",
        refused("AccessDeniedException"),
        where=lambda request: b"secret" in request.body,
    )
    await things.put(item())
    with refusal_of("AccessDeniedException"):
        await things.put(item("secret"))
    rule.remove()
    await things.put(item("secret"))
    assert rule.hits == 1


async def test_slowness_is_by_the_emulators_clock(aws: Aws) -> None:
    assert aws.clock is not None
    emulator(aws).faults.add("sqs", "ListQueues", slow(30))
    waiting = asyncio.create_task(aws.call("sqs", "list_queues"))
    async with asyncio.timeout(PATIENCE):
        while not aws.clock.sleeping():
            await asyncio.sleep(0)
    aws.clock.advance(29)
    await aws.call("dynamodb", "list_tables")
    assert not waiting.done()
    aws.clock.advance(1)
    await waiting


async def test_a_gate_holds_a_call_where_the_test_wants_it(aws: Aws) -> None:
    url = emulator(aws).sqs.create("queue")
    queue = emulator(aws).sqs.queue("queue")
    for after, held in ((False, 0), (True, 2)):
        gate = Gate(after=after)
        rule = emulator(aws).faults.add("sqs", "SendMessage", gate)
        waiting = asyncio.create_task(aws.call("sqs", "send_message", QueueUrl=url, MessageBody="x"))
        await gate.arrived()
        assert len(queue.messages()) == held
        gate.open()
        await waiting
        rule.remove()


async def test_requests_are_counted_refused_ones_too(aws: Aws) -> None:
    emulator(aws).faults.add("sqs", "ListQueues", throttled(), times=1)
    with refusal_of("RequestThrottled"):
        await aws.call("sqs", "list_queues")
    await aws.call("sqs", "list_queues")
    assert emulator(aws).counts["sqs.ListQueues"] == 2


# writes of DynamoDB that go astray


async def test_a_lost_write_is_answered_and_not_made(aws: Aws) -> None:
    things = await table(aws)
    emulator(aws).faults.add("dynamodb", "*", lost(), where=lambda request: b"Item" in request.body, times=1)
    await things.put(item())
    assert await things.get(KEY) is None


async def test_a_lost_write_still_has_conditions(aws: Aws) -> None:
    things = await table(aws)
    await things.put(item())
    emulator(aws).faults.add("dynamodb", "PutItem", lost())
    with refusal_of("ConditionalCheckFailedException"):
        await things.put(item(), ConditionExpression="attribute_not_exists(pk)")


async def test_a_delayed_write_is_made_later(aws: Aws) -> None:
    things = await table(aws)
    emulator(aws).faults.add("dynamodb", "PutItem", delayed(60), times=1)
    await things.put(item(n=number(1)))
    assert await things.get(KEY) is None
    await aws.later(60)
    await aws.call("sqs", "list_queues")
    assert await things.get(KEY) == item(n=number(1))


async def test_a_repeated_write_comes_again_over_what_was_written_since(aws: Aws) -> None:
    things = await table(aws)
    emulator(aws).faults.add("dynamodb", "PutItem", repeated(60), times=1)
    await things.put(item(n=number(1)))
    await things.put(item(n=number(2)))
    assert await things.get(KEY) == item(n=number(2))
    await aws.later(60)
    await aws.call("sqs", "list_queues")
    assert await things.get(KEY) == item(n=number(1))


async def test_a_repeated_write_has_conditions_again(aws: Aws) -> None:
    things = await table(aws)
    emulator(aws).faults.add("dynamodb", "PutItem", repeated(60), times=1)
    await things.put(item(n=number(1)), ConditionExpression="attribute_not_exists(pk)")
    await things.put(item(n=number(2)))
    await aws.later(60)
    await aws.call("sqs", "list_queues")
    assert await things.get(KEY) == item(n=number(2))


# reads that are behind


async def test_reads_are_behind_unless_they_ask_not_to_be(aws: Aws) -> None:
    things = await table(aws)
    emulator(aws).dynamodb.staleness = 1000
    await things.put(item(n=number(1)))
    await aws.later(1)
    await things.put(item(n=number(2)))

    async def read(consistent: bool) -> dict[str, Any] | None:
        return (await things.call("get_item", Key=KEY, ConsistentRead=consistent)).get("Item")

    assert await read(True) == item(n=number(2))
    assert await read(False) == item(n=number(1))
    await aws.later(1)
    assert await read(False) == item(n=number(2))
    await things.call("delete_item", Key=KEY)
    assert await read(True) is None
    assert await read(False) == item(n=number(2))
    await aws.later(1)
    assert await read(False) is None


async def test_queries_are_behind_too(aws: Aws) -> None:
    things = await table(aws, sort="N")
    emulator(aws).dynamodb.staleness = 1000
    await things.put(item(sk=number(1)))
    values = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": text("a")}}
    assert (await things.call("query", **values))["Count"] == 0
    assert len(await things.query(**values)) == 1


async def test_items_whose_time_is_over_go_when_they_are_told_to(aws: Aws) -> None:
    assert aws.clock is not None
    things = await table(aws)
    emulator(aws).dynamodb.table(things.name).expires = "expires"
    soon = aws.clock.now() // 1000 + 10
    await things.put(item("soon", expires=number(soon)))
    await things.put(item("later", expires=number(soon + 100)))
    await aws.later(11)
    assert await things.get(item("soon")) is not None
    assert emulator(aws).dynamodb.expire() == 1
    assert await things.get(item("soon")) is None
    assert await things.get(item("later")) is not None


async def test_units_are_counted_as_they_are_paid_for(aws: Aws) -> None:
    things = await table(aws)
    units = emulator(aws).dynamodb.units
    await things.put(item(data=text("x" * 3000)))
    assert units["write"] == 3
    await things.get(KEY)
    await things.call("get_item", Key=KEY)
    assert units["read"] == 1.5
