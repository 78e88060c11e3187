"""A whole daemon in the test's own event loop, with the scripted model; and a client that speaks its interface."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from tests.patience import PATIENCE as SOON
from tests.ports import free_port

from infinity.local.clock import now
from infinity.local.daemon import Daemon, plan
from infinity.local.home import Home
from infinity.stores.postgres.opening import open_store
from infinity.stores.postgres.ownership import Claim


class Answer(NamedTuple):
    status: int
    body: Any
    headers: Any

    @property
    def code(self) -> str:
        """The error's."""
        return str(self.body["error"]["code"])


class Event(NamedTuple):
    id: int | None
    kind: str
    data: dict[str, Any]


class Running:
    """One daemon and its home; ``restart`` stops it and starts it again, at the same port."""

    def __init__(
        self,
        home: Home,
        config: str = "",
        store: str | None = None,
        now: Callable[[], int] = now,
    ) -> None:
        """``store``: the URL of a database in place of the home's; ``now``: the time by which the console signs in."""
        self.home = home
        self._now = now
        self._open = (
            None if store is None else partial(open_store, store, claim=Claim(str(home.path), "a test"))
        )
        self.port = free_port(following=3)
        home.prepare()
        home.config.write_text(f"[daemon]\nport = {self.port}\n{config}")
        self.daemon: Daemon
        self.http: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> Running:
        self.daemon = Daemon(plan(self.home, {}), open_store=self._open, now=self._now)
        self.state = await self.daemon.start()
        self.http = aiohttp.ClientSession(
            self.url,
            headers={"Authorization": f"Bearer {self.home.token()}"},
            timeout=aiohttp.ClientTimeout(total=SOON),
        )
        return self

    async def stop(self) -> None:
        await self.http.close()
        await asyncio.wait_for(self.daemon.stop(), SOON)

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        async with self.http.request(method, path, **options) as response:
            data = await response.read()
            is_json = response.content_type == "application/json"
            return Answer(response.status, json.loads(data) if is_json else data.decode(), response.headers)

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.ask("GET", path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> Answer:
        return await self.ask("POST", path, json=body, **options)

    async def thread(self, text: str | None = None) -> str:
        made = await self.post("/v1/threads", {})
        id = str(made.body["id"])
        if text is not None:
            assert (await self.post(f"/v1/threads/{id}/messages", {"content": text})).status == 200
        return id

    @asynccontextmanager
    async def events(
        self, thread: str, after: str | int | None = None, header: int | None = None
    ) -> AsyncIterator[AsyncIterator[Event]]:
        query = {} if after is None else {"after": str(after)}
        headers = {} if header is None else {"Last-Event-ID": str(header)}
        async with self.http.get(f"/v1/threads/{thread}/events", params=query, headers=headers) as response:
            assert response.status == 200, await response.text()
            yield _events(response)

    async def until(self, thread: str, condition: Callable[[Event], bool]) -> Event:
        """The first event of the thread, from its beginning on, for which the condition holds."""
        async with asyncio.timeout(SOON), self.events(thread) as events:
            async for event in events:
                if condition(event):
                    return event
        raise AssertionError("the stream ended")

    async def said(self, thread: str, text: str) -> Event:
        return await self.until(
            thread, lambda event: event.kind == "entry" and text in str(event.data.get("assistant"))
        )


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[Event]:
    fields: dict[str, str] = {}
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        if not line:
            if "event" in fields:
                id = int(fields["id"]) if "id" in fields else None
                yield Event(id, fields["event"], json.loads(fields["data"]))
            fields = {}
            continue
        name, _, value = line.partition(": ")
        fields[name] = value


@asynccontextmanager
async def running(
    path: Path, config: str = "", store: str | None = None, now: Callable[[], int] = now
) -> AsyncIterator[Running]:
    made = await Running(Home(path), config, store, now).start()
    try:
        yield made
    finally:
        await made.stop()
