"""A client's view of a thread on the cloud host: its event stream, polled by cursor, and never allowed a gap or a repeat."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
from tests.crash.watch import Seen, Watch

BETWEEN = 0.01
OFTEN = 0.3
"""Seconds after which it is asked again, whether something has happened or not."""


class PollingWatch(Watch):
    """``requests``: how many the services have got so far; behind every commit there comes one."""

    def __init__(
        self, session: aiohttp.ClientSession, thread: str, requests: Callable[[], int], *, after: int = -1
    ) -> None:
        self._requests = requests
        super().__init__(session, thread, after=after)

    async def _connection(self) -> None:
        self.connections.append([])
        while True:
            before = self._requests()
            path = f"/v1/threads/{self.thread}/events?after={self.cursor}"
            async with self._session.get(path) as response:
                if response.status != 200:
                    raise aiohttp.ClientError(f"status {response.status}")
                page = await response.json()
            for event in page["events"]:
                await self._see(Seen(event["cursor"], event["kind"], event["data"]))
            assert page["next"] == self.cursor, "the page ends elsewhere than it says"
            if not page["events"]:
                await self._something_since(before)

    async def _something_since(self, requests: int) -> None:
        for _ in range(int(OFTEN / BETWEEN)):
            if self._requests() != requests:
                return
            await asyncio.sleep(BETWEEN)
