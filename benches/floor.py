"""The least code that makes the same rounds: asyncio, aiohttp and sqlite3 (WAL, synchronous=FULL) with group commit.

It has no rules, no recovery, no limits, no clients watching and no dedup; it only does the input and output that a durable round
cannot do without: read the stream, POST the call, make the callback durable before its 200, make the turn durable before its POST.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

Row = tuple[str, int, bytes]


class Journal:
    """One writer thread; whatever gathers during one commit rides in the next."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[tuple[list[Row], asyncio.Future[None]]] = []
        self._something = threading.Condition()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._write, daemon=True).start()

    def put(self, rows: list[Row]) -> asyncio.Future[None]:
        done = self._loop.create_future()
        with self._something:
            self._rows.append((rows, done))
            self._something.notify()
        return done

    def _write(self) -> None:
        database = sqlite3.connect(self._path, isolation_level=None)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("CREATE TABLE entry(thread TEXT, position INTEGER, body BLOB)")
        while True:
            with self._something:
                while not self._rows:
                    self._something.wait()
                group, self._rows = self._rows, []
            database.execute("BEGIN")
            for rows, _ in group:
                database.executemany("INSERT INTO entry VALUES(?, ?, ?)", rows)
            database.execute("COMMIT")
            self._loop.call_soon_threadsafe(self._finish, [done for _, done in group])

    @staticmethod
    def _finish(group: list[asyncio.Future[None]]) -> None:
        for done in group:
            done.set_result(None)


class Floor:
    def __init__(self, port: int, servers: str, journal: Journal, session: aiohttp.ClientSession) -> None:
        self._callback = f"http://127.0.0.1:{port}/callback/"
        self._servers = servers
        self._journal = journal
        self._session = session
        self._histories: dict[str, list[bytes]] = {}
        self._numbers = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self.finished = 0

    async def user(self, request: web.Request) -> web.Response:
        thread = f"thread_{next(self._numbers)}"
        content = json.loads(await request.read())["content"]
        entry = json.dumps({"role": "user", "content": content}).encode()
        await self._journal.put([(thread, 0, entry)])
        self._histories[thread] = [entry]
        self._go_on(thread)
        return web.json_response({"id": thread})

    async def callback(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        thread = body["group_id"]
        result = {"type": "tool_result", "tool_use_id": body["id"], "content": body["text"]}
        entry = json.dumps({"role": "user", "content": [result]}).encode()
        history = self._histories[thread]
        await self._journal.put([(thread, len(history), entry)])
        history.append(entry)
        self._go_on(thread)
        return web.Response()

    async def counts(self, request: web.Request) -> web.Response:
        return web.json_response({"finished": self.finished})

    def _go_on(self, thread: str) -> None:
        task = asyncio.create_task(self._slice(thread))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _slice(self, thread: str) -> None:
        history = self._histories[thread]
        head = b'{"model":"bench","max_tokens":1024,"stream":true,"messages":['
        blocks, calls = await self._complete(head + b",".join(history) + b"]}")
        entry = json.dumps({"role": "assistant", "content": blocks}).encode()
        await self._journal.put([(thread, len(history), entry)])
        history.append(entry)
        for call in calls:
            invocation = {
                "operation": call["name"],
                "arguments": call["input"],
                "id": call["id"],
                "callback_url": self._callback + thread,
                "group_id": thread,
            }
            async with self._session.post(f"{self._servers}/invoke", json=invocation) as answer:
                assert answer.status == 200
        if not calls:
            self.finished += 1

    async def _complete(self, body: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        blocks: list[dict[str, Any]] = []
        arguments = ""
        headers = {"Content-Type": "application/json"}
        async with self._session.post(f"{self._servers}/v1/messages", data=body, headers=headers) as answer:
            async for line in answer.content:
                if not line.startswith(b"data: "):
                    continue
                event = json.loads(line[6:])
                if event["type"] == "content_block_start":
                    blocks.append(event["content_block"])
                elif event["type"] == "content_block_delta":
                    if event["delta"]["type"] == "text_delta":
                        blocks[-1]["text"] += event["delta"]["text"]
                    else:
                        arguments += event["delta"]["partial_json"]
        calls = [block for block in blocks if block["type"] == "tool_use"]
        if calls:
            calls[-1]["input"] = json.loads(arguments)
        return blocks, calls


async def serve(port: int, servers: str, path: Path) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        floor = Floor(port, servers, Journal(path), session)
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/messages", floor.user)
        app.router.add_post("/callback/{thread}", floor.callback)
        app.router.add_get("/counts", floor.counts)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("port", type=int)
    options.add_argument("servers")
    options.add_argument("database", type=Path)
    chosen = options.parse_args()
    asyncio.run(serve(chosen.port, chosen.servers, chosen.database))
