"""A daemon that is started again whenever it was killed, with the model, the tools and the clients that outlive it."""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
from tests.ports import free_port

from infinity.models.script import Script
from infinity.testing.model_server import Respond

from .clients import AGAIN, Clients
from .daemon import PATIENCE, Launcher, Process

__all__ = ["AGAIN", "Host"]


class Host(Clients):
    """``deaths``: how every daemon before the present one ended."""

    def __init__(
        self,
        home: Path,
        launch: Launcher,
        respond: Script | Respond,
        tools: Iterable[str] = ("a", "b", "c", "watch"),
    ) -> None:
        super().__init__(respond, tools)
        self.home = home
        self.port = free_port()
        self.endings = {-int(signal.SIGKILL)}
        """How a daemon may end while somebody keeps it running."""
        self.process: Process
        self._launch = launch
        self._environments: deque[Mapping[str, str]] = deque()
        self._keeper: asyncio.Task[None] | None = None
        self._running = asyncio.Event()

    # life

    async def open(self) -> Host:
        """The servers and the configuration; no daemon yet."""
        await self.model.start()
        await self.tools.start()
        self.home.mkdir(mode=0o700, exist_ok=True)
        (self.home / "infinity.toml").write_text(self._config())
        return self

    def _config(self) -> str:
        return f"""{super()._config()}
[daemon]
port = {self.port}
[log]
level = "warning"
"""

    async def start(self, **environment: str) -> Process:
        """One daemon, ready to serve; nobody watches over it."""
        arguments = ["daemon", "run", "--home", str(self.home), "--no-project"]
        self.process = await self._launch(arguments, environment)
        return self.process

    async def serve(self) -> None:
        """Wait until the daemon answers."""
        await self.process.line("listening at")
        token = (self.home / "token").read_text().strip()
        if self._session is None:
            self._session = aiohttp.ClientSession(
                f"http://127.0.0.1:{self.port}",
                headers={"Authorization": f"Bearer {token}"},
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=PATIENCE),
                connector=aiohttp.TCPConnector(limit=0),
            )
        self._running.set()

    async def keep(self, *environments: Mapping[str, str]) -> None:
        """Start a daemon and, from now on, another one whenever it is killed; each with the next of the environments, while there are any."""
        self._environments = deque(environments)
        await self._next()
        self._keeper = asyncio.create_task(self._keep(), name="keeper")
        await self.running()

    async def end_next(self, *environments: Mapping[str, str]) -> None:
        """Kill the daemon that runs, and give the next ones these environments."""
        self._environments = deque(environments)
        deaths = len(self.deaths)
        await self.process.kill()
        await self.until(lambda: len(self.deaths) > deaths, "next daemon")
        await self.running()

    async def _keep(self) -> None:
        while True:
            serving = asyncio.create_task(self.serve())
            status = await self.process.ended(within=1e9)
            self._running.clear()
            await asyncio.gather(serving, return_exceptions=True)
            assert status in self.endings, f"the daemon ended with {status}:\n{self.process.log}"
            self.deaths.append(status)
            await self._next()

    async def _next(self) -> None:
        await self.start(**(self._environments.popleft() if self._environments else {}))

    async def running(self) -> None:
        waiting = asyncio.ensure_future(self._running.wait())
        tasks = {waiting, self._keeper} if self._keeper else {waiting}
        done, _ = await asyncio.wait(tasks, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._keeper in done:
            self._keeper.result()
        assert done, f"no daemon serves after {PATIENCE:g} s:\n{self.process.log}"

    async def unattended(self) -> None:
        """Nobody starts the daemon again from now on."""
        if self._keeper is not None:
            self._keeper.cancel()
            results = await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None
            for result in results:
                if isinstance(result, Exception):
                    raise result

    async def close(self) -> None:
        """Everything ends, whatever fails on the way; what a watcher or the keeper has found wrong is raised."""
        async with AsyncExitStack() as ending:
            ending.push_async_callback(self.model.stop)
            ending.push_async_callback(self.tools.close)
            if self._session is not None:
                ending.push_async_callback(self._session.close)
            ending.push_async_callback(self.process.kill)
            for watch in self.watches.values():
                ending.push_async_callback(watch.close)
            ending.push_async_callback(self.unattended)

    async def __aenter__(self) -> Host:
        return await self.open()

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is not None:
            await self._explain(error)
        await self.close()

    async def _explain(self, error: BaseException) -> None:
        """What the daemon has to say about a failure of the test."""
        error.add_note(
            f"daemon {self.process.pid}, after {len(self.deaths)} deaths, said:\n{self.process.log}"
        )
        await super()._explain(error)

    # the end

    async def _busy(self) -> bool:
        metrics: str = await self.request("GET", "/metrics")
        gauges = dict(line.split() for line in metrics.splitlines() if not line.startswith("#"))
        return gauges["infinity_inbox"] != "0" or gauges["infinity_outbox"] != "0"
