"""Many subscriptions and rounds of many events on one real daemon: is any event lost or doubled, how fast, and what stays in memory.

Model and tool server run here, outside the daemon, and count. Every event carries a name of its own and an ``event_id``; one in ten is sent twice. One in
twenty asks for a thread of its own. In the end each name must stand exactly once in the histories, as the daemon's interface shows them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from infinity.demo.daemon import Daemon, free_port
from processes import BENCHES, model_config, rest_of
from servers import TEXT_TURN, closing, delta, event, opening

EVENT = re.compile(r"<event (\d+)>")
THREADED_EVERY, DOUBLED_EVERY = 20, 10
SENDERS = 32
PATIENCE = 300.0


@dataclass
class Load:
    threads: int
    subscriptions: int
    """In all."""
    events: int
    """In each round."""
    rounds: int = 2
    hot_threads: int = 512
    """Threads that the daemon keeps in memory."""

    @property
    def all_events(self) -> int:
        return self.events * self.rounds


@dataclass
class Outcome:
    seconds: float = 0.0
    cpu: float = 0.0
    """Seconds of the daemon."""
    requests: int = 0
    """To the model."""
    refused: int = 0
    lost: list[int] = field(default_factory=list)
    doubled: list[int] = field(default_factory=list)
    children: int = 0
    held: list[dict[str, Any]] = field(default_factory=list)
    """What the daemon's process holds (``counted_daemon.py``): before the events, after each round."""


class Servers:
    """A Messages API and a tool server. A thread is told ``subscribe N`` and makes N calls; to everything else the model says a few words."""

    def __init__(self) -> None:
        self.requests = 0
        self.callbacks: list[dict[str, Any]] = []
        self.confirmed = 0
        self.changed = asyncio.Condition()
        self.session: aiohttp.ClientSession
        self._tasks: set[asyncio.Task[None]] = set()

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/messages", self.messages)
        app.router.add_get("/.well-known/rap-toolset", self.manifest)
        app.router.add_post("/invoke", self.invoke)
        return app

    async def messages(self, request: web.Request) -> web.Response:
        self.requests += 1
        body = await request.read()
        last = json.loads(body)["messages"][-1]["content"]
        said = " ".join(block.get("text", "") for block in last if block["type"] == "text")
        wanted = re.search(r"subscribe (\d+)$", said)
        turn = TEXT_TURN if wanted is None else _calls(self.requests, int(wanted[1]))
        return web.Response(body=turn, content_type="text/event-stream")

    async def manifest(self, request: web.Request) -> web.Response:
        watch = {"name": "watch", "description": "Watch something.", "inputSchema": {"type": "object"}}
        endpoint = str(request.url.with_path("/invoke"))
        return web.json_response({"name": "load", "description": "", "endpoint": endpoint, "tools": [watch]})

    async def invoke(self, request: web.Request) -> web.Response:
        task = asyncio.create_task(self._confirm(await request.json()))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return web.Response()

    async def _confirm(self, invocation: dict[str, Any]) -> None:
        body = {"type": "tool_result", "id": invocation["id"], "text": "watching", "subscription": True}
        assert await self.call_back(invocation, body) == 200
        async with self.changed:
            self.callbacks.append(invocation)
            self.changed.notify_all()

    async def call_back(self, invocation: dict[str, Any], body: dict[str, Any]) -> int:
        body = {"group_id": invocation["group_id"], **body}
        async with self.session.post(invocation["callback_url"], json=body) as answer:
            return answer.status

    async def subscribed(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE), self.changed:
            await self.changed.wait_for(lambda: len(self.callbacks) >= count)


def _calls(request: int, count: int) -> bytes:
    """One turn with so many calls."""
    blocks = b""
    for index in range(count):
        use = {"type": "tool_use", "id": f"toolu_{request}_{index}", "name": "watch", "input": {}}
        start = opening(use) if index == 0 else event("content_block_start", index=index, content_block=use)
        blocks += start + delta(index, type="input_json_delta", partial_json="{}")
        if index < count - 1:
            blocks += event("content_block_stop", index=index)
    return blocks + closing("tool_use").replace(b'"index": 0', b'"index": %d' % (count - 1))


class Run:
    def __init__(self, daemon: Daemon, servers: Servers, http: aiohttp.ClientSession, load: Load) -> None:
        self.daemon, self.servers, self.http, self.load = daemon, servers, http, load
        self.outcome = Outcome()

    async def all(self) -> Outcome:
        threads = await self._subscribe()
        await self._settled(threads)
        self.outcome.held.append(await self._held())
        for number in range(self.load.rounds):
            began, cpu = time.perf_counter(), rest_of(self.daemon.pid).cpu_ns
            await self._send(range(number * self.load.events, (number + 1) * self.load.events))
            await self._settled(threads)
            self.outcome.seconds += time.perf_counter() - began
            self.outcome.cpu += (rest_of(self.daemon.pid).cpu_ns - cpu) / 1e9
            self.outcome.held.append(await self._held())
        self.outcome.requests = self.servers.requests
        await self._count(threads)
        return self.outcome

    async def _subscribe(self) -> list[str]:
        each, rest = divmod(self.load.subscriptions, self.load.threads)
        assert rest == 0, "as many subscriptions for each thread"
        threads = []
        for _ in range(self.load.threads):
            thread = (await self._ask("POST", "/v1/threads", {}))["id"]
            await self._ask("POST", f"/v1/threads/{thread}/messages", {"content": f"subscribe {each}"})
            threads.append(thread)
        await self.servers.subscribed(self.load.subscriptions)
        return threads

    async def _send(self, numbers: range) -> None:
        queue = iter([number for number in numbers for _ in range(1 + (number % DOUBLED_EVERY == 0))])

        async def sender() -> None:
            for number in queue:
                invocation = self.servers.callbacks[number % len(self.servers.callbacks)]
                body = {
                    "type": "subscription_event",
                    "tool_call_id": invocation["id"],
                    "text": f"<event {number}>",
                    "event_id": f"event-{number}",
                    "associative": bool(number % THREADED_EVERY),
                }
                if await self.servers.call_back(invocation, body) != 200:
                    self.outcome.refused += 1

        await asyncio.gather(*(sender() for _ in range(SENDERS)))

    async def _settled(self, threads: list[str]) -> None:
        """Nothing is queued, nothing leaves, nobody runs."""
        async with asyncio.timeout(PATIENCE):
            while True:
                before = await self._counts()
                if before["infinity_inbox"] == before["infinity_outbox"] == 0 and not await self._busy(
                    threads
                ):
                    return
                await asyncio.sleep(0.05)

    async def _busy(self, threads: list[str]) -> bool:
        for thread in threads:
            found = await self._ask("GET", f"/v1/threads/{thread}")
            if found["explanation"]["state"] in ("running", "queued"):
                return True
        return False

    async def _held(self) -> dict[str, Any]:
        output = self.daemon.home / "counted"
        before = output.stat().st_size if output.exists() else 0
        os.kill(self.daemon.pid, signal.SIGUSR1)
        async with asyncio.timeout(PATIENCE):
            while not output.exists() or not (text := output.read_text()[before:]).endswith("\n"):
                await asyncio.sleep(0.01)
        found: dict[str, Any] = json.loads(text)
        return found

    async def _counts(self) -> dict[str, float]:
        async with self.http.get(f"{self.daemon.address}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return {
            name: float(value) for name, _, value in (line.partition(" ") for line in lines) if name[0] != "#"
        }

    async def _count(self, threads: list[str]) -> None:
        """Every event's name, in the own entries of every thread and child."""
        seen: Counter[int] = Counter()
        for root in threads:
            tree = await self._pages(f"/v1/threads?root={root}", "threads")
            self.outcome.children += len(tree) - 1
            for row in tree:
                for entry in await self._pages(f"/v1/threads/{row['id']}/entries?", "entries"):
                    if entry["kind"] == "event":
                        seen.update(int(number) for number in EVENT.findall(json.dumps(entry["user"])))
        self.outcome.lost = [number for number in range(self.load.all_events) if not seen[number]]
        self.outcome.doubled = [number for number, count in seen.items() if count > 1]

    async def _pages(self, path: str, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            page = await self._ask("GET", f"{path}&limit=1000{after}")
            found += page[name]
            if page["next"] is None:
                return found
            after = f"&after={page['next']}"

    async def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        async with self.http.request(method, self.daemon.address + path, json=body) as answer:
            assert answer.status in (200, 201), await answer.text()
            found: dict[str, Any] = await answer.json()
            return found


async def measure(home: Path, load: Load) -> Outcome:
    servers, port = Servers(), free_port()
    runner = web.AppRunner(servers.app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    address = f"http://127.0.0.1:{port}"
    config = f'''{model_config(address)}
[toolsets.load]
url = "{address}"

[limits]
hot_threads = {load.hot_threads}

[log]
level = "warning"
'''
    os.environ["COUNTED"] = str(home / "counted")
    daemon = Daemon(home, config, program=[str(BENCHES / "counted_daemon.py")])
    await asyncio.to_thread(daemon.start)
    try:
        headers = {"Authorization": f"Bearer {(home / 'token').read_text().strip()}"}
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=SENDERS)) as servers.session,
            aiohttp.ClientSession(headers=headers) as http,
        ):
            return await Run(daemon, servers, http, load).all()
    finally:
        await asyncio.to_thread(daemon.stop)
        await runner.cleanup()


def report(load: Load, done: Outcome) -> None:
    print(
        f"{load.rounds} rounds of {load.events:,} events over {load.subscriptions:,} subscriptions of {load.threads:,} threads, {load.hot_threads} threads kept in memory"
    )
    each = done.cpu / load.all_events * 1e3
    print(
        f"  {load.all_events / done.seconds:,.0f} events/s, {each:.2f} ms CPU each, {done.requests:,} completions, {done.children:,} child threads"
    )
    print("  after round   resident   given out   kept free   Python objects   Python blocks")
    for number, held in enumerate(done.held):
        sizes = [f"{held[name] / (1 << 20):5.0f} MiB" for name in ("resident", "heap", "free")]
        print(
            f"  {number:11}  {sizes[0]:>9}   {sizes[1]:>9}   {sizes[2]:>9}   {sum(held['objects'].values()):14,}   {held['blocks']:13,}"
        )
    print(f"  lost {len(done.lost)}, doubled {len(done.doubled)}, refused {done.refused}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--threads", type=int, default=100)
    options.add_argument("--subscriptions", type=int, default=1_000)
    options.add_argument("--events", type=int, default=10_000, help="in each round")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--hot-threads", type=int, default=512)
    chosen = options.parse_args()
    load = Load(chosen.threads, chosen.subscriptions, chosen.events, chosen.rounds, chosen.hot_threads)
    with tempfile.TemporaryDirectory(prefix="infinity-bench-") as home:
        done = asyncio.run(measure(Path(home), load))
    report(load, done)
    if done.lost or done.doubled or done.refused:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
