"""Slack ↔ Infinity: every Slack thread in which the agent is addressed is a thread of its own, and what the agent says there goes back.

It keeps one small table: which threads there are, and up to where their replies are in Slack. Everything else is the daemon's.
"""

import asyncio
import json
import logging
import os
import sqlite3

import aiohttp
from aiohttp import web
from daemon import Daemon

from slack import Slack, is_signed

SECRET = os.environ.get("SLACK_SIGNING_SECRET", "").encode()
TOKEN = os.environ.get("SLACK_BOT_TOKEN", "")
API = os.environ.get("SLACK_API", "https://slack.com/api")

log = logging.getLogger("slack")


class Threads:
    """The table. A thread's cursor moves when a reply has arrived in Slack."""

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS threads (id TEXT PRIMARY KEY, channel TEXT, ts TEXT, cursor INTEGER DEFAULT -1)"
        )

    def add(self, thread: str, channel: str, ts: str) -> None:
        self._database.execute(
            "INSERT OR IGNORE INTO threads (id, channel, ts) VALUES (?, ?, ?)", (thread, channel, ts)
        )

    def all(self) -> list[tuple[str, str, str]]:
        return self._database.execute("SELECT id, channel, ts FROM threads").fetchall()

    def cursor(self, thread: str) -> int:
        return int(self._database.execute("SELECT cursor FROM threads WHERE id = ?", (thread,)).fetchone()[0])

    def move(self, thread: str, cursor: int) -> None:
        self._database.execute("UPDATE threads SET cursor = ? WHERE id = ?", (cursor, thread))


class Bridge:
    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._daemon = Daemon(http)
        self._slack = Slack(http, API, TOKEN)
        self._threads = Threads("slack.db")
        self._followed: dict[str, asyncio.Task[None]] = {}
        for thread, channel, ts in self._threads.all():
            self._follow(thread, channel, ts)

    async def receive(self, request: web.Request) -> web.Response:
        """200 once the message is durable. Anything else, and Slack sends it again."""
        body = await request.read()
        if not is_signed(SECRET, request.headers, body):
            return web.Response(status=401)
        message = json.loads(body)
        if message["type"] == "url_verification":
            return web.json_response({"challenge": message["challenge"]})
        event = message.get("event", {})
        addressed = event.get("type") == "app_mention" or event.get("channel_type") == "im"
        if not addressed or "bot_id" in event or "subtype" in event or not event.get("text", "").strip():
            return web.Response()
        channel, ts = event["channel"], event.get("thread_ts", event["ts"])
        thread = f"slack.{channel}.{ts}"
        try:
            await self._daemon.say(thread, event["text"], user=event["user"], key=message["event_id"])
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.warning("event %s could not be taken: %s", message["event_id"], type(error).__name__)
            return web.Response(status=503)
        self._threads.add(thread, channel, ts)
        self._follow(thread, channel, ts)
        return web.Response()

    def _follow(self, thread: str, channel: str, ts: str) -> None:
        if thread not in self._followed:
            self._followed[thread] = asyncio.create_task(self._replies(thread, channel, ts))

    async def _replies(self, thread: str, channel: str, ts: str) -> None:
        """What the agent says goes to Slack, over as many connections as it takes."""
        while True:
            try:
                # The last run, or the last try, may have replied without living to write it down.
                replied = await self._slack.replied(channel, ts)
                async for position, text in self._daemon.turns(thread, self._threads.cursor(thread)):
                    id = f"{thread}.{position}"
                    if id not in replied:
                        await self._slack.reply(channel, ts, text, id)
                    self._threads.move(thread, position)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                log.warning("%s is followed again in a moment: %s", thread, type(error).__name__)
            await asyncio.sleep(1)


async def main() -> None:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        bridge = Bridge(http)
        application = web.Application()
        application.router.add_post("/slack/events", bridge.receive)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", int(os.environ.get("PORT", "8815"))).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
