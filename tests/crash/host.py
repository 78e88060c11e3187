"""A daemon that is started again whenever it was killed, with the model, the tools and the clients that outlive it.

Model server and tool server live in the test's process and count what reaches them; clients do not give up when nobody answers. So what
is checked in the end is what happened in the world, not what the runtime believes.
"""

from __future__ import annotations

import asyncio
import re
import signal
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import aiohttp

from infinity.models.script import Script
from infinity.testing.model_server import ModelServer, Respond
from infinity.testing.tool_server import ToolServer, tool

from .daemon import PATIENCE, Launcher, Process, fixed_port
from .watch import Watch

AGAIN = 0.02
"""Seconds between two tries of a client whose server is away."""

KEPT = 100
"""Requests to the model that a long run keeps for whoever has to explain a failure."""


class Host:
    def __init__(
        self,
        home: Path,
        launch: Launcher,
        respond: Script | Respond,
        tools: Iterable[str] = ("a", "b", "c", "watch"),
    ) -> None:
        self.home = home
        self.model = ModelServer(respond, api_key="key-for-tests")
        destructive = tool("destroy", annotations={"destructive": True})
        self.tools = ToolServer([*(tool(name) for name in tools), destructive], port=fixed_port())
        self.port = fixed_port()
        self.deaths: list[int] = []
        """How every daemon before the present one ended."""
        self.endings = {-int(signal.SIGKILL)}
        """How a daemon may end while somebody keeps it running."""
        self.process: Process
        self.watches: dict[str, Watch] = {}
        self._launch = launch
        self._environments: deque[Mapping[str, str]] = deque()
        self._keeper: asyncio.Task[None] | None = None
        self._session: aiohttp.ClientSession | None = None
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
        return f"""
[daemon]
port = {self.port}
[models]
default = "anthropic/claude-sonnet-5"
[models.providers.anthropic]
base_url = "{self.model.url}"
api_key = "key-for-tests"
[toolsets.tests]
url = "{self.tools.base_url}"
[timeouts]
short_wait = 0.05
dispatch_first = 0.05
dispatch_longest = 0.2
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
        """Wait until a daemon serves; fails if there is none that could."""
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
        error.add_note(
            f"model: {len(self.model.requests)} requests, {self.model.effects}; tools: {self.tools.counts}"
        )
        with suppress(Exception):
            async with asyncio.timeout(2):
                for thread in await self.threads():
                    error.add_note(str(await self.request("GET", f"/v1/threads/{thread['id']}")))

    # clients

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        closed: tuple[int, ...] = (),
    ) -> Any:
        """JSON of a 200 or 201; again for as long as nobody answers or the daemon says 5xx. ``closed``: statuses that a repeat may get."""
        headers = {"Idempotency-Key": key} if key is not None else {}
        tries = 0
        async with asyncio.timeout(PATIENCE):
            while True:
                await self.running()
                assert self._session is not None
                tries += 1
                try:
                    async with self._session.request(method, path, json=body, headers=headers) as response:
                        said = await response.text()
                        if response.status in (200, 201):
                            return await response.json(content_type=None) if said.startswith("{") else said
                        if tries > 1 and response.status in closed:
                            return None
                        assert response.status >= 500, f"{method} {path}: {response.status} {said}"
                except (aiohttp.ClientError, OSError):
                    pass
                await asyncio.sleep(AGAIN)

    async def create(self, thread: str) -> Watch:
        await self.request("POST", "/v1/threads", {"id": thread})
        return self.watch(thread)

    def watch(self, thread: str) -> Watch:
        """Its event stream; one for each thread, kept over restarts."""
        if thread not in self.watches:
            self.watches[thread] = self.new_watch(thread)
        return self.watches[thread]

    def new_watch(self, thread: str, *, after: int = -1) -> Watch:
        """One more, behind a cursor; whoever asks for it closes it."""
        assert self._session is not None
        return Watch(self._session, thread, after=after)

    async def forget(self, thread: str) -> None:
        """Nobody watches it any more, and only requests that broke a rule are kept: for long runs."""
        await self.watches.pop(thread).close()
        old = self.model.requests[:-KEPT]
        self.model.requests[:-KEPT] = [request for request in old if request.violations]

    async def say(self, thread: str, text: str) -> None:
        """User text; what a thread is told twice it is told once: the text is the Idempotency-Key, too."""
        key = re.sub(r"[^A-Za-z0-9.-]", "-", text)
        await self.request("POST", f"/v1/threads/{thread}/messages", {"content": text}, key=key)

    async def tell(self, call: Callable[[], Awaitable[int]]) -> int:
        """A tool server's callback, as SRV-3 wants it: again until somebody takes or refuses it. The status."""
        async with asyncio.timeout(PATIENCE):
            while True:
                status = await call()
                if 0 < status < 500:
                    return status
                await asyncio.sleep(AGAIN)

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something that a server in this process can see, however often the daemon dies meanwhile."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    await asyncio.sleep(AGAIN)
        except TimeoutError:
            raise AssertionError(f"no {what} within {PATIENCE:g} s") from None

    # the end

    async def settled(self) -> None:
        """Wait until nothing is queued, nothing is to be sent and no slice runs."""
        async with asyncio.timeout(PATIENCE):
            while await self._busy():
                await asyncio.sleep(AGAIN)

    async def _busy(self) -> bool:
        metrics: str = await self.request("GET", "/metrics")
        gauges = dict(line.split() for line in metrics.splitlines() if not line.startswith("#"))
        return gauges["infinity_inbox"] != "0" or gauges["infinity_outbox"] != "0"

    async def threads(self) -> list[dict[str, Any]]:
        """All of them, as they were created."""
        found: list[dict[str, Any]] = []
        after = ""
        while after is not None:
            page = await self.request("GET", f"/v1/threads?limit=1000&after={after}")
            found += page["threads"]
            after = page["next"]
        return sorted(found, key=lambda thread: thread["created_at"])

    async def entries(self, thread: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after: int | None = -1
        while after is not None:
            page = await self.request("GET", f"/v1/threads/{thread}/entries?after={after}&limit=1000")
            found += page["entries"]
            after = page["next"]
        return found
