"""What an emulator holds outlives it, as one document."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infinity.emulator import Emulator
from infinity.emulator.snapshot import restore, taken
from infinity.testing.clock import START, VirtualClock

ROLE = "arn:aws:iam::000000000000:role/r"


def send(aws: Emulator, body: str, id: str, group: str = "g") -> dict[str, Any]:
    message = {"QueueUrl": "in.fifo", "MessageBody": body}
    return aws.sqs.send_message(message | {"MessageGroupId": group, "MessageDeduplicationId": id})


async def schedule(aws: Emulator, name: str, at: str) -> None:
    message = {
        "QueueUrl": "in.fifo",
        "MessageBody": name,
        "MessageGroupId": "t",
        "MessageDeduplicationId": name,
    }
    aws.scheduler.restore(
        name,
        "default",
        {
            "ScheduleExpression": at,
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {
                "Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage",
                "RoleArn": ROLE,
                "Input": json.dumps(message),
            },
        },
        START,
    )


async def reborn(clock: VirtualClock, document: dict[str, Any]) -> Emulator:
    aws = await Emulator(clock).start()
    restore(aws, json.loads(json.dumps(document)))
    return aws


async def test_queues_keep_messages_order_and_what_was_sent_before() -> None:
    clock = VirtualClock()
    async with Emulator(clock) as first:
        first.sqs.create("in.fifo", VisibilityTimeout=60)
        sent = [send(first, "1", "a"), send(first, "2", "b"), send(first, "3", "c")]
        queue = first.sqs.queue("in.fifo")
        [taken_out] = queue.receive(1)
        queue.delete(queue.handle(taken_out))
        queue.receive(1)
        document = taken(first)
    async with await reborn(clock, document) as second:
        queue = second.sqs.queue("in.fifo")
        assert queue.settings.visibility == 60_000
        # What was in flight is nobody's any more.
        assert [message.body for message in queue.messages()] == ["2", "3"]
        assert [message.body for message in queue.receive(10)] == ["2", "3"]
        again = send(second, "1", "a")
        assert again["MessageId"] == sent[0]["MessageId"] and len(queue.messages()) == 2
        later = send(second, "4", "d")
        assert int(later["SequenceNumber"]) > int(sent[2]["SequenceNumber"])


async def test_a_delayed_message_keeps_its_time() -> None:
    clock = VirtualClock()
    async with Emulator(clock) as first:
        first.sqs.create("delay")
        first.sqs.send_message({"QueueUrl": "delay", "MessageBody": "wake", "DelaySeconds": 100})
        document = taken(first)
    clock.advance(60)
    async with await reborn(clock, document) as second:
        queue = second.sqs.queue("delay")
        assert queue.receive(1) == []
        clock.advance(40)
        assert [message.body for message in queue.receive(1)] == ["wake"]


async def test_tables_objects_secrets_and_parameters_are_kept() -> None:
    clock = VirtualClock()
    async with Emulator(clock) as first:
        table = first.dynamodb.create("items", "pk", "sk:N", expires="expires")
        item = {"pk": {"S": "a"}, "sk": {"N": "1"}, "data": {"B": "AAE="}}
        table.write(table.key_of(item), item)
        first.s3.create("bucket")
        client_body = b"\0\1"
        from infinity.emulator.s3 import Blob

        first.s3.objects("bucket")["k"] = Blob(client_body, {"content-type": "x/y"}, START)
        arn = first.secrets.create("secret", "hush")
        first.parameters.create("/p", "hush")
        document = taken(first)
    async with await reborn(clock, document) as second:
        table = second.dynamodb.table("items")
        assert table.expires == "expires" and [kept for _, kept in table.items()] == [item]
        assert second.s3.objects("bucket")["k"] == Blob(client_body, {"content-type": "x/y"}, START)
        assert second.secrets.create("secret", "changed") == arn
        assert second.parameters.kept()[0]["Value"] == "hush"


async def test_a_schedule_fires_later_and_one_that_was_missed_at_once() -> None:
    clock = VirtualClock()
    async with Emulator(clock) as first:
        first.sqs.create("in.fifo")
        await schedule(first, "soon", "at(2027-01-15T09:00:00)")
        await schedule(first, "late", "at(2027-01-16T09:00:00)")
        document = taken(first)
    clock.advance(7200)
    async with await reborn(clock, document) as second:
        queue = second.sqs.queue("in.fifo")
        await second.until(lambda: [m.body for m in queue.messages()] == ["soon"], "missed schedule")
        clock.advance(86_400)
        await second.until(lambda: [m.body for m in queue.messages()] == ["soon", "late"], "late schedule")


async def test_a_document_of_a_later_version_is_not_read() -> None:
    async with Emulator(VirtualClock()) as aws:
        with pytest.raises(ValueError, match="version 99"):
            restore(aws, {"version": 99})


async def test_a_rule_invokes_its_function_again_and_again() -> None:
    clock = VirtualClock()
    async with Emulator(clock) as aws:
        events: list[Any] = []

        async def handler(event: Any, _: Any) -> None:
            events.append(event)

        stop = aws.rules.every(900, aws.lambdas.create("sweep", handler))
        for count in (1, 2):
            clock.advance(900)
            await aws.until(lambda count=count: len(events) == count and not aws.lambdas.busy)
        assert events[0]["detail-type"] == "Scheduled Event"
        stop()
        clock.advance(9000)
        await aws.until(lambda: not aws.lambdas.busy)
        assert len(events) == 2
