"""From the delay queue to the inbox queue: a FIFO queue cannot delay a single message, so that short waits
take this way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from infinity.aws.client import Aws
from infinity.aws.sqs import Queue, deduplication_id
from infinity.errors import InfinityError

from . import envelope
from .environment import read_resources

__all__ = ["forward", "open_relay"]

log = logging.getLogger("infinity.cloud")


def open_relay(environment: Mapping[str, str]) -> Queue:
    """Make the inbox queue of a relay's process, kept between its invocations.

    Raises:
        ConfigError: if the environment does not say which queue it is.
    """
    return Queue(Aws(environment), read_resources(environment, ["inbox_queue"]).inbox_queue)


async def forward(queue: Queue, event: Mapping[str, Any]) -> dict[str, Any]:
    """Forward the wakes of a batch of the delay queue. Forwarding one twice is harmless: a wake carries
    nothing.

    Args:
        queue: The inbox queue.
        event: Of the delay queue's event source mapping.

    Returns:
        ``batchItemFailures``, one for each wake that SQS did not take.
    """
    sent = await asyncio.gather(*(_forward(queue, record) for record in event["Records"]))
    failed = [record["messageId"] for record, done in zip(event["Records"], sent, strict=True) if not done]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


async def _forward(queue: Queue, record: Mapping[str, Any]) -> bool:
    thread = envelope.woken(record["body"])
    # It would be delivered a hundred times and end among the late wakes, for an alarm that nobody could use.
    if thread is None:
        log.error("message %s of the delay queue is not a wake; it is dropped", record["messageId"])
        return True
    # From the message that waited, which is the same however often it is delivered.
    deduplication = deduplication_id(thread, f"relay.{record['messageId']}")
    try:
        await queue.send(record["body"], group=thread, deduplication_id=deduplication)
    except (InfinityError, OSError) as error:
        log.warning("a wake for %s could not be forwarded, it is tried again: %s", thread, error)
        return False
    return True
