"""A queue's attributes: which exist, what they may hold, what holds when they are not given.

``service`` reads every ``Attributes`` with it. An attribute that SQS does not know is refused, as there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..failure import AwsError

__all__ = ["MAX_BYTES", "Settings"]

MAX_BYTES = 1 << 20
"""Of a message, and of the messages of one request together."""
_NAME = re.compile(r"[0-9A-Za-z_-]{1,80}")
_NUMBERS = {
    "DelaySeconds": (0, 900, 0),
    "MaximumMessageSize": (1024, MAX_BYTES, MAX_BYTES),
    "MessageRetentionPeriod": (60, 1_209_600, 345_600),
    "ReceiveMessageWaitTimeSeconds": (0, 20, 0),
    "VisibilityTimeout": (0, 43_200, 30),
}
_FIFO_WORDS = {
    "ContentBasedDeduplication": ("false", "true"),
    "DeduplicationScope": ("queue", "messageGroup"),
    "FifoThroughputLimit": ("perQueue", "perMessageGroupId"),
}
# Kept and told back; they change nothing here.
_TEXTS = {
    "KmsDataKeyReusePeriodSeconds",
    "KmsMasterKeyId",
    "Policy",
    "RedriveAllowPolicy",
    "SqsManagedSseEnabled",
}


@dataclass(frozen=True)
class Settings:
    """``given`` are the attributes as they were set; the rest is what they mean. Times are in ms."""

    given: Mapping[str, str]
    fifo: bool
    delay: int
    retention: int
    visibility: int
    wait: int
    max_bytes: int
    content_based: bool
    per_group: bool
    dead_letters: str | None
    """The ARN of the queue that takes what was received too often."""
    max_receives: int

    @classmethod
    def of(cls, name: str, given: Mapping[str, str]) -> Settings:
        """Read a queue's attributes.

        Args:
            name: Of the queue.
            given: Attributes by SQS's names; what is missing has SQS's default.

        Raises:
            AwsError: for a name or value that SQS would refuse.
        """
        fifo = _fifo(name, given)
        numbers = {key: _number(key, given.get(key)) for key in _NUMBERS}
        words = {key: _word(key, given.get(key), fifo) for key in _FIFO_WORDS}
        if words["FifoThroughputLimit"] == "perMessageGroupId" and words["DeduplicationScope"] == "queue":
            raise _bad("FifoThroughputLimit")
        target, receives = _redrive(given.get("RedrivePolicy"), fifo)
        return cls(
            given=dict(given),
            fifo=fifo,
            delay=numbers["DelaySeconds"] * 1000,
            retention=numbers["MessageRetentionPeriod"] * 1000,
            visibility=numbers["VisibilityTimeout"] * 1000,
            wait=numbers["ReceiveMessageWaitTimeSeconds"] * 1000,
            max_bytes=numbers["MaximumMessageSize"],
            content_based=words["ContentBasedDeduplication"] == "true",
            per_group=words["DeduplicationScope"] == "messageGroup",
            dead_letters=target,
            max_receives=receives,
        )

    def described(self) -> dict[str, str]:
        """All attributes, with those that were not given."""
        every = {key: str(usual) for key, (_, _, usual) in _NUMBERS.items()}
        every["SqsManagedSseEnabled"] = "true"
        if self.fifo:
            every |= {key: words[0] for key, words in _FIFO_WORDS.items()}
        return every | dict(self.given)


def _fifo(name: str, given: Mapping[str, str]) -> bool:
    known = _NUMBERS.keys() | _FIFO_WORDS.keys() | _TEXTS | {"FifoQueue", "RedrivePolicy"}
    for key in given:
        if key not in known:
            raise AwsError("InvalidAttributeName", f"Unknown Attribute {key}.")
    wanted = given.get("FifoQueue")
    fifo = name.endswith(".fifo")
    if wanted not in (None, "true") or (wanted is not None and not fifo) or (fifo and wanted is None):
        if fifo or wanted == "true":
            raise AwsError(
                "InvalidParameterValueException",
                "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, "
                "must end with .fifo suffix and be 1 to 80 in length. (And FifoQueue must be 'true'.)",
            )
        raise AwsError("InvalidAttributeName", "Unknown Attribute FifoQueue.")
    if len(name) > 80 or _NAME.fullmatch(name.removesuffix(".fifo") if fifo else name) is None:
        raise AwsError(
            "InvalidParameterValueException",
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
        )
    return fifo


def _number(key: str, text: str | None) -> int:
    least, most, usual = _NUMBERS[key]
    if text is None:
        return usual
    if not text.isdecimal() or not least <= int(text) <= most:
        raise _bad(key)
    return int(text)


def _word(key: str, text: str | None, fifo: bool) -> str:
    words = _FIFO_WORDS[key]
    if text is None:
        return words[0]
    if not fifo:
        raise AwsError("InvalidAttributeName", f"Unknown Attribute {key}.")
    if text not in words:
        raise _bad(key)
    return text


def _redrive(text: str | None, fifo: bool) -> tuple[str | None, int]:
    if not text:
        return None, 0
    try:
        policy = json.loads(text)
        target, receives = str(policy["deadLetterTargetArn"]), int(policy["maxReceiveCount"])
    except (ValueError, TypeError, KeyError):
        raise _bad("RedrivePolicy") from None
    if not 1 <= receives <= 1000 or not target.startswith("arn:aws:sqs:") or target.endswith(".fifo") != fifo:
        raise _bad("RedrivePolicy")
    return target, receives


def _bad(key: str) -> AwsError:
    return AwsError("InvalidAttributeValue", f"Invalid value for the parameter {key}.")
