"""Wakes: now, by the inbox queue; within 15 minutes, by the delay queue and the relay; later, by a one-time schedule.

**The trap of deduplication.** SQS drops a message whose deduplication id was sent within the last 5 minutes, *even when that message was consumed and deleted long
since*. For a message that is right: its id is its cause, and once applied it need not come again. A wake is different: it says that something is on
record, and a thread may have been woken, found nothing (a timer not quite due, a row not there yet), and need the same wake once more.
An id that is made of thread and timer, or thread and due time, would be dropped then, and the thread would sleep until the sweep (I7). So:

* A wake's id is made of its ``cause``: what happened *once*. The id of the message that was put into the thread's inbox is one; a thread's name, a timer's id or
  a due time is none. Sending it again for that same occurrence (a retry, a redelivery right after) may be dropped: the first one is in the queue, or was
  consumed after the fact was on record, since nothing wakes before it is committed (I5).
* Whoever cannot know that takes a cause that was never used: a redelivered batch, which sees to everything again, and the sweep.
* A wake by the delay queue gets its id when the relay forwards it, from the message in the delay queue: setting the timer again makes a new
  message there, the relay's own retry does not.
* A schedule is one occurrence by itself: timer and due time make its id. Set again after it came too early, the timer is near, and goes by the delay queue.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from infinity.errors import ConfigError

from . import envelope
from .aws.client import Aws
from .aws.failure import AwsError
from .aws.sqs import LONGEST_DELAY, Outgoing, Queue, deduplication_id, group_id

__all__ = ["Alarms", "schedule_name"]

_SEND = "arn:aws:scheduler:::aws-sdk:sqs:sendMessage"
_RETRY = {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}
_ROUNDS = 3


class Alarms:
    """``inbox``: FIFO; ``delay``: standard. ``group``, ``role``, ``dead_letters``: of schedules; the last is optional. ``now``: ms since the epoch.

    The database has every timer and every message that a wake is for. So a wake that is lost costs time, until the sweep finds what is overdue, and one too many
    costs a look that finds nothing. Every method may be repeated. Raises ``AwsError``.
    """

    def __init__(
        self,
        inbox: Queue,
        delay: Queue,
        aws: Aws,
        group: str,
        role: str,
        dead_letters: str = "",
        now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._inbox, self._delay, self._aws = inbox, delay, aws
        self._group, self._role, self._dead_letters = group, role, dead_letters
        self._now = now

    async def wake(self, thread: str, cause: str) -> None:
        """Wake it now. ``cause``: what happened, once and for ever, or a text never used before (see above: a cause used twice within 5 minutes wakes once)."""
        await self.wake_many([(thread, cause)])

    async def wake_many(self, wakes: Iterable[tuple[str, str]]) -> None:
        """Threads with their causes, in few requests."""
        outgoing = [
            Outgoing(envelope.wake(thread), thread, deduplication_id(thread, f"wake.{cause}"))
            for thread, cause in wakes
        ]
        if len(outgoing) == 1:
            only = outgoing[0]
            await self._inbox.send(only.body, group=only.group, deduplication_id=only.deduplication_id)
        elif outgoing:
            await self._inbox.send_all(outgoing)

    async def wake_at(self, thread: str, timer_id: str, due_at: int) -> None:
        """Wake it at this time, in ms since the epoch, or a little later; never earlier. What is past is woken now.

        Within 15 minutes: late by less than a second, as far as the queue goes. Later: late by up to a minute, which is the precision of schedules.
        Setting a timer again replaces its schedule. A wake of the delay queue cannot be taken back: it finds nothing to do.
        """
        left = due_at - self._now()
        if left <= LONGEST_DELAY * 1000:
            seconds = max(_up(left), 0)
            await self._delay.send(envelope.wake(thread, due_at), delay=seconds)
        else:
            await self._schedule(thread, timer_id, due_at)

    async def forget(self, thread: str, timer_id: str) -> None:
        """Delete the timer's schedule, if it has one. If that is lost, it wakes for nothing; if it comes late and deletes the schedule of
        the same timer set anew, the sweep finds that one overdue."""
        try:
            await self._aws.rest(
                "scheduler",
                "DELETE",
                f"/schedules/{schedule_name(thread, timer_id)}",
                operation="DeleteSchedule",
                query={"groupName": self._group},
            )
        except AwsError as error:
            if error.service_code != "ResourceNotFoundException":
                raise

    # -- schedules

    async def _schedule(self, thread: str, timer_id: str, due_at: int) -> None:
        if not (self._group and self._role):
            raise ConfigError(
                f"timer {timer_id} of {thread} is due in more than {LONGEST_DELAY} s: set INFINITY_SCHEDULE_GROUP and INFINITY_SCHEDULE_ROLE"
            )
        path = f"/schedules/{schedule_name(thread, timer_id)}"
        # One token for all tries of this call: a repeat of the request is one schedule. Never from the timer alone: a schedule that was
        # deleted since would be taken for made.
        body = {**self._description(thread, timer_id, due_at), "ClientToken": secrets.token_hex(16)}
        encoded = msgspec.json.encode(body)
        for attempt in range(_ROUNDS):
            try:
                await self._rest("POST", path, "CreateSchedule", encoded)
            except AwsError as error:
                if error.service_code != "ConflictException":
                    raise
            else:
                return
            try:
                await self._rest("PUT", path, "UpdateSchedule", encoded)
            except AwsError as error:
                # It went off, or was deleted, between the two; a conflict is with somebody else's change.
                gone = error.service_code in ("ResourceNotFoundException", "ConflictException")
                if not gone or attempt == _ROUNDS - 1:
                    raise
            else:
                return

    async def _rest(self, method: str, path: str, operation: str, body: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        await self._aws.rest("scheduler", method, path, operation=operation, headers=headers, body=body)

    def _description(self, thread: str, timer_id: str, due_at: int) -> dict[str, Any]:
        due = datetime.fromtimestamp(_up(due_at), UTC)
        message = {
            "QueueUrl": self._inbox.url,
            "MessageBody": envelope.wake(thread, due_at),
            "MessageGroupId": group_id(thread),
            "MessageDeduplicationId": deduplication_id(thread, f"timer.{timer_id}.{due_at}"),
        }
        target: dict[str, Any] = {
            "Arn": _SEND,
            "RoleArn": self._role,
            "Input": msgspec.json.encode(message).decode(),
            "RetryPolicy": _RETRY,
        }
        if self._dead_letters:
            target["DeadLetterConfig"] = {"Arn": self._dead_letters}
        return {
            "GroupName": self._group,
            "ScheduleExpression": f"at({due:%Y-%m-%dT%H:%M:%S})",
            "ScheduleExpressionTimezone": "UTC",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "ActionAfterCompletion": "DELETE",
            "Target": target,
        }


def schedule_name(thread: str, timer_id: str) -> str:
    """The same for the same timer, 46 of at most 64 characters: ids may be longer, and hold what a name may not."""
    digest = hashlib.sha256(f"{thread}\0{timer_id}".encode(errors="surrogatepass")).hexdigest()
    return f"wake-{digest[:41]}"


def _up(milliseconds: int) -> int:
    """Whole seconds, never less."""
    return -(-milliseconds // 1000)
