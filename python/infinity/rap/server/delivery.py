"""Delivering callbacks: in order within a call, again and again on 5xx and lost connections, never again
after a 4xx (SRV-3).

But for 429: a receiver on Lambda that is throttled answers so in the runtime's place, and says by it
that it may be tried again. Every callback is on record before it comes here, and is removed from there
only when it has arrived or is refused for good; a crash in between sends it twice, which a runtime
knows by its id (CB-4).
"""

from __future__ import annotations

import asyncio
import io
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from infinity.backoff import Backoff
from infinity.errors import StoreError
from infinity.rap.address import shown
from infinity.supervision import spawn, survivable

from .call import Key
from .store import KEEP_DONE_SECONDS, PendingCallback, ServerStore

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger("infinity.rap.server")

GRACE_SECONDS = 2.0
TOTAL_SECONDS = 30.0
CONNECT_SECONDS = 5.0
GIVE_UP_SECONDS = KEEP_DONE_SECONDS
"""How long a callback is tried: a runtime that is gone for so long does not come back."""


def settles(status: int) -> bool:
    """Whether a callback is over with this answer: taken, or refused for good.

    Args:
        status: the HTTP status; 0: nobody answered.
    """
    return 0 < status < 500 and status != 429


Refused = Callable[[PendingCallback, int], Awaitable[None]]
"""Hears of a callback that the runtime refused, with the HTTP status, before it is removed."""


class Deliveries:
    """One queue and one task per call, so that a runtime that is down holds up only its own callbacks."""

    def __init__(self, store: ServerStore, backoff: Backoff, refused: Refused) -> None:
        """Begin with nothing to deliver.

        Args:
            store: where callbacks are on record.
            backoff: between the tries of one callback.
            refused: hears of each that is refused.
        """
        self._store = store
        self._backoff = backoff
        self._refused = refused
        self._queues: dict[Key, deque[PendingCallback]] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._waiting: set[Key] = set()
        self._stopping = False
        self._session: aiohttp.ClientSession | None = None

    def start(self) -> None:
        """Open the session to the runtimes. In the running event loop."""
        self._session = session()

    async def stop(self) -> None:
        """Let what is being sent arrive; abandon the rest, which is on record and goes on at the next
        start.
        """
        self._stopping = True
        # Those that only wait for the next try have nothing in flight that could be lost.
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

    def add(self, callback: PendingCallback) -> None:
        """Deliver a callback that is on record, behind the earlier ones of its call.

        Args:
            callback: as the store returned it.
        """
        self._queues.setdefault(callback.key, deque()).append(callback)
        # One task for each call: its callbacks leave one after the other, in order (SUB-9).
        if callback.key not in self._tasks:
            self._tasks[callback.key] = spawn(self._run(callback.key), f"callbacks of {callback.key[1]}")

    def drop(self, key: Key) -> None:
        """Say nothing more for this call; the store has forgotten it already.

        Args:
            key: of the call.
        """
        self._queues.pop(key, None)
        task = self._tasks.pop(key, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    async def _run(self, key: Key) -> None:
        queue = self._queues[key]
        try:
            while queue and not self._stopping:
                # It stays at the head until it is over: what comes after it must not overtake it.
                await self._deliver(queue[0])
                queue.popleft()
        finally:
            # ``drop`` may have put a new queue in its place meanwhile.
            if self._queues.get(key) is queue:
                del self._queues[key]
                self._tasks.pop(key, None)

    async def _deliver(self, callback: PendingCallback) -> None:
        tries = 0
        while True:
            status = await self._post(callback)
            try:
                if settles(status):
                    await self._settle(callback, status)
                    return
                if time.time() - callback.written_at > GIVE_UP_SECONDS:
                    log.error(
                        "callback of %s given up: nobody took it at %s", callback.key[1], shown(callback.url)
                    )
                    await self._store.delivered(callback.place)
                    return
            except (Exception, asyncio.CancelledError) as error:
                if not survivable(error):
                    raise
                # Whatever it was: the call's other callbacks wait behind this one (B11). Sent again is
                # harmless: results are known by
                # their call, events by their id.
                cause = None if isinstance(error, StoreError) else error
                log.error("callback of %s: %s", callback.key[1], error, exc_info=cause)
            if self._stopping:
                return
            self._waiting.add(callback.key)
            try:
                await asyncio.sleep(self._backoff.wait(tries))
            finally:
                self._waiting.discard(callback.key)
            tries += 1

    async def _settle(self, callback: PendingCallback, status: int) -> None:
        # A refusal is final; what it means for the call is decided where calls are known.
        if not 200 <= status < 300:
            log.warning("callback of %s refused by %s: HTTP %d", callback.key[1], shown(callback.url), status)
            await self._refused(callback, status)
        await self._store.delivered(callback.place)

    async def _post(self, callback: PendingCallback) -> int:
        assert self._session is not None
        return await post(self._session, callback.url, callback.body, callback.key[1])


def session() -> aiohttp.ClientSession:
    """The way to runtimes. aiohttp is imported here, when the first server starts."""
    import aiohttp

    return aiohttp.ClientSession(
        # Many callbacks may wait for one runtime that is slow; none of them waits for another host.
        connector=aiohttp.TCPConnector(limit=0, limit_per_host=64),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Content-Type": "application/json", "User-Agent": "infinity-tool-server"},
        timeout=aiohttp.ClientTimeout(total=TOTAL_SECONDS, sock_connect=CONNECT_SECONDS),
    )


async def post(connections: aiohttp.ClientSession, url: str, body: bytes, call_id: str) -> int:
    """Send a callback once.

    Args:
        connections: from ``session``.
        url: the callback URL of the invocation; redirects are not followed.
        body: UTF-8 JSON.
        call_id: for the log.

    Returns:
        The HTTP status; 0 if nobody answered. The body of the answer is not read.
    """
    import aiohttp

    try:
        async with connections.post(url, data=io.BytesIO(body), allow_redirects=False) as response:
            return response.status
    except aiohttp.InvalidURL:
        return 400
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        log.info("callback of %s not delivered: %s", call_id, type(error).__name__)
        return 0
