"""Anyone who lives through crashes: the model, the tools and the clients of a host, all in the test's process.

Model server and tool server count what reaches them; clients do not give up when nobody answers. So what is checked in the end is what happened
in the world, not what the runtime believes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import aiohttp
from tests.patience import PATIENCE
from tests.ports import free_port

from infinity.models.script import Script
from infinity.testing.model_server import ModelServer, Respond
from infinity.testing.tool_server import ToolServer, tool

from .watch import Watch

AGAIN = 0.02
"""Seconds between two tries of a client whose server is away."""

KEPT = 100
"""Requests to the model that a long run keeps for anyone who has to explain a failure."""

KEY = "key-for-tests"


class Clients:
    """``deaths``: how every process of the host that is gone ended. A host brings ``running``, ``_busy`` and a session in ``_session``."""

    def __init__(self, respond: Script | Respond, tools: Iterable[str] = ("a", "b", "c", "watch")) -> None:
        self.model = ModelServer(respond, api_key=KEY)
        destructive = tool("destroy", annotations={"destructive": True})
        self.tools = ToolServer([*(tool(name) for name in tools), destructive], port=free_port())
        self.deaths: list[int] = []
        self.watches: dict[str, Watch] = {}
        self.timeouts: Mapping[str, float] = {}
        """Further ones of the configuration, in seconds."""
        self._session: aiohttp.ClientSession | None = None

    def _config(self) -> str:
        """What every host is configured with."""
        timeouts = "\n".join(f"{name} = {seconds}" for name, seconds in self.timeouts.items())
        return f"""
[models]
default = "anthropic/claude-sonnet-5"
[models.providers.anthropic]
base_url = "{self.model.url}"
api_key = "{KEY}"
[toolsets.tests]
url = "{self.tools.base_url}"
[timeouts]
short_wait = 0.05
dispatch_first = 0.05
dispatch_longest = 0.2
{timeouts}
"""

    async def running(self) -> None:
        """Wait until a host serves; fails if there is none that could."""
        raise NotImplementedError

    async def _busy(self) -> bool:
        """Whether something is queued, is to be sent, or runs."""
        raise NotImplementedError

    async def _explain(self, error: BaseException) -> None:
        """What there is to say about a failure of the test."""
        error.add_note(
            f"model: {len(self.model.requests)} requests, {self.model.effects}; tools: {self.tools.counts}"
        )
        with suppress(Exception):
            async with asyncio.timeout(10):
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
        """One more, behind a cursor; anyone who asks for it closes it."""
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
