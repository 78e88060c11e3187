"""The clients of ``infinity.cloud`` against the emulator, which checks their signatures and counts their requests."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from infinity.aws.client import Aws, RetryPolicy
from infinity.aws.sqs import Queue
from infinity.emulator import Credentials, Emulator
from infinity.testing.clock import VirtualClock

QUICK = RetryPolicy(tries=5, connect=1.0, once=0.3, total=5.0)
"""For tests in which the other side does not answer."""

Makes = Callable[..., Aws]


class Waits(list[float]):
    """In place of ``asyncio.sleep``: what would have been waited."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def cloud(clock: VirtualClock) -> AsyncIterator[Emulator]:
    async with Emulator(clock, credentials=Credentials(session_token="a session's token")) as made:
        made.dynamodb.create("items", "pk", "sk", expires="expires")
        made.s3.create("claims-bucket")
        yield made


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
async def make(cloud: Emulator, clock: VirtualClock, waits: Waits) -> AsyncIterator[Makes]:
    made: list[Aws] = []

    def one(policy: RetryPolicy | None = None, **environment: str) -> Aws:
        aws = Aws(
            {**cloud.environment(), **environment},
            policy=policy,
            sleep=waits,
            jitter=random.Random(1).random,
            now=lambda: clock.now() / 1000,
        )
        made.append(aws)
        return aws

    yield one
    for each in made:
        await each.close()


@pytest.fixture
def aws(make: Makes) -> Aws:
    return make()


@pytest.fixture
def inbox(cloud: Emulator, aws: Aws) -> Queue:
    url = cloud.sqs.create(
        "inbox.fifo", DeduplicationScope="messageGroup", FifoThroughputLimit="perMessageGroupId"
    )
    return Queue(aws, url)


@pytest.fixture
def delay(cloud: Emulator, aws: Aws) -> Queue:
    return Queue(aws, cloud.sqs.create("delay"))


async def drain(queue: Queue) -> list[dict[str, Any]]:
    """Receive and delete all there is."""
    found: list[dict[str, Any]] = []
    while records := await queue.receive():
        for record in records:
            await queue.delete(record["receiptHandle"])
        found += records
    return found
