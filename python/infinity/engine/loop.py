"""The loop: takes batches, runs slices. Threads never wait for each other; a slice that fails, fails alone (B6)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from infinity._core import Batch, CoreError
from infinity.abc import Problem
from infinity.backoff import Backoff
from infinity.engine.inbox import still_queued
from infinity.engine.optional import optional
from infinity.engine.services import Services
from infinity.engine.slices import Failing, Slices
from infinity.engine.watched import watched
from infinity.errors import (
    Conflict,
    InfinityError,
    UnknownThread,
    code_of,
    from_core,
)
from infinity.supervision import spawn, tend

log = logging.getLogger("infinity.engine")

BACKOFF = Backoff(first=0.25, longest=60.0)
"""How long a thread rests after a slice that failed; its messages stay queued (L10)."""
LAST_WORDS = 2.0
"""Seconds at the end of a stop for what must not be lost: turns that were paid for, and attempts that are not on record."""


class Loop:
    """Runs slices for one host until it is stopped."""

    def __init__(self, services: Services, slices: Slices) -> None:
        self._services = services
        self._slices = slices
        self._places = asyncio.Semaphore(services.settings.limits.concurrent_slices)
        self._taking: asyncio.Task[None] | None = None
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._unbegun: set[asyncio.Task[None]] = set()
        """Tasks that have not made their first step. One that is cancelled before that runs nothing of itself, no ``finally`` either."""
        self._suspended: set[str] = set()
        """Threads of trees that are out of service here."""
        self.waiting: dict[str, int] = {}
        """How many messages wait with a thread that rests after a failure."""

    def start(self) -> None:
        self._taking = tend(self._take, "infinity-loop")

    async def stop(self, grace: float) -> None:
        """Take nothing more; let slices finish for ``grace`` seconds, then abandon them: their messages stay queued (L17)."""
        if self._taking is not None:
            self._taking.cancel()
            await asyncio.wait([self._taking])
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=grace)
        abandoned = list(self._tasks)
        for task in abandoned:
            task.cancel()
        if abandoned:
            await asyncio.wait(abandoned)
        try:
            async with asyncio.timeout(LAST_WORDS):
                await self._slices.last_words()
        except TimeoutError:
            log.warning("the store took too long; what was not recorded may be bought again")

    def halt(self) -> None:
        """No slice goes on from this moment on: somebody else runs them."""
        if self._taking is not None:
            self._taking.cancel()
        for task in self._tasks:
            task.cancel()

    async def suspend(self, threads: Collection[str]) -> None:
        """Run no slice of these threads, and end those that run: their tree is out of service. Their messages are in the store."""
        self._suspended.update(threads)
        ending = [task for task, thread in self._tasks.items() if thread in self._suspended]
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending)
        self._slices.drop(threads)

    def resume(self, threads: Collection[str]) -> None:
        """Their tree is in service again."""
        self._suspended.difference_update(threads)

    async def _take(self) -> None:
        while True:
            await self._places.acquire()
            try:
                batch = await self._services.mailbox.take()
            except BaseException:
                self._places.release()
                raise
            self._slices.running[batch.thread] = None
            self._slices.taken[batch.thread] = [*batch.messages]
            work = watched(self._services.watch, batch.thread, self._run(batch))
            task = spawn(work, f"slice {batch.thread}")
            self._tasks[task] = batch.thread
            self._unbegun.add(task)
            task.add_done_callback(self._has_ended)

    def _has_ended(self, task: asyncio.Task[None]) -> None:
        thread = self._tasks.pop(task)
        if task in self._unbegun:
            self._unbegun.remove(task)
            self._has_run(thread)
            self._let_go(thread, keep=True)
        if not self._tasks:
            self._services.watch.rest()

    async def _run(self, batch: Batch) -> None:
        """One slice and its yield. Whatever fails, the messages stay queued and the thread is released."""
        task, kept = asyncio.current_task(), True
        assert task is not None
        self._unbegun.discard(task)
        try:
            try:
                await self._services.owned.wait()
                failure = await self._attempt(batch)
            finally:
                self._has_run(batch.thread)
            kept = failure is not None
            if isinstance(failure, (Conflict, UnknownThread)):
                kept = await self._drop_what_is_gone(batch.thread)
            if failure is not None and kept:
                self.waiting[batch.thread] = len(self._slices.taken[batch.thread])
                await self._rest(batch.thread, failure)
        finally:
            self._let_go(batch.thread, keep=kept)
        self._services.observer.gate("yielded")

    def _has_run(self, thread: str) -> None:
        """Its slice is over; its thread may rest yet."""
        self._slices.running.pop(thread, None)
        self._places.release()

    def _let_go(self, thread: str, *, keep: bool) -> None:
        self.waiting.pop(thread, None)
        del self._slices.taken[thread]
        self._services.mailbox.release(thread, keep=keep and thread not in self._suspended)

    async def _drop_what_is_gone(self, thread: str) -> bool:
        """The slice lost its claim: somebody may have consumed its messages, or deleted the thread. Whether any is left to be tried again."""
        taken = self._slices.taken[thread]
        try:
            left = await still_queued(self._services.store, taken)
        except (InfinityError, OSError) as error:
            log.warning(
                "%s: what is still queued cannot be read, all of it is tried again: %s", thread, error
            )
            return True
        if len(left) == len(taken):
            return True
        log.info("%s: %d messages are not queued any more and are dropped", thread, len(taken) - len(left))
        self._slices.failing.pop(thread, None)
        self._services.mailbox.give_back(left)
        return False

    async def _attempt(self, batch: Batch) -> Exception | None:
        """Why the slice failed, if it did."""
        try:
            if batch.thread not in self._suspended:
                await self._slices.run(batch.thread, batch.messages)
        except CoreError as error:
            return from_core(error)
        except (InfinityError, OSError) as error:
            return error
        except Exception as error:
            log.exception("slice of %s failed", batch.thread)
            return error
        self._slices.failing.pop(batch.thread, None)
        return None

    async def _rest(self, thread: str, error: Exception) -> None:
        """Back off after a failed slice. The thread alone waits; ``status`` says why (I7, L10)."""
        times, problem = self._slices.failures(thread) + 1, Problem(code_of(error), str(error))
        since = self._slices.failing[thread].since if times > 1 else self._services.clock.now()
        self._slices.failing[thread] = Failing(times, problem, since)
        wait = BACKOFF.wait(times - 1)
        log.warning("slice of %s failed (%d in a row), next try in %.1f s: %s", thread, times, wait, error)
        told = problem._asdict()
        optional("a live event", thread, lambda: self._services.observer.live(thread, "problem", told))
        await self._services.clock.sleep(wait)
