"""What an emulator holds, as one JSON document: for ``infinity cloud local``, whose deployment outlives its
process.

Not the functions: they are set up anew. What was in flight when the document was made is visible again at
once, because nobody has it any more.
"""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .s3 import Blob
from .sqs import Message, Queue

if TYPE_CHECKING:
    from .stack import Emulator

__all__ = ["restore", "taken"]

VERSION = 1


def taken(aws: Emulator) -> dict[str, Any]:
    """Write down what an emulator holds. It must be closed, or nothing may be in progress.

    Returns:
        A JSON document; ``restore`` reads it.
    """
    return {
        "version": VERSION,
        "queues": [_queue(queue) for queue in aws.sqs.queues()],
        "tables": [
            {
                "described": table.described,
                "expires": table.expires,
                "items": [item for _, item in table.items()],
            }
            for table in aws.dynamodb.tables()
        ],
        "buckets": {
            bucket: {key: _blob(blob) for key, blob in aws.s3.objects(bucket).items()}
            for bucket in aws.s3.buckets()
        },
        "schedules": [
            {"name": each.name, "group": each.group, "given": each.given, "created_at": each.created_at}
            for each in aws.scheduler.schedules()
            if not each.fired
        ],
        "secrets": aws.secrets.kept(),
        "parameters": aws.parameters.kept(),
    }


def restore(aws: Emulator, document: dict[str, Any]) -> None:
    """Fill an emulator that holds nothing yet.

    Args:
        aws: Its clock may have moved on: schedules that are overdue fire at once.
        document: What ``taken`` returned.

    Raises:
        ValueError: if a later version wrote the document.
        KeyError: if it is damaged; ``TypeError`` likewise.
    """
    if document.get("version") != VERSION:
        raise ValueError(f"it is of version {document.get('version')!r}, and this one reads {VERSION}")
    for kept in document["queues"]:
        # Queues first in any order: dead-letter queues are found by name when they are needed.
        aws.sqs.create(kept["name"], **kept["given"])
        _fill(aws.sqs.queue(kept["name"]), kept)
    for kept in document["tables"]:
        aws.dynamodb.restore(kept["described"], kept["expires"], kept["items"])
    for bucket, objects in document["buckets"].items():
        aws.s3.create(bucket)
        for key, kept in objects.items():
            body = base64.b64decode(kept["body"])
            aws.s3.objects(bucket)[key] = Blob(body, kept["headers"], kept["written_at"])
    for kept in document["schedules"]:
        aws.scheduler.restore(kept["name"], kept["group"], kept["given"], kept["created_at"])
    aws.secrets.restore(document["secrets"])
    aws.parameters.restore(document["parameters"])


def _queue(queue: Queue) -> dict[str, Any]:
    messages = []
    for message in queue.messages():
        kept = asdict(message)
        # Anyone who had it is gone with the process.
        flying = kept.pop("in_flight")
        messages.append(kept | ({"visible_at": 0} if flying else {}))
    # A message that was sent within five minutes before the stop is still a repeat after the start.
    sent = [[*key, at, message.id, message.sequence] for key, (at, message) in queue.sent()]
    return {"name": queue.name, "given": dict(queue.settings.given), "messages": messages, "sent": sent}


def _fill(queue: Queue, kept: dict[str, Any]) -> None:
    for fields in kept["messages"]:
        queue.restore(Message(**fields))
    for scope, message_id, at, name, sequence in kept["sent"]:
        queue.remember((scope, message_id), at, Message("", scope, id=name, sequence=sequence))


def _blob(blob: Blob) -> dict[str, Any]:
    body = base64.b64encode(blob.body).decode()
    return {"body": body, "headers": blob.headers, "written_at": blob.written_at}
