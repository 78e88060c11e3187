"""Deletions: a conversation goes for good, as a whole tree (docs/decisions/0020).

    mark → tell → erase → compact

Once it is marked nobody reaches it any more, and everything after that may be repeated: a start goes on with what the last process left. A failure is
told to anyone who waits, and the work is tried again after a back-off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Sequence
from functools import partial
from typing import Any

from infinity._core import CoreError
from infinity.abc import Condemned
from infinity.backoff import Backoff
from infinity.engine.loop import Loop
from infinity.engine.outbox import Outbox
from infinity.engine.services import Services
from infinity.errors import InfinityError, Stopped, StoreError, ThreadDeleted
from infinity.supervision import shared, spawn, survivable

__all__ = ["Deletions"]

log = logging.getLogger("infinity.engine")

BACKOFF = Backoff(first=1.0, longest=600.0)
TELL_SECONDS = 10.0
"""What all notices of one deletion may take: a server that hangs does not keep what is to go."""
TOLD_AT_ONCE = 16


class Deletions:
    """``forget``: what is kept in memory of a tree; its root and its threads."""

    def __init__(
        self,
        services: Services,
        loop: Loop,
        outbox: Outbox,
        forget: Callable[[str, Collection[str]], None],
    ) -> None:
        self._services = services
        self._loop = loop
        self._outbox = outbox
        self._forget = forget
        self.check: Callable[[str], None] = lambda _: None
        """Raises if a tree cannot be deleted now, because its host moves it. Asked in the turn in which it is marked."""
        self._at_work: dict[str, asyncio.Task[None]] = {}
        """By root: what removes it now."""
        self._resting: dict[str, asyncio.Task[None]] = {}
        """By root: after a failure, until it is tried again."""
        self._failures: dict[str, int] = {}
        """By root: in a row."""
        self.failing: dict[str, str] = {}
        """By root: why the last try to remove what is left has failed."""
        self._compacting = asyncio.Lock()
        self._telling = asyncio.Semaphore(TOLD_AT_ONCE)
        self._stopped = False

    async def start(self) -> None:
        """Go on in the background with what the last process had begun."""
        for root in await self._services.store.deletions():
            self._begin(root, marked=True)

    async def stop(self) -> None:
        """Leave off; what is not removed yet is on record, and goes on at the next start."""
        self._stopped = True
        tasks = [*self._at_work.values(), *self._resting.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def delete(self, root: str) -> None:
        """Delete the tree of this root. When this returns, nothing of it is left; if the caller leaves, it goes on.

        Raises:
            UnknownThread: there is no such thread.
            ThreadDeleted: it was deleted before, and nothing is left of it.
            BadRequest: it is a child; the text names its root.
            StoreError: nothing happened; or it is deleted, and the text says that not all of it is removed yet.
        """
        await self.remove(root, compact=True)
        # What it has joined may have been begun for many trees at once, whose last step comes later.
        await self._compact_after(root)

    async def remove(self, root: str, *, compact: bool) -> None:
        """``compact``: False leaves the last step to a ``compact`` that follows, for many trees at once."""
        task = self._at_work.get(root) or self._begin(root, compact=compact)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if not survivable(error):
                raise
            raise Stopped(f"{root} is deleted; what is left of it is removed at the next start") from None

    async def compact(self) -> None:
        """The last step for all trees whose rows are gone. Not if there are none: it rewrites the store's file."""
        async with self._compacting:
            if await self._services.store.deletions():
                await self._services.store.compact()
                self._services.observer.gate("compacted")

    def _begin(self, root: str, *, compact: bool = True, marked: bool = False) -> asyncio.Task[None]:
        if (resting := self._resting.pop(root, None)) is not None:
            resting.cancel()
            marked = True
        # In a task of its own from the mark on: a caller that leaves must not leave it half done.
        work = self._go_on(root, compact) if marked else self._start(root, compact)
        task = self._at_work[root] = shared(work, f"deletion of {root}")
        task.add_done_callback(partial(self._ended, root))
        return task

    def _ended(self, root: str, _: asyncio.Task[None]) -> None:
        self._at_work.pop(root, None)

    async def _start(self, root: str, compact: bool) -> None:
        self.check(root)
        condemned = await self._services.store.mark_deleted(root, self._services.clock.now())
        self._services.observer.gate("marked")
        await self._finish(root, condemned, compact)

    async def _go_on(self, root: str, compact: bool) -> None:
        try:
            condemned = await self._services.store.mark_deleted(root, self._services.clock.now())
        except ThreadDeleted:
            self.failing.pop(root, None)
            return
        except (InfinityError, OSError) as error:
            raise self._failed(root, error) from error
        await self._finish(root, condemned, compact)

    async def _finish(self, root: str, condemned: Condemned, compact: bool) -> None:
        try:
            await self._clear(root, condemned)
            if compact:
                await self._compact_after(root)
            self._failures.pop(root, None)
            self.failing.pop(root, None)
        except Exception as error:
            if not isinstance(error, (InfinityError, OSError)):
                log.exception("the deletion of %s failed", root)
            raise self._failed(root, error) from error

    def _failed(self, root: str, error: Exception) -> StoreError:
        """What is said of it to who waits; it is tried again."""
        failures = self._failures.get(root, 0)
        self._failures[root] = failures + 1
        self.failing[root] = str(error)
        wait = BACKOFF.wait(failures)
        log.warning("%s is not removed yet, next try in %.1f s: %s", root, wait, error)

        async def again() -> None:
            await self._services.clock.sleep(wait)
            self._resting.pop(root, None)
            self._begin(root, marked=True)

        if not self._stopped:
            self._resting[root] = spawn(again(), f"rest of the deletion of {root}")
        return StoreError(
            f"{root} is deleted and cannot be reached any more, but not everything of it is removed yet: {error}. It will be retried automatically"
        )

    async def _compact_after(self, root: str) -> None:
        async with self._compacting:
            # Another deletion's compaction may have covered it.
            if root in await self._services.store.deletions():
                await self._services.store.compact()
                self._services.observer.gate("compacted")

    async def _clear(self, root: str, condemned: Condemned) -> None:
        """Out of memory, off the wire, out of the tables."""
        threads = [thread for thread, _ in condemned.threads]
        self._forget(root, threads)
        await self._loop.suspend(threads)
        for thread in threads:
            self._services.attempts.forget(thread)
        try:
            await self._outbox.withdraw(threads)
            await self.tell(condemned)
            self._services.observer.gate("warned")
            while await self._services.store.erase(root):
                pass
            self._services.observer.gate("erased")
        finally:
            # From here on the store says what they are; nothing has to be kept of them.
            self._loop.resume(threads)
        self._forget(root, threads)

    async def tell(self, condemned: Condemned) -> None:
        """Calls and subscriptions are cancelled, threads closed: each once, in no order, as on every other occasion (CAN-1, THR-2)."""
        wire = self._services.wire
        notices: list[Coroutine[Any, Any, None]] = []
        for thread, call in condemned.calls:
            if await self._is_of_a_server(call):
                notices.append(self._one(wire.notify_cancelled(thread, call)))
        notices += [self._one(wire.notify_closed(thread)) for thread, is_open in condemned.threads if is_open]
        await self._all(notices)

    async def _is_of_a_server(self, call: str) -> bool:
        try:
            found = await self._services.store.find_call(call)
        except (InfinityError, CoreError) as error:
            # A record that cannot be read keeps nobody from deleting it.
            log.warning("call %s cannot be read, its server is told all the same: %s", call, error)
            return True
        return found is not None and bool(found[0].toolset)

    async def _one(self, notice: Coroutine[Any, Any, None]) -> None:
        async with self._telling:
            await notice

    async def _all(self, notices: Sequence[Coroutine[Any, Any, None]]) -> None:
        if not notices:
            return
        tasks = [spawn(notice, "notice of a deletion") for notice in notices]
        try:
            _, late = await asyncio.wait(tasks, timeout=TELL_SECONDS)
            if late:
                log.warning("%d notices of a deletion were not answered within %g s", len(late), TELL_SECONDS)
        finally:
            for task in tasks:
                task.cancel()
