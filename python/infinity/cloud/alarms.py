"""Wakes: now, by the inbox queue; within 15 minutes, by the delay queue and the relay; later, by a one-time
schedule.

**The trap of deduplication.** SQS drops a message whose deduplication id was sent within the last 5 minutes, *even when that message was consumed and deleted long
since*. For a message that is right: its id is its cause, and once applied it need not come again. A wake is different: it says that something is on
record, and a thread may have been woken, found nothing (a timer not quite due, a row not there yet), and need the same wake once more.
An id that is made of thread and timer, or thread and due time, would be dropped then, and the thread would sleep until the sweep (I7). So:

* A wake's id is made of its ``cause``: what happened *once*. The id of the message that was put into the thread's inbox is one; a thread's name, a timer's id or
  a due time is none. Sending it again for that same occurrence (a retry, a redelivery right after) may be
  dropped: the first one is in the queue, or was consumed after the fact was on record, since nothing wakes
  before it is committed (I5).
* Anyone who cannot know that takes a cause that was never used: a redelivered batch, which sees to everything again, and the sweep.
* A wake by the delay queue gets its id when the relay forwards it, from the message in the delay queue: setting the timer again makes a new
  message there, the relay's own retry does not.
* A schedule is one occurrence by itself: thread and due time make its id. Set again after it came too early, the timer is near, and goes by the delay queue.

**One schedule for many timers.** A wake makes its thread look at all its timers and set an alarm for the earliest that is left. So a timer that is due behind a
schedule of its thread that is still to come needs none of its own: a thread that calls tools all the time makes one request an hour, not two a call. A
schedule is never moved or taken back: one whose timer is over wakes its thread once for nothing.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from infinity.aws.client import Aws, RetryPolicy
from infinity.aws.failure import AwsError
from infinity.aws.sqs import LONGEST_DELAY, Outgoing, Queue, deduplication_id, group_id
from infinity.errors import ConfigError

from . import envelope
from .hints import HintTable

__all__ = ["Alarms", "schedule_name"]

_SEND = "arn:aws:scheduler:::aws-sdk:sqs:sendMessage"
_RETRY = {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}
_BRIEF = RetryPolicy(tries=3, connect=1.0, once=2.0, total=5.0)
"""The delay queue does as well."""

log = logging.getLogger("infinity.cloud")


class Alarms:
    """Wakes of threads, now and later.

    The database has every timer and every message that a wake is for. So a wake that is lost costs time,
    until the sweep finds what is overdue, and one too many costs a look that finds nothing. Every method
    may be repeated. Raises ``AwsError``.

    Args:
        inbox: FIFO.
        delay: Standard, for up to 15 minutes.
        aws: For schedules.
        group: Of schedules.
        role: ARN of the role with which schedules send.
        dead_letters: ARN of a queue for wakes that could not be sent; optional.
        now: Milliseconds since the epoch.
        hints: Know which schedules are still to come; without them every timer gets one.
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
        hints: HintTable | None = None,
    ) -> None:
        self._inbox, self._delay, self._aws = inbox, delay, aws
        self._group, self._role, self._dead_letters = group, role, dead_letters
        self._now = now
        self._hints = hints

    async def wake(self, thread: str, cause: str) -> None:
        """Wake a thread now, through the inbox queue.

        Args:
            thread: Id of the thread. It is the message group as well, so the wake keeps its place in the
                queue.
            cause: What happened, once and for ever, or a text that was never used before. A cause that is
                used twice within five minutes wakes once (see the top of this module).

        Raises:
            AwsError: if SQS did not take the message; the wake may be sent again.
        """
        await self.wake_many([(thread, cause)])

    async def wake_many(self, wakes: Iterable[tuple[str, str]]) -> None:
        """Wake several threads now, in as few requests as the queue allows.

        Args:
            wakes: Pairs of thread id and cause, as for ``wake``.

        Raises:
            AwsError: if SQS did not take all of them; sending all of them again is safe.
        """
        outgoing = [
            Outgoing(envelope.wake(thread), thread, deduplication_id(thread, f"wake.{cause}"))
            for thread, cause in wakes
        ]
        if len(outgoing) == 1:
            only = outgoing[0]
            await self._inbox.send(only.body, group=only.group, deduplication_id=only.deduplication_id)
        elif outgoing:
            await self._inbox.send_all(outgoing)

    async def wake_at(self, thread: str, due_at: int) -> None:
        """Wake a thread at a time, or a little later; never earlier. A time that is past wakes it now.

        Within 15 minutes the wake is late by less than a second, as far as the queue goes; a later one by
        up to a minute, which is the precision of schedules. When no schedule can be made, the delay queue
        wakes the thread in 15 minutes, to try again. A wake cannot be taken back: one too many finds
        nothing to do.

        Args:
            thread: Id of the thread.
            due_at: Milliseconds since the epoch.

        Raises:
            AwsError: if the delay queue did not take the message either.
            ConfigError: if the time is further away than the delay queue reaches and the schedule group or
                its role is not set.
        """
        left = due_at - self._now()
        if left <= LONGEST_DELAY * 1000:
            await self._delay.send(envelope.wake(thread, due_at), delay=max(_up(left), 0))
            return
        # A schedule of this thread that fires no later than the timer makes the thread look at all its
        # timers, and then set the next alarm. One that is past says nothing: it may have fired before this
        # timer was recorded.
        before = await self._hints.schedule(thread) if self._hints is not None else None
        if before is not None and self._now() < before <= due_at:
            return
        try:
            await self._schedule(thread, due_at)
        except AwsError as error:
            log.warning("the delay queue wakes %s, because it could get no schedule: %s", thread, error)
            await self._delay.send(envelope.wake(thread, due_at), delay=LONGEST_DELAY)
        else:
            if self._hints is not None:
                # Only after the schedule exists: a hint about one that was never made would suppress it.
                await self._hints.put_schedule(thread, due_at)

    async def wake_again(self, thread: str, seconds: int, again: int) -> None:
        """Wake a thread after a rest, to process everything that it has on record.

        Args:
            thread: Id of the thread.
            seconds: The rest, cut to the longest delay of the queue (900).
            again: How often that has failed before; the wake carries it, so that the next rest is longer.

        Raises:
            AwsError: if SQS did not take the message.
        """
        await self._delay.send(envelope.wake(thread, again=again), delay=min(seconds, LONGEST_DELAY))

    async def forget(self, thread: str, due_at: int) -> None:
        """Delete the schedule of this time, if there is one; for threads that are deleted.

        A failure is logged: the schedule that stays wakes a thread that is gone, and deletes itself.
        """
        try:
            await self._aws.rest(
                "scheduler",
                "DELETE",
                f"/schedules/{schedule_name(thread, due_at)}",
                operation="DeleteSchedule",
                query={"groupName": self._group},
                policy=_BRIEF,
            )
        except AwsError as error:
            if error.service_code != "ResourceNotFoundException":
                log.warning("a schedule of %s could not be deleted; it wakes nothing: %s", thread, error)

    # -- schedules

    async def _schedule(self, thread: str, due_at: int) -> None:
        if not (self._group and self._role):
            raise ConfigError(
                f"a timer of {thread} is due in more than {LONGEST_DELAY} s: set INFINITY_SCHEDULE_GROUP and INFINITY_SCHEDULE_ROLE"
            )
        # One token for all tries of this call: a repeat of the request is one schedule. Never from the timer
        # alone: a schedule that was deleted since would be taken for made.
        body = {**self._description(thread, due_at), "ClientToken": secrets.token_hex(16)}
        try:
            await self._aws.rest(
                "scheduler",
                "POST",
                f"/schedules/{schedule_name(thread, due_at)}",
                operation="CreateSchedule",
                headers={"Content-Type": "application/json"},
                body=msgspec.json.encode(body),
                policy=_BRIEF,
            )
        except AwsError as error:
            # The very same one is there already.
            if error.service_code != "ConflictException":
                raise

    def _description(self, thread: str, due_at: int) -> dict[str, Any]:
        due = datetime.fromtimestamp(_up(due_at), UTC)
        message = {
            "QueueUrl": self._inbox.url,
            "MessageBody": envelope.wake(thread, due_at),
            "MessageGroupId": group_id(thread),
            "MessageDeduplicationId": deduplication_id(thread, f"timer.{due_at}"),
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


def schedule_name(thread: str, due_at: int) -> str:
    """The name of the schedule for one time of a thread: 46 of the 64 characters that a name may have.

    It is a digest, because thread ids may be longer and hold characters that a name may not. The same
    thread and time always give the same name, so that a repeat finds the schedule that is there.
    """
    digest = hashlib.sha256(f"{thread}\0{due_at}".encode(errors="surrogatepass")).hexdigest()
    return f"wake-{digest[:41]}"


def _up(milliseconds: int) -> int:
    """Whole seconds, never less."""
    return -(-milliseconds // 1000)
