"""The world of the slice tests with the cloud host in it: the same scenarios, over queues and functions."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import pytest
from aiohttp import web
from tests.cloud.deployment import Deployment
from tests.contract.dsql_rules import Conflicts
from tests.slice.scenes import World

from infinity import Agent
from infinity._core import Delta
from infinity.abc import Observer
from infinity.api.callbacks import Arrived, receive
from infinity.api.errors import status_of
from infinity.aws.sqs import LONGEST_DELAY
from infinity.cloud import batch
from infinity.cloud.host import Described, Host
from infinity.errors import InfinityError
from infinity.rap.address import Server
from infinity.testing.clock import VirtualClock


class MinuteClock(VirtualClock):
    """Anyone who waits for long waits a minute longer here: schedules are no more exact than that."""

    def advance(self, seconds: float) -> None:
        super().advance(seconds + 60 if seconds > LONGEST_DELAY else seconds)

    def pass_time(self, seconds: float) -> None:
        """Exactly so long."""
        super().advance(seconds)


class CloudWorld(World):
    """``runtime`` is that of a client's process: what it accepts goes into the queue, and functions of the deployment run the slices."""

    def __init__(
        self, path: Path, agent: Agent | None = None, *, conflicts: Conflicts | None = None, **how: Any
    ) -> None:
        super().__init__(path, agent, **how)
        self.clock: MinuteClock = MinuteClock()
        self.conflicts = conflicts
        self._stack = AsyncExitStack()
        self.deployment: Deployment
        self.client: Host

    async def start(self) -> Self:
        if not hasattr(self, "deployment"):
            await self._deploy()
        self.client = await self.deployment.host()
        self.runtime = self.client.runtime
        return self

    async def _deploy(self) -> None:
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

    async def _listen(self) -> None:
        app = web.Application()
        app.router.add_post("/callback/{token}", self._callback)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self._port).start()
        self._stack.push_async_callback(runner.cleanup)

    async def _callback(self, request: web.Request) -> web.Response:
        try:
            thread, call_id = self.runtime.capabilities.open(request.match_info["token"])
            _, answer = await receive(self.runtime, Arrived(thread, call_id, await request.read()))
        except InfinityError as error:
            return web.Response(status=status_of(error) or 500)
        return web.Response(status=answer.status)

    async def another_host(self) -> None:
        """The keys are the deployment's."""

    async def restart(self) -> None:
        """Every function's process ends, and the client's; the services stay."""
        await self.deployment.crash()
        await self.client.close()
        await self.start()

    async def close(self) -> None:
        await self.deployment.close()
        await self._stack.aclose()

    async def settled(self, thread: str) -> None:
        await self.until(lambda: self.deployment.idle(thread))

    def _describe(self) -> Described:
        servers = [Server(each.base_url) for each in self.servers]
        return Described(self.settings, self.model, self.agent.tools, servers)

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
