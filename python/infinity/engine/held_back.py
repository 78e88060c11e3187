"""A thread whose slice held the event loop until the process was ended is held back by the next start: it would do so again (L17).

It runs no slice until a person resumes it, and it says so: as a problem of the thread, in lists and to ``doctor``. What arrives for it is kept.
"""

from __future__ import annotations

import logging
from collections import Counter

import msgspec

from infinity._core import CoreError
from infinity.engine.parking import hold_back
from infinity.engine.services import Services
from infinity.engine.slice.commit import Committed
from infinity.errors import Conflict, DamagedStore, NewerStore, UnknownThread

__all__ = ["HeldBack"]

log = logging.getLogger("infinity.engine")

_KEY = "held_back"
_TEXT = (
    "a slice of this thread held the whole daemon until its process was ended, so it runs no slice now; what arrives for it is kept. "
    "If it cannot be helped, delete its conversation"
)


class HeldBack:
    """The list is durable, and short: it is written when a thread comes to it or leaves it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.threads: set[str] = set()
        self.queued: Counter[str] = Counter()
        """Messages that these threads have waiting, as far as people are told to wait because of them."""

    async def recall(self) -> None:
        store = self._services.store
        kept = await store.meta(_KEY)
        listed = msgspec.json.decode(kept, type=list[str]) if kept else []
        for thread in listed:
            # It may have been deleted, or lives elsewhere.
            if await store.thread(thread) is not None:
                self.threads.add(thread)
        if len(self.threads) != len(listed):
            await self._keep()

    def waits(self, thread: str) -> None:
        """One more message of a thread that is held back."""
        if thread in self.threads:
            self.queued[thread] += 1

    async def add(self, thread: str) -> Committed | None:
        """Hold it back, and park it with a problem that says so; ``None`` if nothing of it can run anyway."""
        self.threads.add(thread)
        await self._keep()
        try:
            committed = await hold_back(self._services, thread, _TEXT)
        except (UnknownThread, Conflict, CoreError, DamagedStore, NewerStore) as error:
            # It is gone or out of service; or it cannot be read, which everybody is told who tries.
            log.warning("%s held the event loop, and is not held back: %s", thread, error)
            await self.remove(thread)
            return None
        if committed is None:
            await self.remove(thread)
        else:
            log.error("%s is held back: its slice held the event loop until the process was ended", thread)
        return committed

    async def remove(self, thread: str) -> bool:
        """Whether it was held back."""
        if thread not in self.threads:
            return False
        self.threads.discard(thread)
        self.queued.pop(thread, None)
        await self._keep()
        return True

    async def _keep(self) -> None:
        await self._services.store.put_meta(_KEY, msgspec.json.encode(sorted(self.threads)))
