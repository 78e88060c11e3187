"""What the inbox queue gave up on: kept in the database, where the sweep goes on trying, and told to people.
Nothing accepted is lost (I2).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from infinity._core import Message
from infinity.abc import Status
from infinity.errors import InfinityError, StoreError

from . import envelope
from .effects import collect_effects
from .hints import Trouble
from .host import Host

__all__ = ["keep"]

log = logging.getLogger("infinity.cloud")


async def keep(host: Host, event: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the messages of a batch of dead letters in the database, in order per thread.

    Args:
        host: The process's host.
        event: Of the dead-letter queue's event source mapping.

    Returns:
        ``batchItemFailures``: a message that could not be kept, and those of its thread behind it, stay in
        the queue.
    """
    failed: list[str] = []
    stuck: set[str] = set()
    for record in event["Records"]:
        thread = record["attributes"]["MessageGroupId"]
        # Order is kept among dead letters as well (THR-1).
        if thread in stuck:
            failed.append(record["messageId"])
            continue
        try:
            with collect_effects():
                await _keep(host, thread, record)
        except (InfinityError, OSError) as error:
            log.error(
                "message %s for %s stays in the dead-letter queue: %s", record["messageId"], thread, error
            )
            stuck.add(thread)
            failed.append(record["messageId"])
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


async def _keep(host: Host, thread: str, record: Mapping[str, Any]) -> None:
    match envelope.open(record):
        case envelope.Newer(version):
            raise StoreError(f"it has format {version}, which this version cannot read; deploy the newer one")
        case envelope.Unreadable(reason):
            await host.refuse(thread, record["messageId"], reason)
            return
        case envelope.Wake():
            await _tell(host, thread, record, "it could not be woken")
        case envelope.Erasure():
            await _tell(host, thread, record, "it is deleted, and not everything of it could be removed")
        case envelope.Claimed(message, key):
            await _put(host, await host.fetch(message, key), record)
        case envelope.Said(message):
            await host.welcome(message)
            await _put(host, message, record)
        case Message() as message:
            await _put(host, message, record)


async def _put(host: Host, message: Message, record: Mapping[str, Any]) -> None:
    status = await host.keep(message)
    if status not in (Status.UNKNOWN_THREAD, Status.MOVED):
        what = f"a message of kind {message.kind} is kept ({status.value})"
        await _tell(host, message.thread, record, what)


async def _tell(host: Host, thread: str, record: Mapping[str, Any], what: str) -> None:
    text = f"the thread failed again and again: {what}. It is tried again every quarter of an hour; the function's log says why it fails"
    await host.hints.put_trouble({thread: Trouble(text, heard=1)})
    await host.problem(thread, f"dead.{record['messageId']}", "dead_letter", text)
