"""What a schedule does when it is due: send, try again, give up to the dead letters.

``scheduler`` hands due schedules over; sending goes through the emulator's faults, as any request. The
rules of retrying are those that Scheduler documents, because ``cloud/alarms.py`` counts on them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from infinity.backoff import Backoff

from .clock import Timeline
from .failure import AwsError, ConnectionReset
from .schedules import SEND_MESSAGE, Schedule

__all__ = ["Firing"]

log = logging.getLogger("infinity.emulator")

_BACKOFF = Backoff(first=1.0, longest=900.0, least=0.8)
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Firing:
    """Sends what schedules have for their queues.

    Args:
        timeline: The emulator's.
        send: Performs ``SendMessage`` with the request's JSON document.
        url: Turns a queue's ARN into what the request needs.
    """

    def __init__(self, timeline: Timeline, send: Send, url: Callable[[str], str]) -> None:
        self._timeline = timeline
        self._send = send
        self._url = url
        self._tasks: set[asyncio.Task[None]] = set()

    def fire(self, schedule: Schedule, completed: Callable[[], None]) -> None:
        """Begin to deliver what a schedule has.

        Args:
            schedule: One that is due.
            completed: Called when it was sent or given up.
        """
        task = asyncio.create_task(self._deliver(schedule, completed))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _deliver(self, schedule: Schedule, completed: Callable[[], None]) -> None:
        """At least once, with growing pauses while it is the target that fails."""
        execution, target = str(uuid.uuid4()), schedule.target
        policy = target.get("RetryPolicy") or {}
        began, attempt = self._timeline.now(), 0
        most, age = policy.get("MaximumRetryAttempts", 185), policy.get("MaximumEventAgeInSeconds", 86_400)
        while True:
            try:
                await self._send(self._request(schedule, execution, attempt))
                break
            except (AwsError, ConnectionReset) as error:
                failure = error if isinstance(error, AwsError) else AwsError("InternalFailure", "reset", 500)
            # As Scheduler does it: what the target refuses for good is not tried again.
            lasting = failure.status < 500 and "Throttl" not in failure.code
            exhausted = "MaximumRetryAttempts" if attempt >= most else None
            pause = int(_BACKOFF.wait(attempt) * 1000)
            if self._timeline.now() + pause > began + age * 1000:
                exhausted = "MaximumEventAgeInSeconds"
            if lasting or exhausted is not None:
                await self._give_up(schedule, failure, execution, attempt, exhausted)
                break
            attempt += 1
            await self._timeline.sleep(pause)
        completed()

    def _request(self, schedule: Schedule, execution: str, attempt: int) -> dict[str, Any]:
        target = schedule.target
        text = _filled(target.get("Input") or "", schedule, execution, attempt)
        # A templated target: the request is made of the target's own fields, and ``Input`` is the body alone.
        if target["Arn"] != SEND_MESSAGE:
            group = (target.get("SqsParameters") or {}).get("MessageGroupId")
            request = {"QueueUrl": self._url(target["Arn"]), "MessageBody": text}
            return request if group is None else {**request, "MessageGroupId": group}
        try:
            whole = json.loads(text)
        except ValueError:
            whole = None
        if not isinstance(whole, dict):
            raise AwsError("InvalidParameterValueException", "Input is not a JSON object.")
        return whole

    async def _give_up(
        self, schedule: Schedule, error: AwsError, execution: str, attempt: int, exhausted: str | None
    ) -> None:
        letters = (schedule.target.get("DeadLetterConfig") or {}).get("Arn")
        if letters is None:
            log.warning("schedule %s was dropped: %s", schedule.arn, error)
            return
        # The names and values that Scheduler documents for its dead letters; what alarms and people look for.
        words = {
            "ERROR_CODE": error.code,
            "ERROR_MESSAGE": error.message,
            "EXECUTION_ID": execution,
            "EXHAUSTED_RETRY_CONDITION": exhausted,
            "IS_PAYLOAD_TRUNCATED": "false",
            "RETRY_ATTEMPTS": str(attempt),
            "SCHEDULED_TIME": _time(schedule),
            "SCHEDULE_ARN": schedule.arn,
            "TARGET_ARN": schedule.target["Arn"],
        }
        attributes = {n: {"DataType": "String", "StringValue": w} for n, w in words.items() if w}
        body = _filled(schedule.target.get("Input") or "{}", schedule, execution, attempt)
        # The tenth attribute is the last that SQS takes.
        try:
            await self._send(
                {"QueueUrl": self._url(letters), "MessageBody": body, "MessageAttributes": attributes}
            )
        except (AwsError, ConnectionReset) as refusal:
            log.warning("schedule %s and its dead letter were dropped: %s", schedule.arn, refusal)


def _time(schedule: Schedule) -> str:
    return datetime.fromtimestamp(schedule.due_at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _filled(text: str, schedule: Schedule, execution: str, attempt: int) -> str:
    for word, value in (
        ("schedule-arn", schedule.arn),
        ("scheduled-time", _time(schedule)),
        ("execution-id", execution),
        ("attempt-number", str(attempt + 1)),
    ):
        text = text.replace(f"<aws.scheduler.{word}>", value)
    return text
