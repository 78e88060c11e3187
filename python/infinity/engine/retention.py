"""Retention: conversations that have been closed for long enough are deleted (``retention.closed_days``).

One task sleeps until the next one is due, at most a day, which is as long as asyncio itself sleeps at once: nothing else wakes for it (I9). Whatever is due
goes in one round, and the store is compacted once for all of it.
"""

from __future__ import annotations

import asyncio
import logging

from infinity.engine.deletions import Deletions
from infinity.engine.services import Services
from infinity.errors import InfinityError, StoreError
from infinity.supervision import tend

__all__ = ["Retention"]

log = logging.getLogger("infinity.engine")

DAY = 86_400.0
"""Seconds between two rounds that delete something: each rewrites the store's file."""
DAY_MS = 86_400_000


class Retention:
    def __init__(self, services: Services, deletions: Deletions) -> None:
        self._services = services
        self._deletions = deletions
        self._age = int(services.settings.retention.closed_days * DAY_MS)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """In the background, if there is a limit."""
        if self._age:
            self._task = tend(self._run, "infinity-retention", sleep=self._services.clock.sleep)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            await self._services.clock.sleep(await self.expire())

    async def expire(self) -> float:
        """One round; seconds until the next one."""
        skipped: set[str] = set()
        deleted = 0
        while due := [root for root in await self._due() if root not in skipped]:
            for root in due:
                if await self._delete(root):
                    deleted += 1
                else:
                    skipped.add(root)
        await self._deletions.compact()
        if deleted:
            log.info(
                "%d conversations were closed for longer than retention.closed_days and are deleted", deleted
            )
        if deleted or skipped:
            return DAY
        oldest = await self._services.store.closed_roots(1)
        # What is closed from now on is due no sooner than that.
        left = oldest[0][1] + self._age - self._services.clock.now() if oldest else self._age
        return min(max(left / 1000, 1.0), DAY)

    async def _due(self) -> list[str]:
        before = self._services.clock.now() - self._age
        return [root for root, changed in await self._services.store.closed_roots() if changed <= before]

    async def _delete(self, root: str) -> bool:
        try:
            await self._deletions.remove(root, compact=False)
        except StoreError:
            raise
        except InfinityError as error:
            log.info("%s is not deleted yet: %s", root, error)
            return False
        return True
