"""A queue of whichever backend, with the few words that the tests of SQS use."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.contract.aws.backends import Aws, fresh

VISIBILITY = 1
"""Seconds; short, because not every backend has a clock that can be moved."""


@dataclass(frozen=True)
class Queue:
    aws: Aws
    name: str
    url: str

    async def send(
        self, body: str, group: str | None = None, id: str | None = None, **more: Any
    ) -> dict[str, Any]:
        if group is not None:
            more |= {"MessageGroupId": group, "MessageDeduplicationId": id or body}
        return await self.aws.call("sqs", "send_message", QueueUrl=self.url, MessageBody=body, **more)

    async def receive(self, most: int = 10, wait: int = 0, **more: Any) -> list[dict[str, Any]]:
        answer = await self.aws.call(
            "sqs",
            "receive_message",
            QueueUrl=self.url,
            MaxNumberOfMessages=most,
            WaitTimeSeconds=wait,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
            **more,
        )
        return list(answer.get("Messages", []))

    async def bodies(self, most: int = 10, **more: Any) -> list[str]:
        return [message["Body"] for message in await self.receive(most, **more)]

    async def delete(self, message: dict[str, Any]) -> None:
        await self.aws.call(
            "sqs", "delete_message", QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"]
        )

    async def hide(self, message: dict[str, Any], seconds: int) -> None:
        await self.aws.call(
            "sqs",
            "change_message_visibility",
            QueueUrl=self.url,
            ReceiptHandle=message["ReceiptHandle"],
            VisibilityTimeout=seconds,
        )

    async def attributes(self) -> dict[str, str]:
        answer = await self.aws.call("sqs", "get_queue_attributes", QueueUrl=self.url, AttributeNames=["All"])
        return dict(answer["Attributes"])


async def queue(aws: Aws, *, fifo: bool = False, **attributes: Any) -> Queue:
    name = fresh("queue", ".fifo" if fifo else "")
    given = {"VisibilityTimeout": str(VISIBILITY)} | {k: str(v) for k, v in attributes.items()}
    if fifo:
        given["FifoQueue"] = "true"
    answer = await aws.call("sqs", "create_queue", QueueName=name, Attributes=given)
    return Queue(aws, name, answer["QueueUrl"])


async def with_dead_letters(aws: Aws, receives: int, *, fifo: bool = False) -> tuple[Queue, Queue]:
    """A queue and the one that takes what was received more often than ``receives`` times."""
    letters = await queue(aws, fifo=fifo)
    arn = (await letters.attributes())["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": receives})
    return await queue(aws, fifo=fifo, RedrivePolicy=policy), letters
