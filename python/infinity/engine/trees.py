"""Whole trees of threads: out of service, for a move or a deletion, and back into it (MIG-2, L15).

A tree that is out of service takes, runs and sends nothing. When it comes back, what was queued before is read first, whatever arrives meanwhile (THR-1).
"""

from __future__ import annotations

from collections.abc import Collection

from infinity._core import Message
from infinity.abc import pages, queued
from infinity.engine.held_back import HeldBack
from infinity.engine.inbox import Inbox
from infinity.engine.loop import Loop
from infinity.engine.outbox import Outbox
from infinity.engine.services import Services
from infinity.engine.timers import Timers

__all__ = ["Trees"]


class Trees:
    def __init__(
        self,
        services: Services,
        inbox: Inbox,
        loop: Loop,
        outbox: Outbox,
        timers: Timers,
        held_back: HeldBack,
    ) -> None:
        self._services = services
        self._inbox = inbox
        self._loop = loop
        self._outbox = outbox
        self._timers = timers
        self._held_back = held_back

    async def retire(self, root: str, note: str, mark: bytes | None = None) -> list[str]:
        await self._services.store.retire_tree(root, note, mark)
        threads = await self.threads(root)
        await self._loop.suspend(threads)
        await self._outbox.withdraw(threads)
        return threads

    async def unretire(self, root: str, mark: bytes | None = None) -> None:
        threads = await self.threads(root)
        self._inbox.hold(threads)
        try:
            await self._services.store.unretire_tree(root, mark)
            await self.take_up(root)
        finally:
            self._inbox.let_in(threads)

    async def take_up(self, root: str) -> None:
        """Go on at once with what a tree has queued, unsent and timed: it has come here, or is in service again (L15)."""
        threads = frozenset(await self.threads(root))
        await self.let_go_on(threads - self._held_back.threads)
        await self._outbox.start(threads)
        await self._timers.start()

    async def let_go_on(self, threads: Collection[str]) -> None:
        """Read again what these threads have queued; what is accepted meanwhile comes behind that."""
        self._inbox.hold(threads)
        found: list[Message] = []
        try:
            async for messages in queued(self._services.store):
                found += [message for message in messages if message.thread in threads]
        finally:
            self._loop.resume(threads)
            self._services.mailbox.put(found)
            self._inbox.let_in(threads)

    async def threads(self, root: str) -> list[str]:
        """Ids of all threads of a tree."""
        return [row.id async for rows in pages(self._services.store, root=root) for row in rows]
