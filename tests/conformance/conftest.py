"""A whole agent, seen from outside: a daemon with a real journal and port, spoken to over HTTP only, and tool servers that test what it sends.

Its model is the scripted one: ``/call TOOL {json}`` makes it call a tool; whatever it is told otherwise it repeats.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.patience import PATIENCE

from infinity.config.schema import Config
from infinity.local.daemon import Daemon, Plan
from infinity.local.home import Home
from infinity.testing.tool_server import ToolServer


class Agent:
    """``restart`` stops the daemon and starts it again on the same home and port."""

    def __init__(self, home: Path, servers: list[str], settings: dict[str, Any]) -> None:
        self._home = Home(home)
        self._servers = servers
        self._settings = settings
        self._port = 0
        self._stack = AsyncExitStack()
        self.daemon: Daemon
        self.address = ""

    async def start(self) -> None:
        config = {
            "daemon": {"port": self._port},
            "toolsets": {f"server{index}": {"url": url} for index, url in enumerate(self._servers)},
            **self._settings,
        }
        self.daemon = Daemon(Plan(self._home, Config.model_validate(config)))
        state = await self.daemon.start()
        self.address = state.address
        self._port = int(state.address.rpartition(":")[2])
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {self._home.make_token()}"},
            timeout=aiohttp.ClientTimeout(total=None),
        )

    async def stop(self) -> None:
        await self._session.close()
        await self.daemon.stop()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    # the interface

    async def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with asyncio.timeout(PATIENCE):
            async with self._session.request(method, self.address + path, json=body) as response:
                return response.status, await response.json()

    async def get(self, path: str) -> Any:
        status, body = await self.request("GET", path)
        assert status == 200, body
        return body

    async def post(self, path: str, body: Any = None) -> Any:
        status, answer = await self.request("POST", path, {} if body is None else body)
        assert status in (200, 201), answer
        return answer

    async def create(self) -> str:
        return str((await self.post("/v1/threads"))["id"])

    async def say(self, thread: str, text: str, **more: Any) -> None:
        await self.post(f"/v1/threads/{thread}/messages", {"content": text, **more})

    async def begin(self, text: str, **more: Any) -> str:
        """A new thread in which this was said."""
        thread = await self.create()
        await self.say(thread, text, **more)
        return thread

    async def thread(self, thread: str) -> Any:
        return await self.get(f"/v1/threads/{thread}")

    async def entries(self, thread: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = (await self.get(f"/v1/threads/{thread}/entries?limit=1000"))[
            "entries"
        ]
        return entries

    async def children(self, thread: str) -> list[str]:
        listed = await self.get(f"/v1/threads?parent={thread}")
        return [each["id"] for each in listed["threads"]]

    async def history(self, thread: str) -> str:
        """All that a thread's model sees, as one text to look for words in."""
        return json.dumps([[each["assistant"], each["user"]] for each in await self.entries(thread)])

    async def events(self, thread: str, after: str | None = None) -> AsyncIterator[tuple[str, Any]]:
        """The thread's event stream, ``(kind, data)``, from its beginning or a cursor."""
        query = f"?after={after}" if after is not None else ""
        async with self._session.get(f"{self.address}/v1/threads/{thread}/events{query}") as response:
            assert response.status == 200
            kind, data = "message", ""
            async for raw in response.content:
                line = raw.decode().rstrip("\n")
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    data = line.removeprefix("data: ")
                elif not line and data:
                    yield kind, json.loads(data)
                    kind, data = "message", ""

    async def until(self, thread: str, enough: Callable[[list[dict[str, Any]]], bool], what: str) -> None:
        """Wait until the thread's entries are enough; woken by its events."""
        try:
            async with asyncio.timeout(PATIENCE):
                async for _ in self.events(thread):
                    if enough(await self.entries(thread)):
                        return
        except TimeoutError:
            pass
        raise AssertionError(
            f"{what} did not happen within {PATIENCE:g} s: {await self.thread(thread)} {await self.history(thread)}"
        )

    async def until_said(self, thread: str, words: str) -> None:
        """Wait until the model has said something in which these words are."""

        def said(entries: list[dict[str, Any]]) -> bool:
            turns = [each for each in entries if each["kind"] == "turn"]
            return any(words in json.dumps(each["assistant"]) for each in turns)

        await self.until(thread, said, f"saying {words!r}")

    async def until_children(self, thread: str, count: int) -> None:
        """Wait until so many children of the thread were announced in its stream."""
        seen: set[str] = set()
        async with asyncio.timeout(PATIENCE):
            async for kind, data in self.events(thread):
                if kind == "child":
                    seen.add(data["id"])
                if len(seen) >= count:
                    return

    async def until_event(self, thread: str, kind: str, having: str = "") -> Any:
        """The data of the thread's first event of this kind, old or new; of those with this field, if one is named."""
        async with asyncio.timeout(PATIENCE):
            async for found, data in self.events(thread):
                if found == kind and (not having or having in data):
                    return data
        raise AssertionError(f"the stream of {thread} ended without an event {kind!r}")


@pytest.fixture
async def server() -> AsyncIterator[ToolServer]:
    async with ToolServer() as server:
        yield server


@pytest.fixture
async def make_agent(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """``await make_agent(server, other, limits={…})``: servers or URLs, and sections of the configuration."""
    agents: list[Agent] = []

    async def make(*servers: ToolServer | str, **settings: Any) -> Agent:
        urls = [each if isinstance(each, str) else each.base_url for each in servers]
        agent = Agent(tmp_path / f"home{len(agents)}", urls, settings)
        await agent.start()
        agents.append(agent)
        return agent

    yield make
    for agent in agents:
        await agent.stop()


@pytest.fixture
async def agent(server: ToolServer, make_agent: Callable[..., Any]) -> Agent:
    """An agent with one tool server, whose one tool is ``echo``."""
    made: Agent = await make_agent(server)
    return made
