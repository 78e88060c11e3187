"""The world of the slice tests with the cloud host in it: the same scenarios, over queues and functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.cloud.deployment import Deployment
from tests.contract.dsql_rules import Conflicts
from tests.slice.scenes import World

from infinity._core import Delta
from infinity.abc import Observer
from infinity.aws.sqs import LONGEST_DELAY
from infinity.cloud import batch
from infinity.cloud.host import Described, Host
from infinity.rap.address import Server
from infinity.testing.clock import VirtualClock


class MinuteClock(VirtualClock):
    """Whoever waits for long waits a minute longer here: schedules are no more exact than that."""

    def advance(self, seconds: float) -> None:
        super().advance(seconds + 60 if seconds > LONGEST_DELAY else seconds)

    def pass_time(self, seconds: float) -> None:
        """Exactly so long."""
        super().advance(seconds)


class CloudWorld(World):
    """``runtime`` is that of a client's process: what it accepts goes into the queue, and functions of the deployment run the slices."""

    def __init__(self, path: Path, *, conflicts: Conflicts | None = None, **how: Any) -> None:
        super().__init__(path, **how)
        self.clock: MinuteClock = MinuteClock()
        self.conflicts = conflicts
        self.deployment: Deployment
        self.client: Host

    async def start(self) -> World:
        await self._listen()
        self.deployment = Deployment(
            self.path,
            self.clock,
            self._describe,
            self.ids,
            public_url=f"http://127.0.0.1:{self._port}",
            conflicts=self.conflicts,
            observe=self._observe,
        )
        await self.deployment.start()
        await self._open()
        return self

    async def _open(self) -> None:
        self.client = await self.deployment.host()
        self.runtime, self.store = self.client.runtime, self.client.store

    async def restart(self) -> None:
        """Every function's process ends, and the client's; the services stay."""
        await self.deployment.crash()
        await self.client.close()
        await self._open()

    async def close(self) -> None:
        await self.deployment.close()
        await self._stack.aclose()

    async def settled(self, thread: str) -> None:
        await self.eventually(lambda: self.deployment.idle(thread))

    def _describe(self) -> Described:
        servers = [Server(each.base_url) for each in self.servers]
        return Described(self.settings, self.model, self.functions, servers)

    def _observe(self, feed: Observer) -> Observer:
        behind = _Both(feed, self)
        return self.observer(behind) if self.observer is not None else behind


class _Both:
    """What a function's process sees is shown to those who watch in the client's."""

    def __init__(self, own: Observer, world: CloudWorld) -> None:
        self._own, self._world = own, world

    def live(self, thread: str, kind: str, data: dict[str, Any]) -> None:
        self._own.live(thread, kind, data)
        self._world.runtime.feed.live(thread, kind, data)

    def committed(self, change: Delta) -> None:
        self._own.committed(change)
        self._world.runtime.feed.committed(change)

    def gate(self, step: str) -> None:
        self._own.gate(step)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real seconds of the agent function that a virtual clock does not move."""
    monkeypatch.setattr(batch, "LISTEN", 0.01)
    monkeypatch.setattr(batch, "PATIENCE", 30.0)
