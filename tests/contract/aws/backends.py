"""Whom the contract tests are run over: the stand-ins of ``infinity.emulator``, moto, and, when asked, DynamoDB Local and ElasticMQ."""

from __future__ import annotations

import asyncio
import functools
import os
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.config import Config
from tests.contract.aws import java, moto_server

from infinity.emulator import Emulator
from infinity.testing.clock import VirtualClock

REGION = "eu-central-1"
LONGEST_REAL_WAIT = 2.0
_QUICK = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=15)


@functools.cache
def session() -> boto3.Session:
    """One for all, because it keeps the services' models, which take long to read."""
    return boto3.Session(region_name=REGION)


@dataclass
class Aws:
    """What a contract test speaks to. ``emulator`` and ``clock`` are there for the stand-ins only."""

    backend: str
    endpoint: str
    key: str = "test"
    secret: str = "test"
    emulator: Emulator | None = None
    clock: VirtualClock | None = None
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = session().client(
                service,
                endpoint_url=self.endpoint,
                aws_access_key_id=self.key,
                aws_secret_access_key=self.secret,
                config=_QUICK,
            )
        return self._clients[service]

    async def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """An operation by its boto3 name, off the event loop."""
        answer: dict[str, Any] = await asyncio.to_thread(
            getattr(self.client(service), operation), **arguments
        )
        return answer

    async def later(self, seconds: float) -> None:
        """Time passes: at once where the clock can be moved, else really, if that is short."""
        if self.clock is not None:
            self.clock.advance(seconds)
            return
        if self.backend == "moto":
            moto_server.advance(seconds)
            return
        if seconds > LONGEST_REAL_WAIT:
            pytest.skip(f"{self.backend} has no clock that a test could move by {seconds:g} s")
        await asyncio.sleep(seconds)


@asynccontextmanager
async def emulated() -> AsyncIterator[Aws]:
    clock = VirtualClock()
    async with Emulator(clock, region=REGION) as emulator:
        credentials = emulator.credentials
        yield Aws(
            "emulator", emulator.endpoint, credentials.access_key, credentials.secret_key, emulator, clock
        )


@asynccontextmanager
async def moto() -> AsyncIterator[Aws]:
    yield Aws("moto", moto_server.endpoint())


@asynccontextmanager
async def dynamodb_local() -> AsyncIterator[Aws]:
    yield Aws("dynamodb-local", java.dynamodb_local())


@asynccontextmanager
async def elasticmq() -> AsyncIterator[Aws]:
    yield Aws("elasticmq", java.elasticmq())


Opened = Callable[[], AbstractAsyncContextManager[Aws]]
BACKENDS: dict[str, Opened] = {"emulator": emulated, "moto": moto}
SERVICES = {"dynamodb-local": {"dynamodb"}, "elasticmq": {"sqs"}}
"""What those that are not all of AWS are."""
if os.environ.get("INFINITY_CONTRACT_JAVA"):
    BACKENDS |= {"dynamodb-local": dynamodb_local, "elasticmq": elasticmq}


def backends_of(service: str) -> list[str]:
    return [name for name in BACKENDS if service in SERVICES.get(name, {service})]


def fresh(prefix: str, suffix: str = "") -> str:
    """A name that no other test has."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}{suffix}"
