"""A message as who receives it sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .queue import Message, Queue
from .sending import attributes_digest, digest

__all__ = ["described", "system_attributes"]


def described(queue: Queue, message: Message, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """As ``ReceiveMessage`` gives it: attributes only as far as they were asked for."""
    wanted = {*(arguments.get("AttributeNames") or ()), *(arguments.get("MessageSystemAttributeNames") or ())}
    system = {k: v for k, v in system_attributes(message).items() if "All" in wanted or k in wanted}
    chosen = _chosen(message.attributes, arguments.get("MessageAttributeNames") or ())
    described: dict[str, Any] = {
        "MessageId": message.id,
        "ReceiptHandle": queue.handle(message),
        "MD5OfBody": digest(message.body),
        "Body": message.body,
    }
    if system:
        described["Attributes"] = system
    if chosen:
        described |= {"MessageAttributes": chosen, "MD5OfMessageAttributes": attributes_digest(chosen)}
    return described


def system_attributes(message: Message) -> dict[str, str]:
    """The attributes that SQS itself gives a message, as texts."""
    every = {
        "SenderId": "AIDAEMULATOR",
        "SentTimestamp": str(message.sent_at),
        "ApproximateReceiveCount": str(message.receives),
        "ApproximateFirstReceiveTimestamp": str(message.first_received_at),
    }
    if message.deduplication_id is not None:
        every |= {
            "MessageDeduplicationId": message.deduplication_id,
            "SequenceNumber": str(message.sequence),
        }
    for name, value in (
        ("MessageGroupId", message.group_id),
        ("AWSTraceHeader", message.trace),
        ("DeadLetterQueueSourceArn", message.source),
    ):
        if value is not None:
            every[name] = value
    return every


def _chosen(attributes: Mapping[str, Any], wanted: Iterable[str]) -> dict[str, Any]:
    def asked(name: str) -> bool:
        return any(w in ("All", ".*", name) or (w.endswith(".*") and name.startswith(w[:-2])) for w in wanted)

    return {name: value for name, value in attributes.items() if asked(name)}
