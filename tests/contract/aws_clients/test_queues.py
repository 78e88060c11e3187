"""Queues: what is sent arrives once and in order, whatever a batch does with single messages."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.contract.aws_clients.conftest import Waits, drain

from infinity.aws.client import Aws
from infinity.aws.failure import AwsError
from infinity.aws.sqs import LARGEST_MESSAGE, Outgoing, Queue, deduplication_id
from infinity.emulator import Emulator, broken, reset, throttled
from infinity.emulator.faults import Attempt, Fault
from infinity.emulator.wire import Reply
from infinity.errors import LimitReached
from infinity.testing.clock import VirtualClock


def outgoing(*names: str) -> list[Outgoing]:
    """``a1`` is the message 1 of group a."""
    return [Outgoing(f'"{name}"', name[0], deduplication_id(name[0], name)) for name in names]


def bodies(records: list[dict[str, Any]]) -> list[str]:
    return [json.loads(record["body"]) for record in records]


def partly(*names: str, code: str = "InternalError", fault: bool = False) -> Fault:
    """A batch of which these messages are refused, and the others are taken."""

    async def act(attempt: Attempt) -> Reply:
        assert attempt.request is not None
        asked = json.loads(attempt.request.body)
        bad = [entry for entry in asked["Entries"] if json.loads(entry["MessageBody"]) in names]
        good = [entry for entry in asked["Entries"] if entry not in bad]
        answer: dict[str, Any] = {"Successful": []}
        if good:
            asked["Entries"] = good
            answer = attempt.service._send_batch(asked)  # type: ignore[attr-defined]
        answer["Failed"] = [{"Id": entry["Id"], "Code": code, "SenderFault": fault} for entry in bad]
        return Reply(200, json.dumps(answer).encode(), {"content-type": "application/x-amz-json-1.0"})

    return act


async def test_a_message_has_the_shape_that_a_function_gets(inbox: Queue) -> None:
    id = await inbox.send('{"x":"ä"}', group="t", deduplication_id="d")
    (record,) = await inbox.receive()
    assert record["messageId"] == id and record["body"] == '{"x":"ä"}'
    assert record["attributes"]["MessageGroupId"] == "t"
    assert record["attributes"]["MessageDeduplicationId"] == "d"
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert record["attributes"]["SentTimestamp"].isdigit()


@pytest.mark.parametrize("spoilt", [reset(after=True), broken(500, after=True)], ids=["reset", "500"])
async def test_a_send_that_is_repeated_is_one_message(cloud: Emulator, inbox: Queue, spoilt: Fault) -> None:
    cloud.faults.add("sqs", "SendMessage", spoilt, times=2)
    first = await inbox.send("1", group="t", deduplication_id="d")
    assert await inbox.send("1", group="t", deduplication_id="d") == first
    assert len(await drain(inbox)) == 1


async def test_what_sqs_refuses_in_json_is_escaped_on_the_way(inbox: Queue) -> None:
    text = '"\ufffe\uffff\x7f🙂"'
    await inbox.send(text, group="t", deduplication_id="d")
    (record,) = await inbox.receive()
    assert json.loads(record["body"]) == json.loads(text)


async def test_a_thread_whose_id_no_group_can_have_has_a_digest_of_it(inbox: Queue) -> None:
    await inbox.send("1", group="a b\n" * 100, deduplication_id="d")
    (record,) = await inbox.receive()
    assert record["attributes"]["MessageGroupId"].startswith("sha256.")


async def test_what_is_too_large_is_refused_before_it_is_sent(aws: Aws, inbox: Queue) -> None:
    await inbox.send("ä" * (LARGEST_MESSAGE // 2), group="t", deduplication_id="d")
    with pytest.raises(LimitReached, match="1048576"):
        await inbox.send("ä" * (LARGEST_MESSAGE // 2) + "x", group="t", deduplication_id="e")
    assert aws.counts["sqs.SendMessage"] == 1


async def test_a_fifo_queue_wants_all_that_it_needs(inbox: Queue, delay: Queue) -> None:
    for more in ({}, {"group": "t"}, {"group": "t", "deduplication_id": "d", "delay": 1}):
        with pytest.raises(ValueError, match="a FIFO queue wants"):
            await inbox.send("1", **more)  # type: ignore[arg-type]
    await delay.send("1", delay=900)


async def test_a_delayed_message_is_not_there_early(clock: VirtualClock, delay: Queue) -> None:
    await delay.send("1", delay=30)
    clock.advance(29.9)
    assert await delay.receive() == []
    clock.advance(0.1)
    assert len(await delay.receive()) == 1


async def test_many_leave_in_few_requests_each_group_in_order(aws: Aws, inbox: Queue) -> None:
    names = [f"{group}{number}" for number in range(3) for group in "abcdefghijkl"]
    ids = await inbox.send_all(outgoing(*names))
    assert len(set(ids)) == 36 and aws.counts["sqs.SendMessageBatch"] == 3 * 2
    received = bodies(await drain(inbox))
    for group in "abcdefghijkl":
        assert [name for name in received if name[0] == group] == [f"{group}{number}" for number in range(3)]


async def test_a_batch_stays_below_what_sqs_takes_at_once(aws: Aws, inbox: Queue) -> None:
    large = [Outgoing(f'"{"x" * 400_000}"', f"g{number}", str(number)) for number in range(5)]
    assert len(await inbox.send_all(large)) == 5
    assert aws.counts["sqs.SendMessageBatch"] == 3
    assert await inbox.send_all([]) == []


async def test_what_failed_in_a_batch_is_sent_again_alone_and_order_is_kept(
    cloud: Emulator, aws: Aws, inbox: Queue, waits: Waits
) -> None:
    cloud.faults.add("sqs", "SendMessageBatch", partly("a1", "b1"), times=2)
    ids = await inbox.send_all(outgoing("a1", "b1", "c1", "a2", "b2", "c2"))
    assert len(set(ids)) == 6 and len(waits) == 2
    received = bodies(await drain(inbox))
    assert [[name for name in received if name[0] == group] for group in "abc"] == [
        ["a1", "a2"],
        ["b1", "b2"],
        ["c1", "c2"],
    ]
    assert aws.counts["sqs.SendMessageBatch"] == 4


async def test_behind_a_message_that_cannot_be_sent_nothing_of_its_group_is(
    cloud: Emulator, inbox: Queue
) -> None:
    cloud.faults.add("sqs", "SendMessageBatch", partly("b1", code="InvalidMessageContents", fault=True))
    with pytest.raises(AwsError, match="2 of 5 messages were not sent") as caught:
        await inbox.send_all(outgoing("a1", "b1", "c1", "a2", "b2"))
    assert caught.value.service_code == "InvalidMessageContents" and not caught.value.retryable
    received = bodies(await drain(inbox))
    assert sorted(received) == ["a1", "a2", "c1"] and received.index("a1") < received.index("a2")


async def test_one_that_fails_again_and_again_is_given_up_and_may_be_sent_later(
    cloud: Emulator, inbox: Queue
) -> None:
    cloud.faults.add("sqs", "SendMessageBatch", partly("b1"))
    with pytest.raises(AwsError, match="1 of 3") as caught:
        await inbox.send_all(outgoing("a1", "b1", "c1"))
    assert caught.value.retryable
    cloud.faults.clear()
    await inbox.send_all(outgoing("a1", "b1", "c1"))
    assert sorted(bodies(await drain(inbox))) == ["a1", "b1", "c1"]


async def test_a_request_that_never_gets_through_raises(cloud: Emulator, inbox: Queue) -> None:
    cloud.faults.add("sqs", "SendMessageBatch", throttled())
    with pytest.raises(AwsError, match="SendMessageBatch was refused"):
        await inbox.send_all(outgoing("a1", "b1"))


async def test_a_message_that_is_held_can_be_given_back_early_or_late(
    clock: VirtualClock, inbox: Queue
) -> None:
    await inbox.send("1", group="t", deduplication_id="d")
    (record,) = await inbox.receive(visibility=600)
    assert await inbox.change_visibility(record["receiptHandle"], 5)
    clock.advance(5)
    (record,) = await inbox.receive(visibility=30)
    assert record["attributes"]["ApproximateReceiveCount"] == "2"
    clock.advance(31)
    assert not await inbox.change_visibility(record["receiptHandle"], 0)
    (record,) = await inbox.receive()
    await inbox.delete(record["receiptHandle"])
    assert not await inbox.change_visibility(record["receiptHandle"], 0)
    assert not await inbox.change_visibility("no handle", 0)


async def test_a_queue_that_is_not_there_is_named_as_such(aws: Aws, cloud: Emulator) -> None:
    with pytest.raises(AwsError, match="check its name, the region and the account") as caught:
        await Queue(aws, f"{cloud.endpoint}/0/none.fifo").send("1", group="t", deduplication_id="d")
    assert caught.value.service_code == "QueueDoesNotExist"
