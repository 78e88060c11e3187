"""The operations of SQS, as the JSON protocol names them.

``queue`` has the order and the visibility, ``sending`` the checks, ``settings`` the attributes; here they
are put together. Mappings receive by ``poll`` without a request, and schedules send by ``send_message``,
through the same code as clients.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from ..clock import Timeline
from ..failure import AwsError
from ..protocols import JsonService, Operation
from ..wire import Reply
from .arguments import between, entries, handle
from .failures import QUERY_CODES, gone, missing
from .queue import Message, Queue
from .received import described
from .sending import attributes_digest, checked, digest, size_of
from .settings import MAX_BYTES, Settings

__all__ = ["Sqs"]


class Sqs(JsonService):
    """The service.

    Args:
        timeline: The emulator's.
        region: For ARNs.
        account: For ARNs and URLs.
        base: Gives the address that queue URLs begin with; known once the server listens.
    """

    name = "sqs"
    target = "AmazonSQS"
    namespace = "com.amazonaws.sqs"
    refused_status = 403

    def __init__(self, timeline: Timeline, region: str, account: str, base: Callable[[], str]) -> None:
        super().__init__()
        self._timeline = timeline
        self._place = f"arn:aws:sqs:{region}:{account}:"
        self._account = account
        self._base = base
        self._queues: dict[str, Queue] = {}

    def offered(self) -> dict[str, Operation]:
        return {
            "ChangeMessageVisibility": self._change_visibility,
            "ChangeMessageVisibilityBatch": lambda a: self._batch(a, self._change_visibility),
            "CreateQueue": self._create,
            "DeleteMessage": self._delete,
            "DeleteMessageBatch": lambda a: self._batch(a, self._delete),
            "GetQueueAttributes": self._attributes,
            "GetQueueUrl": lambda a: {"QueueUrl": self.url(self.queue(a.get("QueueName") or "").name)},
            "ListQueues": self._list,
            "ReceiveMessage": self._receive,
            "SendMessage": self.send_message,
            "SendMessageBatch": self._send_batch,
            "SetQueueAttributes": self._set_attributes,
        }

    # for tests and the other stand-ins

    def create(self, name: str, **attributes: object) -> str:
        """Make a queue, FIFO if its name ends so; for tests.

        Args:
            name: Of the queue.
            attributes: As SQS calls them: ``VisibilityTimeout=60``.

        Returns:
            Its URL.

        Raises:
            AwsError: for a name or an attribute that SQS would refuse.
        """
        given = {
            key: str(value).lower() if isinstance(value, bool) else str(value)
            for key, value in attributes.items()
        }
        if name.endswith(".fifo"):
            given.setdefault("FifoQueue", "true")
        return str(self._create({"QueueName": name, "Attributes": given})["QueueUrl"])

    def ensure(self, name: str, **attributes: object) -> str:
        """The URL of a queue with these attributes: a new one, or the one of this name, set anew."""
        if name not in self._queues:
            return self.create(name, **attributes)
        given = {key: str(value) for key, value in attributes.items()}
        self._set_attributes({"QueueUrl": name, "Attributes": given})
        return self.url(name)

    def queue(self, name: str) -> Queue:
        """By its name, ARN or URL."""
        found = self._queues.get(re.split("[/:]", name)[-1])
        if found is None:
            raise gone()
        return found

    def queues(self) -> list[Queue]:
        return list(self._queues.values())

    def url(self, name: str) -> str:
        return f"{self._base()}/{self._account}/{name}"

    def arn(self, name: str) -> str:
        return self._place + name

    def failed(self, error: AwsError) -> Reply:
        reply = super().failed(error)
        code = QUERY_CODES.get(error.code, error.code).rpartition("#")[2]
        fault = "Receiver" if error.status >= 500 else "Sender"
        reply.headers["x-amzn-query-error"] = f"{code};{fault}"
        return reply

    def throttled(self) -> AwsError:
        return AwsError("RequestThrottled", "Rate exceeded", 403)

    def namespace_of(self, code: str) -> str:
        if code in ("InvalidParameterValueException", "MissingRequiredParameterException"):
            return "com.amazon.coral.service"
        return super().namespace_of(code)

    # queues

    def _create(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        name = arguments.get("QueueName") or ""
        settings = Settings.of(name, arguments.get("Attributes") or {})
        known = self._queues.get(name)
        if known is not None:
            present = known.settings.described()
            for key, value in settings.given.items():
                if present.get(key) != value:
                    raise AwsError(
                        "QueueNameExists",
                        f"A queue already exists with the same name and a different value for attribute {key}",
                    )
        else:
            find = lambda arn: self._queues.get(arn.rpartition(":")[2])  # noqa: E731
            self._queues[name] = Queue(name, self.arn(name), settings, self._timeline.now, find)
        return {"QueueUrl": self.url(name)}

    def _asked(self, arguments: Mapping[str, Any]) -> Queue:
        url = arguments.get("QueueUrl")
        if not url:
            raise missing("QueueUrl")
        return self.queue(str(url))

    def _list(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        prefix = arguments.get("QueueNamePrefix") or ""
        most = arguments.get("MaxResults") or 1000
        after = arguments.get("NextToken") or ""
        names = sorted(name for name in self._queues if name.startswith(prefix) and name > after)
        more = {"NextToken": names[most - 1]} if len(names) > most else {}
        return {"QueueUrls": [self.url(name) for name in names[:most]], **more}

    def _attributes(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        queue = self._asked(arguments)
        visible, flying, delayed = queue.counts()
        every = queue.settings.described() | {
            "ApproximateNumberOfMessages": str(visible),
            "ApproximateNumberOfMessagesNotVisible": str(flying),
            "ApproximateNumberOfMessagesDelayed": str(delayed),
            "CreatedTimestamp": str(queue.created_at // 1000),
            "LastModifiedTimestamp": str(queue.modified_at // 1000),
            "QueueArn": queue.arn,
        }
        wanted = arguments.get("AttributeNames") or []
        for name in wanted:
            if (
                name != "All"
                and name not in every
                and name not in ("RedrivePolicy", "Policy", "KmsMasterKeyId")
            ):
                raise AwsError("InvalidAttributeName", f"Unknown Attribute {name}.")
        return {"Attributes": {k: v for k, v in every.items() if "All" in wanted or k in wanted}}

    def _set_attributes(self, arguments: Mapping[str, Any]) -> None:
        queue = self._asked(arguments)
        changes: dict[str, str] = arguments.get("Attributes") or {}
        given = {**queue.settings.given, **changes}
        # An empty policy takes the dead-letter queue away; attributes that are not named stay as they were.
        if given.get("RedrivePolicy") == "":
            del given["RedrivePolicy"]
        queue.settings = Settings.of(queue.name, given)
        queue.modified_at = self._timeline.now()

    # sending

    def send_message(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The operation ``SendMessage``, also for schedules, which send without a request.

        Raises:
            AwsError: if the queue does not exist, or would refuse the message.
        """
        queue = self._asked(arguments)
        message, delay = checked(queue, arguments)
        kept = queue.send(message, delay)
        answer = {"MessageId": kept.id, "MD5OfMessageBody": digest(message.body)}
        if message.attributes:
            answer["MD5OfMessageAttributes"] = attributes_digest(message.attributes)
        if queue.settings.fifo:
            answer["SequenceNumber"] = str(kept.sequence)
        return answer

    def _send_batch(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        size = sum(size_of(entry) for entry in arguments.get("Entries") or [])
        # The sum counts, even if each message would be taken alone.
        if size > MAX_BYTES:
            message = f"Batch requests cannot be longer than {MAX_BYTES} bytes. You have sent {size} bytes."
            raise AwsError("BatchRequestTooLong", message)
        return self._batch(arguments, self.send_message)

    def _batch(
        self, arguments: Mapping[str, Any], each: Callable[[Mapping[str, Any]], dict[str, Any] | None]
    ) -> dict[str, Any]:
        queue = self._asked(arguments)
        done: list[dict[str, Any]] = []
        failed: list[dict[str, Any]] = []
        for entry in entries(arguments):
            try:
                result = each({**entry, "QueueUrl": queue.name}) or {}
            except AwsError as error:
                code = QUERY_CODES.get(error.code, error.code)
                # One entry that is refused leaves the others as they are: the caller must look at each.
                failed.append(
                    {"Id": entry["Id"], "SenderFault": True, "Code": code, "Message": error.message}
                )
            else:
                done.append({"Id": entry["Id"], **result})
        return {"Successful": done, "Failed": failed}

    # receiving

    async def _receive(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        queue = self._asked(arguments)
        most = between(arguments, "MaxNumberOfMessages", 1, 10, "Must be between 1 and 10, if provided.")
        wait = between(arguments, "WaitTimeSeconds", 0, 20, "Must be >= 0 and <= 20, if provided.")
        hidden = between(
            arguments, "VisibilityTimeout", 0, 43_200, "Must be between 0 and 43200, if provided."
        )
        patience = queue.settings.wait if wait is None else wait * 1000
        messages = await self.poll(queue, most or 1, None if hidden is None else hidden * 1000, patience)
        return (
            {"Messages": [described(queue, message, arguments) for message in messages]} if messages else {}
        )

    async def poll(
        self,
        queue: Queue,
        most: int,
        visibility: int | None,
        patience: int | None,
        room: float = math.inf,
    ) -> list[Message]:
        """Receive, waiting for something to come.

        The wait ends by the emulator's clock, or by the system's: a client does not wait for a clock that
        stands still.

        Args:
            queue: Where from.
            most: Messages at once.
            visibility: As for ``Queue.receive``.
            patience: Milliseconds; ``None`` waits for ever.
            room: As for ``Queue.receive``.
        """
        changed = asyncio.Event()
        until = None if patience is None else self._timeline.now() + patience
        # Before the first look, so that nothing that comes in between is missed.
        stop = queue.listen(changed.set)
        try:
            async with asyncio.timeout(None if patience is None else patience / 1000):
                while not (messages := queue.receive(most, visibility, room)):
                    now = self._timeline.now()
                    if until is not None and now >= until:
                        break
                    # Woken by whatever comes first: the end of the wait, or a message that becomes visible
                    # again.
                    times = [time for time in (until, queue.next_visible()) if time is not None]
                    alarm = self._timeline.at(min(times), changed.set) if times else None
                    try:
                        await changed.wait()
                    finally:
                        if alarm is not None:
                            alarm.cancel()
                    changed.clear()
                return messages
        except TimeoutError:
            return []
        finally:
            stop()

    def _delete(self, arguments: Mapping[str, Any]) -> None:
        self._asked(arguments).delete(handle(arguments))

    def _change_visibility(self, arguments: Mapping[str, Any]) -> None:
        queue = self._asked(arguments)
        reason = "Must be between 0 and 43200, if provided."
        seconds = between(arguments, "VisibilityTimeout", 0, 43_200, reason)
        if seconds is None:
            raise missing("VisibilityTimeout")
        queue.change_visibility(handle(arguments), seconds * 1000)
