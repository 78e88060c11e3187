"""Delivering callbacks: in order within a call, again and again on 5xx and lost connections, never again after a 4xx (SRV-3)."""

from __future__ import annotations

import asyncio
import io
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from infinity.errors import StoreError
from infinity.rap.address import shown

from .call import Key
from .store import Letter, ServerStore

log = logging.getLogger("infinity.rap.server")

GRACE_SECONDS = 2.0
TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds between tries: doubling from ``first`` to ``longest``, with jitter."""

    first: float = 0.5
    longest: float = 60.0

    def wait(self, tries: int) -> float:
        longest = min(self.longest, self.first * 2 ** min(tries, 32))
        return random.uniform(longest / 2, longest)  # noqa: S311


Refused = Callable[[Letter, int], Awaitable[None]]


class Deliveries:
    """One queue and one task per call, so that a runtime that is down holds up only its own callbacks."""

    def __init__(self, store: ServerStore, backoff: Backoff, refused: Refused) -> None:
        self._store = store
        self._backoff = backoff
        self._refused = refused
        self._queues: dict[Key, deque[Letter]] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._waiting: set[Key] = set()
        self._stopping = False
        self._session: aiohttp.ClientSession | None = None

    def start(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=64),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Content-Type": "application/json", "User-Agent": "infinity-tool-server"},
        )

    async def stop(self) -> None:
        """Let what is being sent arrive; abandon the rest, which is on record and goes on at the next start."""
        self._stopping = True
        for key in self._waiting & self._tasks.keys():
            self._tasks[key].cancel()
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=GRACE_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def add(self, letter: Letter) -> None:
        self._queues.setdefault(letter.key, deque()).append(letter)
        if letter.key not in self._tasks:
            self._tasks[letter.key] = asyncio.create_task(
                self._run(letter.key), name=f"callbacks of {letter.key[1]}"
            )

    def drop(self, key: Key) -> None:
        """Say nothing more for this call; the store has forgotten it already."""
        self._queues.pop(key, None)
        task = self._tasks.pop(key, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    async def _run(self, key: Key) -> None:
        queue = self._queues[key]
        try:
            while queue and not self._stopping:
                await self._deliver(queue[0])
                queue.popleft()
        finally:
            if self._queues.get(key) is queue:
                del self._queues[key]
                self._tasks.pop(key, None)

    async def _deliver(self, letter: Letter) -> None:
        tries = 0
        while True:
            status = await self._post(letter)
            try:
                if 0 < status < 500:
                    await self._settle(letter, status)
                    return
            except StoreError as error:
                # Sent again is harmless: results are known by their call, events by their id.
                log.error("callback of %s: %s", letter.key[1], error)
            if self._stopping:
                return
            self._waiting.add(letter.key)
            try:
                await asyncio.sleep(self._backoff.wait(tries))
            finally:
                self._waiting.discard(letter.key)
            tries += 1

    async def _settle(self, letter: Letter, status: int) -> None:
        await self._store.delivered(letter.place)
        if not 200 <= status < 300:
            log.warning("callback of %s refused by %s: HTTP %d", letter.key[1], shown(letter.url), status)
            await self._refused(letter, status)

    async def _post(self, letter: Letter) -> int:
        """The status; 0 if nobody answered."""
        assert self._session is not None
        try:
            async with self._session.post(
                letter.url, data=io.BytesIO(letter.body), allow_redirects=False, timeout=TIMEOUT
            ) as response:
                return response.status
        except aiohttp.InvalidURL:
            return 400
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.info("callback of %s not delivered: %s", letter.key[1], type(error).__name__)
            return 0
