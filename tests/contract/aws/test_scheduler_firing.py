"""EventBridge Scheduler: when it fires, and at whom. Over the stand-in alone: nobody else fires."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.contract.aws.backends import Aws
from tests.contract.aws.conftest import refused as refusal_of
from tests.contract.aws.test_scheduler import ROLE, UNIVERSAL

from infinity.emulator import Emulator, broken, refused
from infinity.testing.clock import START, VirtualClock

DAY = 86_400
THREE_DAYS = "at(2027-01-18T08:00:00)"
"""After the virtual clock's beginning."""


class Stage:
    def __init__(self, aws: Aws) -> None:
        assert aws.emulator is not None and aws.clock is not None
        self.aws = aws
        self.emulator: Emulator = aws.emulator
        self.clock: VirtualClock = aws.clock
        self.queue = self.emulator.sqs.create("inbox.fifo")
        self.letters = self.emulator.sqs.create("letters")

    async def create(self, name: str = "s", at: str = THREE_DAYS, **more: Any) -> None:
        message = {
            "QueueUrl": self.queue,
            "MessageBody": "wake",
            "MessageGroupId": "t",
            "MessageDeduplicationId": "d",
        }
        target = {"Arn": UNIVERSAL, "RoleArn": ROLE, "Input": json.dumps(message)} | more.pop("target", {})
        await self.aws.call(
            "scheduler",
            "create_schedule",
            Name=name,
            ScheduleExpression=at,
            FlexibleTimeWindow={"Mode": "OFF"},
            Target=target,
            **more,
        )

    def bodies(self, queue: str = "inbox.fifo") -> list[str]:
        return [message.body for message in self.emulator.sqs.queue(queue).messages()]

    async def arrived(self, queue: str = "inbox.fifo", count: int = 1) -> None:
        await self.emulator.until(lambda: len(self.bodies(queue)) == count, f"message in {queue}")

    async def settled(self) -> None:
        """What is due has been done: a request has gone round."""
        await self.aws.call("scheduler", "list_schedules")


@pytest.fixture
def stage(aws: Aws) -> Stage:
    return Stage(aws)


async def test_a_schedule_fires_within_the_minute_and_never_before(stage: Stage) -> None:
    await stage.create()
    stage.clock.advance(3 * DAY - 1)
    await stage.settled()
    assert stage.bodies() == []
    stage.clock.advance(60)
    await stage.arrived()
    assert stage.bodies() == ["wake"]
    [message] = stage.emulator.sqs.queue("inbox.fifo").messages()
    assert (message.group_id, message.deduplication_id) == ("t", "d")


async def test_it_may_be_almost_a_minute_late(stage: Stage) -> None:
    stage.emulator.scheduler.lateness = lambda _: 59_000
    await stage.create()
    stage.clock.advance(3 * DAY + 58)
    await stage.settled()
    assert stage.bodies() == []
    stage.clock.advance(1)
    await stage.arrived()


async def test_the_time_is_that_of_its_zone(stage: Stage) -> None:
    stage.emulator.scheduler.lateness = lambda _: 0
    await stage.create(at="at(2027-01-15T10:00:00)", ScheduleExpressionTimezone="Europe/Berlin")
    [schedule] = stage.emulator.scheduler.schedules()
    assert schedule.due_at == START + 3600 * 1000


async def test_it_deletes_itself_if_it_was_told_to(stage: Stage) -> None:
    await stage.create("goes", ActionAfterCompletion="DELETE")
    await stage.create("stays")
    stage.clock.advance(3 * DAY + 60)
    # The second is a duplicate of the first, because their deduplication ids are the same.
    await stage.arrived()
    await stage.emulator.until(lambda: len(stage.emulator.scheduler.schedules()) == 1)
    assert [schedule.name for schedule in stage.emulator.scheduler.schedules()] == ["stays"]


async def test_what_was_deleted_or_disabled_does_not_fire(stage: Stage) -> None:
    await stage.create("deleted")
    await stage.create("disabled", State="DISABLED")
    await stage.aws.call("scheduler", "delete_schedule", Name="deleted")
    stage.clock.advance(4 * DAY)
    await stage.settled()
    assert stage.bodies() == []


async def test_an_update_moves_the_time(stage: Stage) -> None:
    await stage.create()
    found = await stage.aws.call("scheduler", "get_schedule", Name="s")
    await stage.aws.call(
        "scheduler",
        "update_schedule",
        Name="s",
        ScheduleExpression="at(2027-01-19T08:00:00)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target=found["Target"],
    )
    stage.clock.advance(3 * DAY + 60)
    await stage.settled()
    assert stage.bodies() == []
    stage.clock.advance(DAY)
    await stage.arrived()


async def test_one_whose_time_is_past_when_it_is_created_does_not_fire(stage: Stage) -> None:
    await stage.create(at="at(2027-01-15T07:59:59)")
    stage.clock.advance(DAY)
    await stage.settled()
    assert stage.bodies() == [] and stage.emulator.scheduler.missed == 1


async def test_one_whose_time_is_past_may_be_refused(stage: Stage) -> None:
    stage.emulator.scheduler.refuses_past = True
    with refusal_of("ValidationException"):
        await stage.create(at="at(2027-01-15T07:59:59)")


async def test_a_templated_target_needs_content_based_deduplication(stage: Stage) -> None:
    content = stage.emulator.sqs.create("content.fifo", ContentBasedDeduplication=True)
    letters = {"DeadLetterConfig": {"Arn": stage.emulator.sqs.arn("letters")}}
    for name in ("content.fifo", "inbox.fifo"):
        target = {
            "Arn": stage.emulator.sqs.arn(name),
            "Input": "plain text",
            "SqsParameters": {"MessageGroupId": "t"},
        }
        await stage.create(name.replace(".", "-"), target=target | letters)
    stage.clock.advance(3 * DAY + 60)
    await stage.arrived("content.fifo")
    await stage.arrived("letters")
    assert content.endswith("content.fifo") and stage.bodies("content.fifo") == ["plain text"]
    assert stage.bodies("inbox.fifo") == []


async def test_a_target_that_fails_is_tried_again(stage: Stage) -> None:
    rule = stage.emulator.faults.add("sqs", "SendMessage", broken(503), times=2)
    await stage.create()
    stage.clock.advance(3 * DAY + 60)
    await stage.emulator.until(lambda: rule.hits == 1 and stage.clock.sleeping() > 0)
    stage.clock.advance(10)
    await stage.emulator.until(lambda: rule.hits == 2 and stage.clock.sleeping() > 0)
    stage.clock.advance(10)
    await stage.arrived()


async def test_what_cannot_be_delivered_becomes_a_dead_letter_that_says_why(stage: Stage) -> None:
    stage.emulator.faults.add("sqs", "SendMessage", refused("AccessDenied"), times=1)
    await stage.create(target={"DeadLetterConfig": {"Arn": stage.emulator.sqs.arn("letters")}})
    stage.clock.advance(3 * DAY + 60)
    await stage.arrived("letters")
    [letter] = stage.emulator.sqs.queue("letters").messages()
    assert json.loads(letter.body)["MessageBody"] == "wake"
    assert letter.attributes["ERROR_CODE"]["StringValue"] == "AccessDenied"
    assert letter.attributes["SCHEDULE_ARN"]["StringValue"].endswith("schedule/default/s")


async def test_context_words_are_filled_in(stage: Stage) -> None:
    target = {"Arn": stage.emulator.sqs.arn("letters"), "Input": "due <aws.scheduler.scheduled-time>"}
    await stage.create(target=target)
    stage.clock.advance(3 * DAY + 60)
    await stage.arrived("letters")
    assert stage.bodies("letters") == ["due 2027-01-18T08:00:00Z"]
