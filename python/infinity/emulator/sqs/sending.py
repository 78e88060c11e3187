"""What SQS checks before it takes a message.

``service`` calls ``checked`` for each message, alone or in a batch. The digests are those that clients
compare, and sizes count as SQS counts them: a message that passes here must pass there.
"""

from __future__ import annotations

import hashlib
import re
import struct
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from ..failure import AwsError
from .failures import invalid, missing
from .queue import Message, Queue

__all__ = ["MAX_DELAY", "attributes_digest", "checked", "digest", "size_of"]

MAX_DELAY = 900
_ID = re.compile(r"[!-~]{1,128}")
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NOT_HERE = "The request include parameter that is not valid for this queue type."


def checked(queue: Queue, entry: Mapping[str, Any]) -> tuple[Message, int | None]:
    """Check what ``SendMessage`` asks for.

    Args:
        queue: Where it is to go.
        entry: The request, or an entry of a batch.

    Returns:
        The message, and its delay in milliseconds; ``None`` is the queue's own.

    Raises:
        AwsError: if the queue would refuse it.
    """
    body = entry.get("MessageBody")
    if not body or not isinstance(body, str):
        raise missing("MessageBody")
    found = _FORBIDDEN.search(body)
    if found is not None:
        raise AwsError(
            "InvalidMessageContents",
            f"Invalid binary character '#x{ord(found[0]):X}' was found in the message body, the set of allowed characters is "
            "#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
        )
    attributes = entry.get("MessageAttributes") or {}
    _check_attributes(attributes)
    if size_of(entry) > queue.settings.max_bytes:
        raise AwsError(
            "InvalidParameterValueException",
            f"One or more parameters are invalid. Reason: Message must be shorter than {queue.settings.max_bytes} bytes.",
        )
    trace = (entry.get("MessageSystemAttributes") or {}).get("AWSTraceHeader", {}).get("StringValue")
    message = Message(body=body, group="", attributes=attributes, trace=trace)
    message.group_id = _id(entry, "MessageGroupId")
    message.deduplication_id = _id(entry, "MessageDeduplicationId")
    if queue.settings.fifo:
        _check_fifo(queue, entry, message)
    elif message.deduplication_id is not None:
        raise invalid(message.deduplication_id, "MessageDeduplicationId", _NOT_HERE)
    message.group = message.group_id if queue.settings.fifo and message.group_id else message.id
    # On a FIFO queue only 0 comes this far, and means the queue's own delay.
    return message, None if queue.settings.fifo else _delay(entry)


def _check_fifo(queue: Queue, entry: Mapping[str, Any], message: Message) -> None:
    if message.group_id is None:
        raise missing("MessageGroupId")
    if message.deduplication_id is None:
        if not queue.settings.content_based:
            raise AwsError(
                "InvalidParameterValueException",
                "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly",
            )
        message.deduplication_id = hashlib.sha256(message.body.encode()).hexdigest()
    if entry.get("DelaySeconds"):
        raise invalid(entry["DelaySeconds"], "DelaySeconds", _NOT_HERE)


def _id(entry: Mapping[str, Any], parameter: str) -> str | None:
    value = entry.get(parameter)
    if value is None:
        return None
    if not isinstance(value, str) or _ID.fullmatch(value) is None:
        reason = f"{parameter} can only include alphanumeric and punctuation characters. 1 to 128 in length."
        raise invalid(value, parameter, reason)
    return value


def _delay(entry: Mapping[str, Any]) -> int | None:
    seconds = entry.get("DelaySeconds")
    if seconds is None:
        return None
    if not isinstance(seconds, int) or not 0 <= seconds <= MAX_DELAY:
        raise invalid(seconds, "DelaySeconds", "DelaySeconds must be >= 0 and <= 900.")
    return seconds * 1000


def _check_attributes(attributes: Mapping[str, Any]) -> None:
    if len(attributes) > 10:
        raise AwsError(
            "InvalidParameterValueException",
            f"Number of message attributes [{len(attributes)}] exceeds the allowed maximum [10].",
        )
    for name, value in attributes.items():
        kind = value.get("DataType", "").partition(".")[0]
        content = value.get("BinaryValue" if kind == "Binary" else "StringValue")
        if kind not in ("String", "Number", "Binary") or not content:
            raise AwsError(
                "InvalidParameterValueException",
                f"The message attribute '{name}' must contain a non-empty value of type String, Number or Binary.",
            )


def size_of(entry: Mapping[str, Any]) -> int:
    """Bytes of a message that count: its body, and its attributes' names, types and values.

    Args:
        entry: The request, or an entry of a batch.
    """
    size = len(str(entry.get("MessageBody") or "").encode(errors="surrogatepass"))
    for name, value in (entry.get("MessageAttributes") or {}).items():
        size += len(name.encode()) + len(value.get("DataType", ""))
        size += len(value.get("StringValue", "").encode()) + len(b64decode(value.get("BinaryValue", "")))
    return size


def digest(text: str) -> str:
    """MD5 of a text in hex, as SQS answers it, so that a client may compare."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def attributes_digest(attributes: Mapping[str, Any]) -> str:
    """As SQS works it out, so that a client may compare."""
    parts = bytearray()
    # The order and the length prefixes are part of what clients compare.
    for name in sorted(attributes):
        value = attributes[name]
        binary = value["DataType"].startswith("Binary")
        content = b64decode(value["BinaryValue"]) if binary else value["StringValue"].encode()
        for part in (name.encode(), value["DataType"].encode()):
            parts += struct.pack(">I", len(part)) + part
        parts += (b"\2" if binary else b"\1") + struct.pack(">I", len(content)) + content
    return hashlib.md5(bytes(parts), usedforsecurity=False).hexdigest()
