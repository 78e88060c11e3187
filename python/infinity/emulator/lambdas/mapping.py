"""An event source mapping: batches of an SQS queue to a function.

As many batches run at once as the queue gives: on a FIFO queue that is the number of groups with something
to do, because a group is locked while it is in flight. What the function handled is deleted; what it did
not comes back when its visibility time-out ends, not before.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from ..failure import AwsError
from ..sqs import Message, Queue, Sqs
from ..sqs.received import system_attributes
from ..sqs.sending import digest
from .function import Function
from .invocation import MAX_PAYLOAD, Outcome

__all__ = ["EventSourceMapping"]

_ROOM = MAX_PAYLOAD - (64 << 10)
"""Bytes that the messages of a batch may have: a batch is no larger than a request to a function."""


class EventSourceMapping:
    """One mapping, switched off until ``enable``.

    ``batches``, ``failures`` (of whole batches) and ``partial`` ones are counted.

    Args:
        sqs: The service.
        queue: Where messages come from.
        function: What gets them.
        region: For the records.
        counts: Gets the mapping's own requests to the queue.
        told: Called when a batch is over.
        batch_size: Messages of a batch, 1 to 10.
        report_failures: Whether the function's ``batchItemFailures`` are heeded; otherwise success deletes
            all.
        concurrency: Batches at once; ``None`` is as many as the function can run.

    Raises:
        AwsError: for a batch size out of range, or a queue whose visibility time-out is shorter than the
            function's.
    """

    def __init__(
        self,
        sqs: Sqs,
        queue: Queue,
        function: Function,
        *,
        region: str,
        counts: Counter[str],
        told: Callable[[], None],
        batch_size: int = 10,
        report_failures: bool = True,
        concurrency: int | None = None,
    ) -> None:
        if not 1 <= batch_size <= 10:
            raise AwsError("InvalidParameterValueException", "BatchSize must be between 1 and 10")
        if queue.settings.visibility < function.settings.timeout * 1000:
            raise AwsError(
                "InvalidParameterValueException",
                f"Queue visibility timeout: {queue.settings.visibility // 1000} seconds is less than Function timeout: {function.settings.timeout:g} seconds",
            )
        self.id = str(uuid.uuid4())
        self.queue, self.function = queue, function
        self.batches = self.failures = self.partial = 0
        self.running = 0
        self._sqs = sqs
        self._region = region
        self._counts = counts
        self._told = told
        self._batch_size = batch_size
        self._report_failures = report_failures
        self._concurrency = asyncio.Semaphore(concurrency) if concurrency is not None else None
        self._tasks: set[asyncio.Task[None]] = set()
        self._poller: asyncio.Task[None] | None = None

    @property
    def enabled(self) -> bool:
        return self._poller is not None

    def enable(self) -> None:
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll())

    async def disable(self) -> None:
        """Take nothing more; what runs goes on."""
        poller, self._poller = self._poller, None
        if poller is not None:
            poller.cancel()
            await asyncio.gather(poller, return_exceptions=True)

    async def close(self) -> None:
        await self.disable()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _poll(self) -> None:
        while True:
            if self._concurrency is not None:
                await self._concurrency.acquire()
            # Before messages are taken: a batch that is throttled would count as received.
            await self.function.free()
            messages = await self._sqs.poll(self.queue, self._batch_size, None, None, _ROOM)
            self._counts["sqs.ReceiveMessage (mapping)"] += 1
            self.running += 1
            task = asyncio.create_task(self._run(messages))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            # The batch takes its place in the function before the next one is asked for.
            await asyncio.sleep(0)

    async def _run(self, messages: list[Message]) -> None:
        handles = {message.id: self.queue.handle(message) for message in messages}
        records = [_record(self.queue, message, self._region) for message in messages]
        traces = [message.trace for message in messages if message.trace is not None]
        try:
            outcome = await self.function.invoke(
                json.dumps({"Records": records}).encode(), traces[0] if traces else None
            )
            self.batches += 1
            failed = self._failed(outcome, set(handles))
        except AwsError:
            # Throttled or too large: as if the function had failed.
            failed = None
        finally:
            self.running -= 1
            if self._concurrency is not None:
                self._concurrency.release()
        if failed is None:
            self.failures += 1
        else:
            self.partial += bool(failed)
            self._delete([handle for name, handle in handles.items() if name not in failed])
        self._told()

    def _failed(self, outcome: Outcome, known: set[str]) -> set[str] | None:
        """Ids of the messages to keep; ``None``: all of them, because the function or its report is broken."""
        if outcome.error is not None:
            return None
        if not self._report_failures:
            return set()
        try:
            report = outcome.value()
        except ValueError:
            return None
        if report is None or report == {}:
            return set()
        if not isinstance(report, dict):
            return None
        failures = report.get("batchItemFailures")
        if failures is None:
            return set()
        if not isinstance(failures, list):
            return None
        names = [f.get("itemIdentifier") if isinstance(f, dict) else None for f in failures]
        # An id that was not in the batch makes the whole report invalid, as on Lambda: then everything comes
        # back.
        if any(not isinstance(name, str) or name not in known for name in names):
            return None
        return {str(name) for name in names}

    def _delete(self, handles: list[str]) -> None:
        if handles:
            self._counts["sqs.DeleteMessageBatch (mapping)"] += 1
        for handle in handles:
            try:
                self.queue.delete(handle)
            except AwsError:
                # Expired while the function ran: the message is somebody else's now, and comes again.
                self._counts["sqs.DeleteMessageBatch (mapping) expired"] += 1


def _record(queue: Queue, message: Message, region: str) -> dict[str, Any]:
    return {
        "messageId": message.id,
        "receiptHandle": queue.handle(message),
        "body": message.body,
        "attributes": system_attributes(message),
        "messageAttributes": {name: _attribute(value) for name, value in message.attributes.items()},
        "md5OfBody": digest(message.body),
        "eventSource": "aws:sqs",
        "eventSourceARN": queue.arn,
        "awsRegion": region,
    }


def _attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    attribute: dict[str, Any] = {
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": value["DataType"],
    }
    for name in ("StringValue", "BinaryValue"):
        if name in value:
            attribute[name[0].lower() + name[1:]] = value[name]
    return attribute
