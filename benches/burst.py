"""A burst on a large history: 250 events at once, each for a thread of its own that inherits 3 MB, from a model that takes six seconds for an answer.

What the daemon's process holds before, at most, and a minute after the last answer: counts of threads bound nothing when each may hold megabytes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from infinity.demo.daemon import Daemon, free_port
from processes import BENCHES, model_config, resident
from subscriptions import SENDERS, Load, Run, Servers

TEXTS, TEXT = 100, 30_000


class SlowServers(Servers):
    seconds = 0.0
    """That the model takes for an answer."""

    async def messages(self, request: web.Request) -> web.Response:
        turn = await super().messages(request)
        await asyncio.sleep(self.seconds)
        return turn


class Burst(Run):
    def __init__(
        self, daemon: Daemon, servers: SlowServers, http: aiohttp.ClientSession, events: int
    ) -> None:
        super().__init__(daemon, servers, http, Load(threads=1, subscriptions=1, events=events, rounds=1))
        self.slow, self.most = servers, 0

    async def measured(self, rest: float) -> list[dict[str, Any]]:
        threads = await self._subscribe()
        for number in range(TEXTS):
            await self._ask(
                "POST", f"/v1/threads/{threads[0]}/messages", {"content": f"{number} ".ljust(TEXT, "y")}
            )
        await self._settled(threads)
        held = [await self._held()]
        self.slow.seconds = 6.0
        watching = asyncio.create_task(self._watch())
        began = time.perf_counter()
        await self._burst()
        while True:
            page = await self._pages(f"/v1/threads?root={threads[0]}", "threads")
            # The root listens for further events.
            if [row["status"] for row in page if row["parent"]] == ["idle"] * self.load.events:
                break
            await asyncio.sleep(0.5)
        print(f"{self.load.events} events, answered after {time.perf_counter() - began:.0f} s")
        answered = resident(self.daemon.pid)
        await asyncio.sleep(rest)
        watching.cancel()
        left = resident(self.daemon.pid)
        print(f"{answered / 2**20:.0f} MiB resident then, {left / 2**20:.0f} MiB {rest:g} s later")
        # Only now: anyone who counts collects garbage first.
        return [*held, await self._held()]

    async def _burst(self) -> None:
        (invocation,) = self.servers.callbacks

        async def send(number: int) -> int:
            body = {"type": "subscription_event", "tool_call_id": invocation["id"], "associative": False}
            return await self.servers.call_back(
                invocation, {**body, "text": f"<event {number}>", "event_id": f"event-{number}"}
            )

        assert set(await asyncio.gather(*map(send, range(self.load.events)))) == {200}

    async def _watch(self) -> None:
        while True:
            self.most = max(self.most, resident(self.daemon.pid))
            await asyncio.sleep(0.02)


async def measure(home: Path, events: int, rest: float) -> None:
    servers, port = SlowServers(), free_port()
    runner = web.AppRunner(servers.app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    address = f"http://127.0.0.1:{port}"
    config = f'{model_config(address)}\n[toolsets.load]\nurl = "{address}"\n[log]\nlevel = "warning"\n'
    os.environ["COUNTED"] = str(home / "counted")
    daemon = Daemon(home, config, program=[str(BENCHES / "counted_daemon.py")])
    await asyncio.to_thread(daemon.start)
    try:
        headers = {"Authorization": f"Bearer {(home / 'token').read_text().strip()}"}
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=SENDERS)) as servers.session,
            aiohttp.ClientSession(headers=headers) as http,
        ):
            burst = Burst(daemon, servers, http, events)
            held = await burst.measured(rest)
    finally:
        await asyncio.to_thread(daemon.stop)
        await runner.cleanup()
    print(f"at most {burst.most / 2**20:.0f} MiB resident")
    for when, found in zip(("before", "in the end"), held, strict=True):
        sizes = ", ".join(
            f"{name} {found[key] / 2**20:.0f} MiB"
            for name, key in (
                ("resident", "resident"),
                ("given out by malloc", "heap"),
                ("kept free", "free"),
            )
        )
        print(
            f"{when}: {sizes}, {sum(found['objects'].values()):,} Python objects, {found['blocks']:,} blocks"
        )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=250)
    options.add_argument("--rest", type=float, default=60.0)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="infinity-bench-") as home:
        asyncio.run(measure(Path(home), chosen.events, chosen.rest))


if __name__ == "__main__":
    main()
