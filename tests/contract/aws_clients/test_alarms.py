"""Wakes: now, soon and later; never early, never dropped for being like an earlier one."""

from __future__ import annotations

import json

import botocore.session  # type: ignore[import-untyped]
import botocore.validate  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.contract.aws_clients.conftest import drain

from infinity.aws.client import Aws
from infinity.aws.sqs import Queue, deduplication_id
from infinity.cloud import envelope
from infinity.cloud.alarms import Alarms, _up, schedule_name
from infinity.cloud.hints import HintTable
from infinity.emulator import Emulator, broken, refused, reset
from infinity.emulator.faults import Fault
from infinity.errors import ConfigError
from infinity.testing.clock import VirtualClock

ROLE = "arn:aws:iam::000000000000:role/schedules"


@pytest.fixture
def dead(cloud: Emulator) -> str:
    cloud.sqs.create("dead")
    return cloud.sqs.arn("dead")


@pytest.fixture
def alarms(aws: Aws, inbox: Queue, delay: Queue, clock: VirtualClock, dead: str) -> Alarms:
    return Alarms(inbox, delay, aws, group="default", role=ROLE, dead_letters=dead, now=clock.now)


@pytest.fixture
def kept(aws: Aws, inbox: Queue, delay: Queue, clock: VirtualClock) -> Alarms:
    """With a table, in which schedules are noted."""
    hints = HintTable(aws, "items", clock.now)
    return Alarms(inbox, delay, aws, group="default", role=ROLE, now=clock.now, hints=hints)


async def woken(queue: Queue) -> list[envelope.Envelope]:
    return [envelope.open(record) for record in await drain(queue)]


# -- now


async def test_a_wake_is_there_at_once_for_its_thread(alarms: Alarms, inbox: Queue) -> None:
    await alarms.wake("t", "message-1")
    assert await woken(inbox) == [envelope.Wake("t")]


async def test_many_wakes_are_few_requests(alarms: Alarms, inbox: Queue, aws: Aws) -> None:
    await alarms.wake_many([(f"t{number}", "m") for number in range(25)])
    assert aws.counts["sqs.SendMessageBatch"] == 3
    assert len(await woken(inbox)) == 25


@pytest.mark.trap("L3")
async def test_a_wake_of_another_cause_is_not_taken_for_one_that_was_consumed_moments_ago(
    alarms: Alarms, inbox: Queue
) -> None:
    """SQS remembers deduplication ids for 5 minutes, even those of deleted messages."""
    for cause in ("message-1", "message-2", "message-3"):
        await alarms.wake("t", cause)
        assert await woken(inbox) == [envelope.Wake("t")], cause


async def test_a_wake_sent_again_for_the_same_cause_wakes_once(alarms: Alarms, inbox: Queue) -> None:
    await alarms.wake("t", "message-1")
    await alarms.wake("t", "message-1")
    await alarms.wake("u", "message-1")
    assert await woken(inbox) == [envelope.Wake("t"), envelope.Wake("u")]


async def test_a_wake_for_a_message_is_not_taken_for_the_message(alarms: Alarms, inbox: Queue) -> None:
    await inbox.send(envelope.wake("t"), group="t", deduplication_id=deduplication_id("t", "message-1"))
    await alarms.wake("t", "message-1")
    assert len(await drain(inbox)) == 2


# -- soon


@given(left=st.integers(-10_000, 900_000))
def test_a_delay_is_rounded_up_and_within_what_a_queue_takes(left: int) -> None:
    seconds = max(_up(left), 0)
    assert 0 <= seconds <= 900 and seconds * 1000 >= left and seconds * 1000 - max(left, 0) < 1000


@pytest.mark.parametrize("left", [1, 999, 1000, 1001, 899_001, 900_000])
async def test_a_timer_of_the_next_quarter_of_an_hour_is_never_early_and_less_than_a_second_late(
    alarms: Alarms, delay: Queue, clock: VirtualClock, left: int
) -> None:
    clock.advance(0.123)
    due_at = clock.now() + left
    await alarms.wake_at("t", due_at)
    clock.advance((left - 1) / 1000)
    assert await woken(delay) == []
    clock.advance(1.0)
    assert await woken(delay) == [envelope.Wake("t", due_at)]


@pytest.mark.parametrize("late", [0, 1, 10_000_000])
async def test_a_timer_that_is_past_wakes_now(
    alarms: Alarms, delay: Queue, clock: VirtualClock, late: int
) -> None:
    await alarms.wake_at("t", clock.now() - late)
    assert await woken(delay) == [envelope.Wake("t", clock.now() - late)]


@pytest.mark.trap("L14")
async def test_a_timer_set_again_right_after_its_wake_wakes_again(
    alarms: Alarms, delay: Queue, clock: VirtualClock
) -> None:
    """A wake came too early, by a clock that is fast: the thread sets the very same timer again, within the 5 minutes."""
    due_at = clock.now() + 2_000
    ids = set()
    for _ in range(3):
        await alarms.wake_at("t", due_at)
        clock.advance(2)
        (record,) = await drain(delay)
        # The relay makes the deduplication id of the wake from this id.
        ids.add(record["messageId"])
    assert len(ids) == 3


# -- later


async def test_a_timer_of_tomorrow_is_a_schedule_that_wakes_in_its_minute_and_is_gone_then(
    cloud: Emulator, alarms: Alarms, inbox: Queue, clock: VirtualClock
) -> None:
    due_at = clock.now() + 86_400_123
    await alarms.wake_at("t", due_at)
    clock.advance(86_400.122)
    assert await woken(inbox) == []
    clock.advance(61)
    await cloud.until(lambda: bool(cloud.sqs.queue("inbox.fifo").messages), "wake")
    assert await woken(inbox) == [envelope.Wake("t", due_at)]
    assert cloud.scheduler.schedules() == []


async def test_a_schedule_is_described_in_full(
    cloud: Emulator, alarms: Alarms, clock: VirtualClock, dead: str
) -> None:
    due_at = clock.now() + 1_000_001
    await alarms.wake_at("t", due_at)
    (schedule,) = cloud.scheduler.schedules()
    described = schedule.described()
    assert described["ScheduleExpression"] == "at(2027-01-15T08:16:41)", "rounded up to the second"
    assert described["ActionAfterCompletion"] == "DELETE"
    assert described["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert described["Target"]["Arn"] == "arn:aws:scheduler:::aws-sdk:sqs:sendMessage"
    assert described["Target"]["DeadLetterConfig"] == {"Arn": dead}
    assert described["Target"]["RetryPolicy"]["MaximumRetryAttempts"] > 0
    message = json.loads(described["Target"]["Input"])
    assert message.keys() == {"QueueUrl", "MessageBody", "MessageGroupId", "MessageDeduplicationId"}
    assert message["MessageGroupId"] == "t"


async def test_what_the_scheduler_is_asked_is_what_botocore_would_ask(
    alarms: Alarms, clock: VirtualClock
) -> None:
    model = botocore.session.Session().get_service_model("scheduler")
    body = {
        **alarms._description("t", clock.now() + 10_000_000),
        "Name": schedule_name("t", 1),
        "ClientToken": "x",
    }
    shape = model.operation_model("CreateSchedule").input_shape
    report = botocore.validate.ParamValidator().validate(body, shape)
    assert not report.has_errors(), report.generate_report()
    sent = json.loads(body["Target"]["Input"])
    shape = botocore.session.Session().get_service_model("sqs").operation_model("SendMessage").input_shape
    assert not botocore.validate.ParamValidator().validate(sent, shape).has_errors()


@given(thread=st.text(max_size=300), due_at=st.integers(0, 1 << 53))
def test_every_schedule_has_a_name_that_the_scheduler_takes(thread: str, due_at: int) -> None:
    name = schedule_name(thread, due_at)
    assert 1 <= len(name) <= 64 and name.replace("-", "").isalnum() and name.isascii()
    assert name == schedule_name(thread, due_at) != schedule_name(thread + "x", due_at)
    assert name != schedule_name(thread, due_at + 1)


async def test_a_timer_behind_a_schedule_that_is_still_to_come_needs_none(
    cloud: Emulator, kept: Alarms, clock: VirtualClock
) -> None:
    start = clock.now()
    for seconds in (3_600, 3_600, 7_200, 1_800, 3_000):
        await kept.wake_at("t", start + seconds * 1000)
    due = sorted(schedule.described()["ScheduleExpression"] for schedule in cloud.scheduler.schedules())
    assert due == ["at(2027-01-15T08:30:00)", "at(2027-01-15T09:00:00)"]
    assert cloud.counts["scheduler.CreateSchedule"] == 2
    clock.advance(1_861)
    await kept.wake_at("t", start + 7_200_000)
    assert cloud.counts["scheduler.CreateSchedule"] == 3, "the one that it knew of has gone off"


async def test_a_timer_that_was_deleted_and_is_set_again_has_a_schedule_again(
    cloud: Emulator, alarms: Alarms, clock: VirtualClock
) -> None:
    """Its request must not be taken for the first one's repeat."""
    due_at = clock.now() + 10_000_000
    for _ in range(2):
        await alarms.wake_at("t", due_at)
        assert len(cloud.scheduler.schedules()) == 1
        await alarms.forget("t", due_at)
        assert cloud.scheduler.schedules() == []


@pytest.mark.parametrize(
    "fault", [reset(after=True), broken(500, after=True), reset()], ids=["reset after", "500", "reset"]
)
@pytest.mark.parametrize("operation", ["CreateSchedule", "DeleteSchedule"])
async def test_answers_that_are_lost_leave_one_schedule_or_none(
    cloud: Emulator, alarms: Alarms, clock: VirtualClock, operation: str, fault: Fault
) -> None:
    cloud.faults.add("scheduler", operation, fault, times=2)
    due_at = clock.now() + 20_000_000
    await alarms.wake_at("t", due_at)
    await alarms.wake_at("t", due_at)
    (schedule,) = cloud.scheduler.schedules()
    assert schedule.described()["ScheduleExpression"] == "at(2027-01-15T13:33:20)"
    await alarms.forget("t", due_at)
    assert cloud.scheduler.schedules() == []


@pytest.mark.trap("L15")
async def test_a_timer_that_can_get_no_schedule_wakes_by_the_delay_queue_to_try_again(
    cloud: Emulator, kept: Alarms, delay: Queue, clock: VirtualClock
) -> None:
    rule = cloud.faults.add("scheduler", "*", refused("ServiceQuotaExceededException", status=402))
    due_at = clock.now() + 10_000_000
    await kept.wake_at("t", due_at)
    assert await woken(delay) == []
    clock.advance(900)
    assert await woken(delay) == [envelope.Wake("t", due_at)]
    rule.remove()
    await kept.wake_at("t", due_at)
    assert len(cloud.scheduler.schedules()) == 1


async def test_a_schedule_that_is_not_there_or_cannot_be_deleted_is_forgotten_all_the_same(
    cloud: Emulator, alarms: Alarms
) -> None:
    await alarms.forget("t", 1)
    rule = cloud.faults.add("scheduler", "DeleteSchedule", refused("AccessDeniedException", status=403))
    await alarms.forget("t", 1)
    assert rule.hits == 1


async def test_without_a_place_for_schedules_a_long_timer_is_refused_with_what_is_missing(
    aws: Aws, inbox: Queue, delay: Queue, clock: VirtualClock
) -> None:
    bare = Alarms(inbox, delay, aws, group="", role="", now=clock.now)
    await bare.wake_at("t", clock.now() + 900_000)
    with pytest.raises(ConfigError, match="INFINITY_SCHEDULE_GROUP and INFINITY_SCHEDULE_ROLE"):
        await bare.wake_at("t", clock.now() + 900_001)
