"""Conversations that come here from a file: at once into service, or resting until their old home has let go of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from infinity._core import CoreError, exported_root
from infinity.abc import INCOMPLETE, Imported
from infinity.errors import Conflict, InfinityError, UnknownThread, from_core
from infinity.runtime import Runtime
from infinity.supervision import in_thread

from .records import Roots

__all__ = ["Arrivals"]

logger = logging.getLogger("infinity.moving")

RESTING = "it arrives from another host, which has not let go of it yet"
IMPORTED = "it has just been imported and goes into service when its tools are fetched"


class Arrivals:
    """``welcome_back``: told of every tree that comes into service here, which may have left before; ``leaving``: whether a move of it is under way."""

    def __init__(
        self,
        runtime: Runtime,
        welcome_back: Callable[[str], Awaitable[None]],
        leaving: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._runtime = runtime
        self._store = runtime.store
        self._welcome_back = welcome_back
        self._leaving = leaving
        self._resting = Roots(runtime.store, "arriving")
        self._imported = Roots(runtime.store, "imported")
        self._lock = asyncio.Lock()

    async def recover(self) -> None:
        """Before anything runs: what was arriving when the last process ended rests, what was being imported goes into service; if it is complete."""
        for root in await self._resting.load():
            if not await self._is_complete(root):
                await self._resting.discard(root)
            elif await self._store.retired(root) is None:
                await self._store.retire_tree(root, RESTING)  # an earlier version brought it, in two steps
        for root in await self._imported.load():
            if await self._is_complete(root) and await self._store.retired(root) == IMPORTED:
                await self._welcome_back(root)
                await self._store.unretire_tree(root)
            await self._imported.discard(root)

    async def _is_complete(self, root: str) -> bool:
        """Whether it is here. A store that takes a large tree in parts says so until the last one is there; then what there is goes again."""
        if await self._store.thread(root) is None:
            return False
        if await self._store.retired(root) != INCOMPLETE:
            return True
        await self._store.delete_tree(root)
        return False

    def resting(self, root: str) -> bool:
        return root in self._resting or root in self._imported

    async def take_in(self, file: Path) -> tuple[Imported, dict[str, str]]:
        """A tree from a file, into service: inbox, outbox and timers go on here. What came, and where its callbacks go.

        A copy that left from here gives way to it if the file is not older (``Store.import_tree``). It rests until its tools are fetched, so that what comes meanwhile cannot overtake what it has queued (I1).
        """
        async with self._lock:
            root = await in_thread(partial(_root, str(file)))
            if self._leaving(root) or self.resting(root):
                raise Conflict(
                    f"{root} is being moved; nothing was imported. Import the file when that is done"
                )
            imported = await self._bring(self._imported, root, file, IMPORTED)
        await self._fetch_tools(root)
        await self._welcome_back(root)
        await self._runtime.unretire(root)
        await self._imported.discard(root)
        return imported, await self._callbacks(root)

    async def take_in_resting(self, root: str, file: Path) -> dict[str, str]:
        """The first half of a move: the tree is here, and rests. Repeating it replaces what an earlier try has brought."""
        async with self._lock:
            if self._leaving(root):
                raise Conflict(f"{root} is being moved from here; nothing was imported")
            if root in self._resting:
                await self._store.delete_tree(root)
            await self._bring(self._resting, root, file, RESTING)
            await self._fetch_tools(root)
        return await self._callbacks(root)

    async def _bring(self, record: Roots, root: str, file: Path, note: str) -> Imported:
        # Noted first: a process that ends right after the import must know at its next start what the tree is.
        await record.add(root)
        try:
            return await self._store.import_tree(str(file), expected=root, resting=note)
        except Exception:
            # A commit whose answer was lost may have happened all the same: then it stays on record.
            if await self._store.thread(root) is None or await self._store.retired(root) != note:
                await record.discard(root)
            raise

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


def _root(path: str) -> str:
    try:
        return exported_root(path)
    except CoreError as error:
        raise from_core(error) from None
