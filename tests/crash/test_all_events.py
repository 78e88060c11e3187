"""The stream of all events over kills of the daemon, in the middle of bursts: what a client has seen is what the log says, each event once, in order."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from pathlib import Path

import aiohttp

from infinity.models.script import Script

from .daemon import Forks
from .host import AGAIN, Host

KILLS = 3
THREADS = 4


class Follower:
    """Comes back with the last id whenever the connection is lost."""

    def __init__(self, host: Host, after: str) -> None:
        self.ids: list[str] = []
        self.last = after
        self._host = host
        self._task = asyncio.create_task(self._follow())

    async def close(self) -> None:
        self._task.cancel()
        results = await asyncio.gather(self._task, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError), results

    async def _follow(self) -> None:
        while True:
            try:
                await self._connection()
            except (aiohttp.ClientError, OSError, TimeoutError):
                await asyncio.sleep(AGAIN)  # nobody is there; again, soon

    async def _connection(self) -> None:
        session, headers = self._host._session, {"Last-Event-ID": self.last}
        assert session is not None
        async with session.get("/v1/events", headers=headers) as response:
            assert response.status == 200, await response.text()
            async for line in response.content:
                if line.startswith(b"id: "):
                    self.last = line.decode().removeprefix("id: ").strip()
                    self.ids.append(self.last)


def logged(home: Path) -> list[str]:
    """What the log says, as ids."""
    [database] = [path for path in home.glob("*.db") if path.stat().st_size]
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT seq, first, last FROM log ORDER BY seq").fetchall()
    connection.close()
    return [f"{seq}.{position}" for seq, first, last in rows for position in range(first, last + 1)]


async def test_each_commit_is_seen_once_and_in_order_over_kills(tmp_path: Path, forks: Forks) -> None:
    chance = random.Random(7)
    async with Host(tmp_path / "home", forks, Script().otherwise().say("yes")) as host:
        await host.keep()
        follower = Follower(host, "0")
        threads = [f"thread_{number}" for number in range(THREADS)]
        for thread in threads:
            await host.create(thread)
        for burst in range(KILLS + 1):
            words = [f"burst {burst} word {number}" for number in range(5)]
            said = asyncio.gather(*(host.say(thread, text) for thread in threads for text in words))
            if burst < KILLS:
                seen = len(follower.ids) + chance.randrange(2, 12)
                await host.until(lambda seen=seen: len(follower.ids) >= seen, "events of the burst")
                await host.end_next()
            await said
        await host.settled()
        whole = logged(host.home)
        await host.until(lambda: follower.last == whole[-1], "the last event")
        await follower.close()
        assert len(host.deaths) == KILLS
    assert follower.ids == whole
