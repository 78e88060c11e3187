"""Queues of SQS: FIFO ones with a group and a deduplication id for each message, and standard ones with a
delay.

The cloud host's mailboxes, alarms and notifications are made of them. A FIFO queue keeps order within a
group and drops repeats for five minutes; a standard queue does neither.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infinity.errors import LimitReached

from .client import Aws, RetryPolicy
from .failure import AwsError

__all__ = [
    "LARGEST_MESSAGE",
    "LONGEST_DELAY",
    "Outgoing",
    "Queue",
    "deduplication_id",
    "escaped",
    "group_id",
]

LARGEST_MESSAGE = 1 << 20
"""Bytes of one message, and of all messages of a batch."""
LONGEST_DELAY = 900
"""Seconds."""
_BATCH = 10
_TRIES = 5
_GROUP = re.compile(r"[A-Za-z0-9!\"#$%&'()*+,./:;<=>?@\[\\\]^_`{|}~-]{1,128}")
_REFUSED = str.maketrans({"\ufffe": "\\ufffe", "\uffff": "\\uffff"})
_LONGEST_VISIBILITY = 43_200
_BRIEF = RetryPolicy(tries=3, connect=1.0, once=1.5, total=3.0)
"""For what a slice does not wait for."""
_NOT_HELD = re.compile(r"MessageNotInflight|ReceiptHandleIsInvalid|InvalidParameterValue")
"""What SQS says of a handle that has expired; the last of them has other meanings, which do not apply
here.
"""


def deduplication_id(thread: str, message_id: str) -> str:
    """An id made from the cause and never from the clock: sending again what may have been sent is
    harmless.

    SQS remembers it for 5 minutes from the first send, **even after that message was consumed and
    deleted**: see ``cloud.alarms`` for what must not be dropped.

    Args:
        thread: of the message.
        message_id: of the message within its thread.

    Returns:
        64 hexadecimal digits.
    """
    return hashlib.sha256(f"{thread}\0{message_id}".encode(errors="surrogatepass")).hexdigest()


def group_id(thread: str) -> str:
    """The thread's id, or a digest of it where SQS would refuse it: 1 to 128 printable characters of
    ASCII.

    Args:
        thread: its id.
    """
    if _GROUP.fullmatch(thread):
        return thread
    return f"sha256.{hashlib.sha256(thread.encode(errors='surrogatepass')).hexdigest()}"


def escaped(body: str) -> str:
    """JSON without the two characters of Unicode that it may hold and SQS refuses.

    They can stand in its strings only, so that an escape means the same.

    Args:
        body: JSON.
    """
    return body.translate(_REFUSED)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send.

    ``body``: JSON. ``group`` and ``deduplication_id`` for FIFO queues, ``delay`` (seconds) for standard
    ones.
    """

    body: str
    group: str | None = None
    deduplication_id: str | None = None
    delay: int = 0


class Queue:
    """One queue, by its URL. Every method raises ``AwsError``; sending raises ``LimitReached`` above 1
    MiB.
    """

    def __init__(self, aws: Aws, url: str) -> None:
        """Take the URL; what ends in ``.fifo`` is a FIFO queue.

        Args:
            aws: the client.
            url: of the queue.
        """
        self._aws = aws
        self.url = url
        self.fifo = url.endswith(".fifo")

    async def send(
        self, body: str, *, group: str | None = None, deduplication_id: str | None = None, delay: int = 0
    ) -> str:
        """Send one message; durable when this returns.

        On a standard queue, a repeat after a lost answer is a second message.

        Args:
            body: JSON.
            group: the thread, for FIFO queues.
            deduplication_id: for FIFO queues.
            delay: seconds, for standard queues.

        Returns:
            The id that SQS gave it; of an earlier one if this is a duplicate.
        """
        message = self._message(Outgoing(body, group, deduplication_id, delay))
        answer = await self._aws.json("sqs", "SendMessage", {"QueueUrl": self.url, **message})
        return str(answer["MessageId"])

    async def send_all(self, outgoing: Sequence[Outgoing]) -> list[str]:
        """Send many messages in few requests: 10 messages and 1 MiB in each.

        A request may fail for some of its messages only. So that order is kept in each group, a request
        has at most one message of it, and what comes behind a message that could not be sent is not
        sent either. Sending all again is harmless on a FIFO queue.

        Args:
            outgoing: those of one group in their order.

        Returns:
            Their ids, in the same order.

        Raises:
            AwsError: when the other groups are through, or nothing gets through any more.
            LimitReached: one is too large; nothing was sent.
        """
        messages = [self._message(each) for each in outgoing]
        sent: dict[int, str] = {}
        broken: dict[str | None, AwsError] = {}
        # One message of each group at a time, so that a failure leaves no gap in a group.
        for wave in _waves(outgoing):
            # What comes behind one that failed waits with it: order first.
            still = [place for place in wave if outgoing[place].group not in broken]
            for batch in _batches(still, outgoing):
                failures = await self._send_batch({place: messages[place] for place in batch}, sent)
                broken.update({outgoing[place].group: failure for place, failure in failures.items()})
        # The first of them speaks for all.
        for failure in broken.values():
            raise AwsError(
                f"{len(outgoing) - len(sent)} of {len(outgoing)} messages were not sent: {failure}",
                service_code=failure.service_code,
                retryable=failure.retryable,
            )
        return [sent[place] for place in range(len(outgoing))]

    async def change_visibility(self, receipt_handle: str, seconds: int) -> bool:
        """Say when a message that was received is to come back.

        Args:
            receipt_handle: of the message.
            seconds: 0 is now, 43,200 the most.

        Returns:
            False if it is not held any more: then it is back already, or deleted.
        """
        seconds = min(max(seconds, 0), _LONGEST_VISIBILITY)
        payload = {"QueueUrl": self.url, "ReceiptHandle": receipt_handle, "VisibilityTimeout": seconds}
        try:
            await self._aws.json("sqs", "ChangeMessageVisibility", payload)
        except AwsError as error:
            # Somebody else may have it by now; either way there is nothing left to change.
            if _NOT_HELD.search(error.service_code):
                return False
            raise
        return True

    async def hold(self, seconds: Mapping[str, int]) -> None:
        """The same for many. Handles that are not held any more are passed over. It takes little time, or
        fails.

        Args:
            seconds: by receipt handle.
        """
        entries = [
            {
                "Id": str(place),
                "ReceiptHandle": handle,
                "VisibilityTimeout": min(max(length, 0), _LONGEST_VISIBILITY),
            }
            for place, (handle, length) in enumerate(seconds.items())
        ]
        await self._all("ChangeMessageVisibilityBatch", entries)

    async def delete_all(self, handles: Iterable[str]) -> None:
        """Delete messages that were received. Those that are gone, or not held any more, are passed over.
        It takes little time, or fails.

        Args:
            handles: of the messages.
        """
        entries = [{"Id": str(place), "ReceiptHandle": handle} for place, handle in enumerate(handles)]
        await self._all("DeleteMessageBatch", entries)

    async def _all(self, operation: str, entries: Sequence[Mapping[str, Any]]) -> None:
        for first in range(0, len(entries), _BATCH):
            payload = {"QueueUrl": self.url, "Entries": entries[first : first + _BATCH]}
            await self._aws.json("sqs", operation, payload, policy=_BRIEF)

    async def receive(
        self, most: int = 10, *, wait: int = 0, visibility: int | None = None
    ) -> list[dict[str, Any]]:
        """Receive messages, as records in the shape that a Lambda function gets.

        Args:
            most: how many, at most 10.
            wait: seconds to wait for the first, at most 20.
            visibility: seconds after which they come back; by default as the queue says.
        """
        payload: dict[str, Any] = {
            "QueueUrl": self.url,
            "MaxNumberOfMessages": most,
            "WaitTimeSeconds": wait,
            "AttributeNames": ["All"],
        }
        if visibility is not None:
            payload["VisibilityTimeout"] = visibility
        # The service itself waits; that is no silence.
        policy = RetryPolicy(once=10.0 + wait, total=25.0 + wait)
        answer = await self._aws.json("sqs", "ReceiveMessage", payload, policy=policy)
        return [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message.get("Attributes", {}),
            }
            for message in answer.get("Messages", ())
        ]

    async def delete(self, receipt_handle: str) -> None:
        """Delete one message that was received.

        Args:
            receipt_handle: of the message.
        """
        await self._aws.json("sqs", "DeleteMessage", {"QueueUrl": self.url, "ReceiptHandle": receipt_handle})

    # -- sending

    def _message(self, outgoing: Outgoing) -> dict[str, Any]:
        message: dict[str, Any] = {"MessageBody": escaped(outgoing.body)}
        if len(message["MessageBody"].encode()) > LARGEST_MESSAGE:
            raise LimitReached(f"a message is larger than the {LARGEST_MESSAGE} bytes that SQS takes")
        if self.fifo:
            if outgoing.group is None or outgoing.deduplication_id is None or outgoing.delay:
                raise ValueError("a FIFO queue wants a group and a deduplication id, and knows no delay")
            message["MessageGroupId"] = group_id(outgoing.group)
            message["MessageDeduplicationId"] = outgoing.deduplication_id
        elif outgoing.delay:
            message["DelaySeconds"] = outgoing.delay
        return message

    async def _send_batch(
        self, messages: dict[int, dict[str, Any]], sent: dict[int, str]
    ) -> dict[int, AwsError]:
        """Notes in ``sent`` what was; what was not, by place.

        Messages that SQS failed to take through no fault of theirs are tried again.
        """
        failures: dict[int, AwsError] = {}
        left = dict(messages)
        for tried in range(1, _TRIES + 1):
            entries = [{"Id": str(place), **message} for place, message in left.items()]
            answer = await self._aws.json(
                "sqs", "SendMessageBatch", {"QueueUrl": self.url, "Entries": entries}
            )
            sent.update({int(entry["Id"]): str(entry["MessageId"]) for entry in answer.get("Successful", ())})
            refused = {int(entry["Id"]): _failure(entry) for entry in answer.get("Failed", ())}
            failures.update(refused)
            # A message that SQS refuses for its content would be refused each time.
            left = {place: left[place] for place, failure in refused.items() if failure.retryable}
            if not left or tried == _TRIES:
                break
            await self._aws.pause(tried)
        return {place: failure for place, failure in failures.items() if place not in sent}


def _failure(entry: dict[str, Any]) -> AwsError:
    fault = bool(entry.get("SenderFault", False))
    code = str(entry.get("Code", ""))
    return AwsError(
        f"sqs SendMessageBatch was refused for one message: {code}", service_code=code, retryable=not fault
    )


def _waves(outgoing: Sequence[Outgoing]) -> Iterator[list[int]]:
    """Places of the first message of each group, of the second, and so on; without groups of all at once."""
    rounds: defaultdict[int, list[int]] = defaultdict(list)
    seen: defaultdict[str, int] = defaultdict(int)
    for place, each in enumerate(outgoing):
        if each.group is None:
            rounds[0].append(place)
            continue
        rounds[seen[each.group]].append(place)
        seen[each.group] += 1
    yield from rounds.values()


def _batches(places: Iterable[int], outgoing: Sequence[Outgoing]) -> Iterator[list[int]]:
    batch: list[int] = []
    size = 0
    for place in places:
        own = len(escaped(outgoing[place].body).encode())
        if batch and (len(batch) == _BATCH or size + own > LARGEST_MESSAGE):
            yield batch
            batch, size = [], 0
        batch.append(place)
        size += own
    if batch:
        yield batch
