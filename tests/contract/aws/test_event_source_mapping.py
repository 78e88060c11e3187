"""Lambda's event source mapping for SQS: batches, order, what is deleted and what comes again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.contract.aws.backends import Aws

from infinity.emulator import AwsError, Emulator
from infinity.emulator.lambdas import EventSourceMapping
from infinity.testing.clock import VirtualClock

VISIBILITY = 30
Answer = Callable[[list[dict[str, Any]]], Any]


class Stage:
    """A FIFO queue and a function that keeps its batches and answers as it is told."""

    def __init__(self, aws: Aws) -> None:
        assert aws.emulator is not None and aws.clock is not None
        self.aws = aws
        self.emulator: Emulator = aws.emulator
        self.clock: VirtualClock = aws.clock
        self.url = self.emulator.sqs.create("inbox.fifo", VisibilityTimeout=VISIBILITY)
        self.queue = self.emulator.sqs.queue("inbox.fifo")
        self.batches: list[list[str]] = []
        self.records: list[dict[str, Any]] = []
        self.answer: Answer = lambda _: None
        self.gate: asyncio.Event | None = None

    def map(self, **settings: Any) -> EventSourceMapping:
        concurrency = settings.pop("reserved", None)
        self.emulator.lambdas.create("function", self._handler, timeout=VISIBILITY, concurrency=concurrency)
        return self.emulator.lambdas.map(self.url, "function", **settings)

    async def _handler(self, event: Any, _: Any) -> Any:
        self.records += event["Records"]
        self.batches.append([record["body"] for record in event["Records"]])
        if self.gate is not None:
            await self.gate.wait()
        return self.answer(event["Records"])

    def send(self, *bodies: str, **more: Any) -> None:
        """Each in the group that its first letter names."""
        for body in bodies:
            self.emulator.sqs.send_message(
                {
                    "QueueUrl": self.url,
                    "MessageBody": body,
                    "MessageGroupId": body[0],
                    "MessageDeduplicationId": body[:20],
                    **more,
                }
            )

    async def handled(self, count: int) -> None:
        await self.emulator.until(lambda: len(self.batches) >= count, f"batch {count}")
        await self.emulator.until(lambda: not self.emulator.lambdas.busy, "end of the batches")

    def left(self) -> list[str]:
        return [message.body for message in self.queue.messages()]


@pytest.fixture
def stage(aws: Aws) -> Stage:
    return Stage(aws)


def failures(*identifiers: Any) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": each} for each in identifiers]}


async def test_a_batch_brings_messages_as_lambda_writes_them(stage: Stage) -> None:
    attributes = {"kind": {"DataType": "String", "StringValue": "wake"}}
    stage.send("a1", MessageAttributes=attributes)
    stage.map()
    await stage.handled(1)
    [record] = stage.records
    assert record["eventSource"] == "aws:sqs" and record["eventSourceARN"] == stage.queue.arn
    assert record["attributes"]["MessageGroupId"] == "a"
    assert record["attributes"]["MessageDeduplicationId"] == "a1"
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert record["messageAttributes"]["kind"]["stringValue"] == "wake"
    assert stage.left() == []


async def test_a_batch_mixes_groups_and_keeps_the_order_of_each(stage: Stage) -> None:
    stage.send("a1", "b1", "a2", "b2", "c1")
    stage.map()
    await stage.handled(1)
    [batch] = stage.batches
    for group, bodies in (("a", ["a1", "a2"]), ("b", ["b1", "b2"]), ("c", ["c1"])):
        assert [body for body in batch if body[0] == group] == bodies


async def test_a_batch_is_no_larger_than_it_may_be(stage: Stage) -> None:
    stage.send(*(f"a{n}" for n in range(5)))
    stage.map(batch_size=2)
    await stage.handled(3)
    assert stage.batches == [["a0", "a1"], ["a2", "a3"], ["a4"]]


async def test_a_batch_is_no_larger_than_a_request_to_a_function(stage: Stage) -> None:
    """Ten messages of a megabyte are there; the rest of a group waits for its turn."""
    large = [f"{name}{number}-{'x' * 1_000_000}" for name in "ab" for number in range(5)]
    stage.send(*large)
    stage.map()
    await stage.handled(2)
    assert [len(batch) for batch in stage.batches] == [6, 4]
    assert [body[:2] for batch in stage.batches for body in batch] == [body[:2] for body in large]


async def test_groups_run_at_the_same_time_and_a_group_never_twice(stage: Stage) -> None:
    stage.gate = asyncio.Event()
    stage.send("a1", "b1", "a2")
    stage.map(batch_size=1)
    await stage.emulator.until(lambda: len(stage.batches) == 2, "both groups")
    assert stage.batches == [["a1"], ["b1"]]
    stage.gate.set()
    await stage.handled(3)
    assert stage.batches[2] == ["a2"]


@pytest.mark.parametrize(
    "answer", [None, {}, {"batchItemFailures": []}, {"batchItemFailures": None}], ids=str
)
async def test_no_failures_mean_success(stage: Stage, answer: Any) -> None:
    stage.answer = lambda _: answer
    stage.send("a1", "b1")
    stage.map()
    await stage.handled(1)
    assert stage.left() == []


async def test_what_is_reported_comes_again_and_the_rest_is_deleted(stage: Stage) -> None:
    def answer(records: list[dict[str, Any]]) -> Any:
        bad = [record["messageId"] for record in records if record["body"] in ("a2", "a3")]
        return failures(*bad) if len(stage.batches) == 1 else None

    stage.answer = answer
    stage.send("a1", "b1", "a2", "b2", "a3")
    mapping = stage.map()
    await stage.handled(1)
    assert stage.left() == ["a2", "a3"] and mapping.partial == 1
    stage.clock.advance(VISIBILITY)
    await stage.handled(2)
    assert stage.batches[1] == ["a2", "a3"] and stage.left() == []


@pytest.mark.parametrize(
    "answer",
    [
        failures(""),
        failures(None),
        failures("unknown"),
        failures(7),
        {"batchItemFailures": [{"wrongKey": "x"}]},
        {"batchItemFailures": "all"},
        {"batchItemFailures": ["x"]},
        "text",
        [1],
    ],
    ids=str,
)
async def test_a_report_that_makes_no_sense_fails_the_whole_batch(stage: Stage, answer: Any) -> None:
    stage.answer = lambda _: answer
    stage.send("a1", "b1")
    mapping = stage.map()
    await stage.handled(1)
    assert stage.left() == ["a1", "b1"] and mapping.failures == 1


async def test_without_reports_the_answer_means_nothing(stage: Stage) -> None:
    stage.answer = lambda records: failures(records[0]["messageId"])
    stage.send("a1")
    stage.map(report_failures=False)
    await stage.handled(1)
    assert stage.left() == []


async def test_a_failed_function_gives_messages_back_only_when_their_time_is_over(stage: Stage) -> None:
    def answer(_: Any) -> None:
        if len(stage.batches) == 1:
            raise ValueError("broken")

    stage.answer = answer
    stage.send("a1", "a2")
    stage.map()
    await stage.handled(1)
    stage.clock.advance(VISIBILITY - 1)
    await stage.aws.call("sqs", "list_queues")
    assert len(stage.batches) == 1
    stage.clock.advance(1)
    await stage.handled(2)
    assert stage.batches == [["a1", "a2"], ["a1", "a2"]]
    assert stage.records[-1]["attributes"]["ApproximateReceiveCount"] == "2"


async def test_a_function_may_have_its_messages_back_sooner(stage: Stage) -> None:
    stage.answer = lambda records: failures(records[0]["messageId"]) if len(stage.batches) == 1 else None
    stage.send("a1")
    stage.map()
    await stage.handled(1)
    handle = stage.records[0]["receiptHandle"]
    await stage.aws.call(
        "sqs", "change_message_visibility", QueueUrl=stage.url, ReceiptHandle=handle, VisibilityTimeout=5
    )
    stage.clock.advance(5)
    await stage.handled(2)
    assert stage.left() == []


async def test_a_function_that_is_killed_leaves_its_messages(stage: Stage) -> None:
    stage.gate = asyncio.Event()
    stage.send("a1")
    stage.map()
    await stage.emulator.until(lambda: len(stage.batches) == 1)
    assert stage.emulator.lambdas.kill() == 1
    await stage.emulator.until(lambda: not stage.emulator.lambdas.busy)
    assert stage.left() == ["a1"]
    stage.gate.set()
    stage.clock.advance(VISIBILITY)
    await stage.handled(2)
    assert stage.left() == []


async def test_a_function_beyond_its_time_is_stopped_and_a_twin_takes_over(stage: Stage) -> None:
    stage.gate = asyncio.Event()
    stage.send("a1")
    mapping = stage.map()
    await stage.emulator.until(lambda: len(stage.batches) == 1)
    stage.clock.advance(VISIBILITY)
    await stage.emulator.until(lambda: len(stage.batches) == 2, "twin")
    assert mapping.failures == 1
    stage.gate.set()
    await stage.handled(2)
    assert stage.left() == []


async def test_what_a_slow_function_has_lost_it_does_not_delete(stage: Stage) -> None:
    stage.gate = asyncio.Event()
    stage.send("a1")
    stage.map()
    await stage.emulator.until(lambda: len(stage.batches) == 1)
    handle = stage.records[0]["receiptHandle"]
    stage.queue.change_visibility(handle, 0)
    await stage.emulator.until(lambda: len(stage.batches) == 2, "twin")
    stage.gate.set()
    await stage.handled(2)
    assert stage.left() == []
    assert stage.emulator.counts["sqs.DeleteMessageBatch (mapping) expired"] == 1


async def test_what_fails_too_often_becomes_a_dead_letter_and_the_group_goes_on(stage: Stage) -> None:
    stage.emulator.sqs.create("dead.fifo")
    stage.queue.settings = type(stage.queue.settings).of(
        "inbox.fifo",
        stage.queue.settings.given
        | {
            "RedrivePolicy": f'{{"deadLetterTargetArn": "{stage.emulator.sqs.arn("dead.fifo")}", "maxReceiveCount": 2}}'
        },
    )
    stage.answer = lambda records: failures(
        *(record["messageId"] for record in records if record["body"] == "a1")
    )
    stage.send("a1", "a2")
    stage.map(batch_size=1)
    await stage.handled(1)
    for count in (2, 3):
        stage.clock.advance(VISIBILITY)
        await stage.handled(count)
    assert stage.batches == [["a1"], ["a1"], ["a2"]]
    assert [message.body for message in stage.emulator.sqs.queue("dead.fifo").messages()] == ["a1"]


async def test_the_functions_concurrency_holds_the_mapping_back(stage: Stage) -> None:
    stage.gate = asyncio.Event()
    stage.send("a1", "b1", "c1")
    mapping = stage.map(batch_size=1, reserved=1)
    await stage.emulator.until(lambda: len(stage.batches) == 1)
    assert [message.in_flight for message in stage.queue.messages()] == [True, False, False]
    stage.gate.set()
    await stage.handled(3)
    assert mapping.failures == 0 and stage.left() == []


async def test_the_mappings_own_concurrency_is_a_limit(stage: Stage) -> None:
    stage.gate = asyncio.Event()
    stage.send("a1", "b1", "c1")
    mapping = stage.map(batch_size=1, concurrency=2)
    await stage.emulator.until(lambda: len(stage.batches) == 2)
    assert mapping.running == 2
    stage.gate.set()
    await stage.handled(3)


async def test_a_disabled_mapping_takes_nothing(stage: Stage) -> None:
    mapping = stage.map()
    await mapping.disable()
    stage.send("a1")
    await stage.aws.call("sqs", "list_queues")
    assert stage.batches == []
    mapping.enable()
    await stage.handled(1)


async def test_a_queue_must_hide_messages_as_long_as_the_function_may_run(stage: Stage) -> None:
    stage.emulator.lambdas.create("slow", stage._handler, timeout=VISIBILITY + 1)
    with pytest.raises(AwsError, match="visibility timeout"):
        stage.emulator.lambdas.map(stage.url, "slow")
