"""Conversations that come here from a file: at once into service, or resting until their old home has let go of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from infinity.errors import BadRequest, Conflict, InfinityError, UnknownThread
from infinity.runtime import Runtime

from .records import Roots

__all__ = ["Arrivals"]

logger = logging.getLogger("infinity.moving")

RESTING = "it arrives from another host, which has not let go of it yet"


class Arrivals:
    """``welcome_back``: told of every tree that comes into service here, which may have left before."""

    def __init__(self, runtime: Runtime, welcome_back: Callable[[str], Awaitable[None]]) -> None:
        self._runtime = runtime
        self._store = runtime.store
        self._welcome_back = welcome_back
        self._resting = Roots(runtime.store, "arriving")
        self._lock = asyncio.Lock()

    async def recover(self) -> None:
        """Before anything runs: what was arriving when the last process ended rests, whether it was complete or not."""
        for root in await self._resting.load():
            try:
                await self._store.retire_tree(root, RESTING)
            except UnknownThread:
                await self._resting.discard(root)

    def resting(self, root: str) -> bool:
        return root in self._resting

    async def take_in(self, file: Path) -> tuple[str, dict[str, str]]:
        """A tree from a file, into service at once: inbox, outbox and timers go on here. Its root, and where its callbacks go."""
        async with self._lock:
            imported = await self._store.import_tree(str(file))
            await self._welcome_back(imported.root)
        await self._fetch_tools(imported.root)
        await self._runtime.take_up(imported.root)
        return imported.root, await self._callbacks(imported.root)

    async def take_in_resting(self, root: str, file: Path) -> dict[str, str]:
        """The first half of a move: the tree is here, and rests. Repeating it replaces what an earlier try has brought."""
        async with self._lock:
            if root in self._resting:
                await self._store.delete_tree(root)
            elif await self._store.thread(root) is not None:
                raise Conflict(f"there is a thread {root} already; nothing was imported")
            # Noted first: a process that ends right after the import must not come back with the tree in service.
            await self._resting.add(root)
            # Both writes are handed over in one turn, so that nothing comes between them.
            imported, retired = await asyncio.gather(
                self._store.import_tree(str(file)),
                self._store.retire_tree(root, RESTING),
                return_exceptions=True,
            )
            if isinstance(imported, BaseException):
                if not isinstance(retired, BaseException):
                    await self._store.unretire_tree(root)
                await self._resting.discard(root)
                raise imported
            if isinstance(retired, BaseException):
                await self._store.delete_tree(imported.root)
                await self._resting.discard(root)
                raise BadRequest(f"the file holds the conversation {imported.root}, not {root}")
            await self._fetch_tools(root)
        return await self._callbacks(root)

    async def start(self, root: str) -> None:
        """The second half: from here on it runs here. Asked twice, it is done once."""
        async with self._lock:
            if root not in self._resting:
                if await self._store.thread(root) is None:
                    raise UnknownThread(f"no conversation {root} has arrived here")
                return
            await self._welcome_back(root)
            await self._resting.discard(root)
            await self._runtime.unretire(root)

    async def forget(self, root: str) -> None:
        """Its old home keeps it."""
        async with self._lock:
            if root in self._resting:
                await self._store.delete_tree(root)
                await self._resting.discard(root)

    async def _fetch_tools(self, root: str) -> None:
        """From the servers of this host (DISC-5): those that the tree brings along are at the addresses of its old one, which is not called from here (S3)."""
        try:
            await self._runtime.reload_tools(root)
        except InfinityError as error:
            logger.warning(
                "%s still has the tools of its old home: %s. To fetch them: infinity tools --reload %s",
                root,
                error,
                root,
            )

    async def _callbacks(self, root: str) -> dict[str, str]:
        capabilities, found = self._runtime.capabilities, {}
        for thread in await self._runtime.tree(root):
            for call, _ in await self._store.calls(thread):
                if call.toolset:  # built-ins are called back by nobody
                    found[call.id] = capabilities.url(thread, call.id)
        return found
