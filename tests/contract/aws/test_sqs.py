"""SQS: what holds for every queue, and for standard ones."""

from __future__ import annotations

import hashlib
from typing import Any

from tests.contract.aws.backends import Aws, fresh
from tests.contract.aws.conftest import refused
from tests.contract.aws.queues import VISIBILITY, queue, with_dead_letters

SERVICE = "sqs"
MIB = 1 << 20


async def test_a_message_comes_with_its_body_its_attributes_and_their_digest(aws: Aws) -> None:
    standard = await queue(aws)
    attributes = {
        "kind": {"DataType": "String", "StringValue": "wake"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\0\1"},
    }
    sent = await standard.send("héllo", MessageAttributes=attributes)
    [message] = await standard.receive()
    assert message["Body"] == "héllo"
    assert message["MessageId"] == sent["MessageId"]
    assert message["MD5OfBody"] == sent["MD5OfMessageBody"] == hashlib.md5("héllo".encode()).hexdigest()
    assert message["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert message["MessageAttributes"]["kind"]["StringValue"] == "wake"
    assert message["MessageAttributes"]["bytes"]["BinaryValue"] == b"\0\1"


async def test_what_is_received_is_hidden_until_its_time_is_over(aws: Aws) -> None:
    standard = await queue(aws)
    await standard.send("1")
    assert await standard.bodies() == ["1"]
    assert await standard.bodies() == []
    await aws.later(VISIBILITY + 0.2)
    assert await standard.bodies() == ["1"]


async def test_a_deleted_message_does_not_come_again(aws: Aws) -> None:
    standard = await queue(aws)
    await standard.send("1")
    [message] = await standard.receive()
    await standard.delete(message)
    await aws.later(VISIBILITY + 0.2)
    assert await standard.bodies() == []


async def test_a_message_may_be_delayed(aws: Aws) -> None:
    standard = await queue(aws)
    await standard.send("late", DelaySeconds=1)
    await standard.send("now")
    assert await standard.bodies() == ["now"]
    await aws.later(1.1)
    assert "late" in await standard.bodies()


async def test_a_delay_of_fifteen_minutes_is_the_longest(aws: Aws) -> None:
    standard = await queue(aws)
    await standard.send("1", DelaySeconds=900)
    with refused("InvalidParameterValue"):
        await standard.send("1", DelaySeconds=901)


async def test_a_delayed_message_comes_after_fifteen_minutes_and_not_before(aws: Aws) -> None:
    standard = await queue(aws)
    await standard.send("1", DelaySeconds=900)
    await aws.later(899)
    assert await standard.bodies() == []
    await aws.later(1)
    assert await standard.bodies() == ["1"]


async def test_messages_are_kept_for_the_retention_period(aws: Aws) -> None:
    standard = await queue(aws, MessageRetentionPeriod=60)
    await standard.send("1")
    await aws.later(61)
    assert await standard.bodies() == []


async def test_what_was_received_too_often_becomes_a_dead_letter(aws: Aws) -> None:
    standard, letters = await with_dead_letters(aws, 1)
    await standard.send("poison")
    [message] = await standard.receive()
    await standard.hide(message, 0)
    assert await standard.bodies() == []
    assert await letters.bodies() == ["poison"]


async def test_a_message_has_one_mebibyte_at_most(aws: Aws) -> None:
    standard = await queue(aws)
    await standard.send("x" * MIB)
    with refused("InvalidParameterValue"):
        await standard.send("x" * (MIB + 1))


async def test_attributes_count_towards_the_size(aws: Aws) -> None:
    standard = await queue(aws)
    attributes = {"name": {"DataType": "String", "StringValue": "value"}}
    with refused("InvalidParameterValue"):
        await standard.send("x" * MIB, MessageAttributes=attributes)


async def test_a_batch_shares_one_mebibyte(aws: Aws) -> None:
    standard = await queue(aws)
    entries = [{"Id": str(n), "MessageBody": "x" * (MIB // 2 + 1)} for n in range(2)]
    with refused("AWS.SimpleQueueService.BatchRequestTooLong", "BatchRequestTooLong"):
        await aws.call("sqs", "send_message_batch", QueueUrl=standard.url, Entries=entries)


async def test_characters_that_xml_does_not_have_are_refused(aws: Aws) -> None:
    standard = await queue(aws)
    with refused("InvalidMessageContents"):
        await standard.send("a\0b")


async def test_an_empty_body_is_refused(aws: Aws) -> None:
    standard = await queue(aws)
    with refused("MissingParameter", "InvalidParameterValue"):
        await standard.send("")


# batches


async def test_a_batch_says_what_became_of_each_entry(aws: Aws) -> None:
    standard = await queue(aws)
    entries = [{"Id": "good", "MessageBody": "1"}, {"Id": "bad", "MessageBody": "2", "DelaySeconds": 901}]
    answer = await aws.call("sqs", "send_message_batch", QueueUrl=standard.url, Entries=entries)
    assert [entry["Id"] for entry in answer["Successful"]] == ["good"]
    [failure] = answer["Failed"]
    assert failure["Id"] == "bad" and failure["SenderFault"]
    assert await standard.bodies() == ["1"]


async def test_messages_are_hidden_and_deleted_in_batches(aws: Aws) -> None:
    standard = await queue(aws, VisibilityTimeout=30)
    for body in ("1", "2", "3"):
        await standard.send(body)
    messages = await standard.receive()
    handles = [
        {"Id": str(place), "ReceiptHandle": message["ReceiptHandle"]}
        for place, message in enumerate(messages)
    ]
    shown = [{**handle, "VisibilityTimeout": 0} for handle in handles[:1]]
    answer = await aws.call("sqs", "change_message_visibility_batch", QueueUrl=standard.url, Entries=shown)
    assert [entry["Id"] for entry in answer["Successful"]] == ["0"]
    answer = await aws.call("sqs", "delete_message_batch", QueueUrl=standard.url, Entries=handles[1:])
    assert {entry["Id"] for entry in answer["Successful"]} == {"1", "2"}
    assert await standard.bodies() == [messages[0]["Body"]]


async def test_a_batch_has_between_one_and_ten_entries_with_ids_of_their_own(aws: Aws) -> None:
    standard = await queue(aws)

    async def send(ids: list[str]) -> dict[str, Any]:
        entries = [{"Id": id, "MessageBody": "x"} for id in ids]
        return await aws.call("sqs", "send_message_batch", QueueUrl=standard.url, Entries=entries)

    prefix = "AWS.SimpleQueueService."
    with refused(f"{prefix}EmptyBatchRequest", "EmptyBatchRequest"):
        await send([])
    with refused(f"{prefix}TooManyEntriesInBatchRequest", "TooManyEntriesInBatchRequest"):
        await send([str(n) for n in range(11)])
    with refused(f"{prefix}BatchEntryIdsNotDistinct", "BatchEntryIdsNotDistinct"):
        await send(["same", "same"])


# queues


async def test_a_queue_that_exists_is_made_again_only_with_the_same_attributes(aws: Aws) -> None:
    standard = await queue(aws, VisibilityTimeout=7)
    again = await aws.call(
        "sqs", "create_queue", QueueName=standard.name, Attributes={"VisibilityTimeout": "7"}
    )
    assert again["QueueUrl"] == standard.url
    with refused("QueueAlreadyExists", "QueueNameExists"):
        await aws.call("sqs", "create_queue", QueueName=standard.name, Attributes={"VisibilityTimeout": "8"})


async def test_a_queue_that_does_not_exist_is_said_not_to(aws: Aws) -> None:
    missing = "AWS.SimpleQueueService.NonExistentQueue"
    with refused(missing, "QueueDoesNotExist"):
        await aws.call("sqs", "get_queue_url", QueueName=fresh("none"))
    standard = await queue(aws)
    with refused(missing, "QueueDoesNotExist"):
        await aws.call("sqs", "send_message", QueueUrl=f"{standard.url}-not", MessageBody="x")


async def test_a_queue_tells_its_attributes_and_how_many_messages_it_has(aws: Aws) -> None:
    standard = await queue(aws, VisibilityTimeout=30)
    for body in ("1", "2", "3"):
        await standard.send(body)
    await standard.send("late", DelaySeconds=60)
    await standard.receive(1)
    attributes = await standard.attributes()
    assert attributes["VisibilityTimeout"] == "30"
    assert attributes["QueueArn"].endswith(f":{standard.name}")
    counts = [attributes[f"ApproximateNumberOfMessages{kind}"] for kind in ("", "NotVisible", "Delayed")]
    assert counts == ["2", "1", "1"]


async def test_attributes_can_be_changed(aws: Aws) -> None:
    standard = await queue(aws)
    await aws.call(
        "sqs", "set_queue_attributes", QueueUrl=standard.url, Attributes={"VisibilityTimeout": "77"}
    )
    assert (await standard.attributes())["VisibilityTimeout"] == "77"
    with refused("InvalidAttributeValue"):
        await aws.call(
            "sqs", "set_queue_attributes", QueueUrl=standard.url, Attributes={"VisibilityTimeout": "43201"}
        )


async def test_queues_are_found_by_name_and_by_prefix(aws: Aws) -> None:
    standard = await queue(aws)
    found = await aws.call("sqs", "get_queue_url", QueueName=standard.name)
    assert found["QueueUrl"] == standard.url
    listed = await aws.call("sqs", "list_queues", QueueNamePrefix=standard.name[:-1])
    assert listed["QueueUrls"] == [standard.url]


async def test_a_handle_that_is_none_is_refused(aws: Aws) -> None:
    standard = await queue(aws)
    with refused("ReceiptHandleIsInvalid", "InvalidParameterValue"):
        await aws.call("sqs", "delete_message", QueueUrl=standard.url, ReceiptHandle="nonsense")


async def test_at_most_ten_messages_are_received(aws: Aws) -> None:
    standard = await queue(aws)
    for most in (0, 11):
        with refused("InvalidParameterValue", "ReadCountOutOfRange"):
            await standard.receive(most)
