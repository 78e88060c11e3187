"""The loop: takes batches, runs slices. Threads never wait for each other; a slice that fails, fails alone (B6)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence

from infinity._core import Batch, CoreError, Message
from infinity.abc import Alarm
from infinity.engine import budget, compaction
from infinity.engine.outbox import Outbox
from infinity.engine.services import Services
from infinity.engine.slice.commit import Committed, commit
from infinity.engine.slice.complete import complete, postpone
from infinity.engine.slice.consult import consult
from infinity.engine.slice.dispatch import dispatch
from infinity.engine.slice.load import load
from infinity.engine.slice.prepare import prepare
from infinity.engine.threads import HotThreads
from infinity.engine.work import Slice
from infinity.errors import InfinityError, from_core
from infinity.message import Action, Kind
from infinity.supervision import spawn, tend

log = logging.getLogger("infinity.engine")

CALLS_PER_SLICE = 256
"""Calls after whose turn the rest of a slice is left to another one: a commit must fit into one transaction, and stores bound these."""
BACKOFF_FIRST, BACKOFF_LONGEST = 0.25, 60.0
"""Seconds that a thread rests after a slice that failed; its messages stay queued (L10)."""


class Loop:
    """Runs slices for one host until it is stopped."""

    def __init__(self, services: Services, outbox: Outbox, alarm: Alarm, *, sole_writer: bool) -> None:
        self._services = services
        self._outbox = outbox
        self._alarm = alarm
        self._hot = HotThreads(services.settings.limits.hot_threads, sole_writer=sole_writer)
        self._places = asyncio.Semaphore(services.settings.limits.concurrent_slices)
        self._taking: asyncio.Task[None] | None = None
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._barred: set[str] = set()
        """Threads of trees that are out of service here."""
        self.running: dict[str, Slice | None] = {}
        """Threads whose slice runs now."""
        self._resting: set[asyncio.Task[None]] = set()
        """Tasks that back off after a failure; a stop does not wait for them."""
        self.failing: dict[str, tuple[int, str]] = {}
        """Threads whose last slice failed: how often in a row, and why."""

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

    def interrupt(self, thread: str, action: Action) -> None:
        """End the stream of the thread's running slice, if there is one. The message that says so is in its mailbox."""
        slice = self.running.get(thread)
        if slice is not None:
            slice.interrupt(action)

    async def bar(self, threads: Collection[str]) -> None:
        """Run no slice of these threads, and end those that run: their tree is out of service. Their messages are in the store."""
        self._barred.update(threads)
        ending = [task for task, thread in self._tasks.items() if thread in self._barred]
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending)
        for thread in threads:
            self._hot.take(thread)
            self.failing.pop(thread, None)

    def admit(self, threads: Collection[str]) -> None:
        """Their tree is in service again."""
        self._barred.difference_update(threads)

    async def _take(self) -> None:
        while True:
            await self._places.acquire()
            try:
                batch = await self._services.mailbox.take()
            except BaseException:
                self._places.release()
                raise
            self.running[batch.thread] = None
            task = spawn(self._run(batch), f"slice {batch.thread}")
            self._tasks[task] = batch.thread
            task.add_done_callback(self._tasks.pop)

    async def _run(self, batch: Batch) -> None:
        """One slice and its yield. Whatever fails, the messages stay queued and the thread is released."""
        kept = True
        try:
            failure = await self._attempt(batch)
            kept = failure is not None
            if failure is not None:
                await self._rest(batch.thread, failure)
        finally:
            self._services.mailbox.release(batch.thread, keep=kept and batch.thread not in self._barred)
        self._services.observer.gate("yielded")

    async def _attempt(self, batch: Batch) -> Exception | None:
        """Why the slice failed, if it did."""
        try:
            if batch.thread not in self._barred:
                await self.run_slice(batch.thread, batch.messages)
        except CoreError as error:
            return from_core(error)
        except (InfinityError, OSError) as error:
            return error
        except Exception as error:
            log.exception("slice of %s failed", batch.thread)
            return error
        finally:
            self.running.pop(batch.thread, None)
            self._places.release()
        self.failing.pop(batch.thread, None)
        return None

    async def run_slice(self, thread: str, batch: Sequence[Message]) -> None:
        """load → prepare → complete → dispatch → commit, and what follows from the commit. Hosts without a mailbox of their own call this."""
        try:
            await self._slice(thread, batch)
        finally:
            self.running.pop(thread, None)

    def expire(self, thread: str) -> None:
        """The host's time is nearly over: end the thread's running completion, take it back, and commit what there is without it."""
        slice = self.running.get(thread)
        if slice is not None:
            slice.expire()

    async def _slice(self, thread: str, batch: Sequence[Message]) -> None:
        slice = await load(self._services, self._hot, thread, batch)
        self.running[thread] = slice
        # An interrupt that came during the load could not reach the slice; its message is here by now.
        await self._prepare(slice, [*batch, *self._services.mailbox.more(thread)])
        await self._rounds(slice)
        while slice.signal is not None:
            # The interrupt's or stop's own message is queued by now: it belongs to this slice.
            slice.signal = None
            await self._prepare(slice, self._services.mailbox.more(thread))
            await self._rounds(slice)
        if slice.out_of_time:
            postpone(slice)
        if compaction.is_summariser(slice) and slice.thread.status == "idle":
            compaction.finish(slice, None)
        committed = await commit(slice)
        self._hot.keep(slice.thread)
        if committed is not None:
            self.follow(committed)

    async def _rounds(self, slice: Slice) -> None:
        while slice.ready and await self._another_round(slice):
            turn = await complete(slice)
            if compaction.is_summariser(slice):
                compaction.finish(slice, turn)
                return
            if turn is None:
                return
            await dispatch(slice, turn)
            compaction.consider(slice)
            if slice.calls_made >= CALLS_PER_SLICE:
                slice.out_of_time = True
            if slice.ready:
                await self._prepare(slice, self._services.mailbox.more(slice.thread.id))

    async def _prepare(self, slice: Slice, batch: Sequence[Message]) -> None:
        await consult(slice, batch, self._outbox)
        prepare(slice, batch)

    async def _another_round(self, slice: Slice) -> bool:
        limit = slice.limits.rounds
        if slice.rounds >= limit:
            slice.thread.set_pending(False)
            slice.problem(
                "limit",
                f"the agent made {limit} completions in a row (limits.rounds); send a message or resume to go on",
            )
            return False
        if (used_up := await budget.exhausted(slice)) is not None:
            slice.thread.set_pending(False)
            slice.problem("budget", f"{used_up}; resume the thread to allow as much again")
            return False
        slice.rounds += 1
        state = {"state": "started", "round": slice.rounds}
        self._services.observer.live(slice.thread.id, "slice", state)
        return True

    def follow(self, committed: Committed) -> None:
        """Announce what is durable now: mailboxes, outbox, timers, watchers. A crash before this is made good on start."""
        delta, messages = committed.delta, committed.messages
        if delta.released:
            # They came before anything that is queued now.
            released = [one for one in messages if one.thread == delta.thread and one.kind == Kind.EVENT]
            self._services.mailbox.give_back(released)
            messages = [one for one in messages if one not in released]
        self._services.mailbox.put(messages)
        for change in (delta, *delta.children):
            self._outbox.cancel(change.outbox_cancelled)
            self._outbox.end(change.ended)
            self._outbox.add(change.thread, change.outbox)
            timers = [(id, due_at) for id, due_at, _, _ in change.timers]
            self._alarm.arm(change.thread, timers, change.timers_cancelled)
            self._services.observer.committed(change)

    async def _rest(self, thread: str, error: Exception) -> None:
        """Back off after a failed slice. The thread alone waits; ``status`` says why (I7, L10)."""
        times = self.failing.get(thread, (0, ""))[0] + 1
        self.failing[thread] = (times, f"{getattr(error, 'code', 'internal')}: {error}")
        wait = min(BACKOFF_FIRST * 2 ** (times - 1), BACKOFF_LONGEST)
        log.warning("slice of %s failed (%d in a row), next try in %.1f s: %s", thread, times, wait, error)
        self._services.observer.live(
            thread, "problem", {"code": getattr(error, "code", "internal"), "text": str(error)}
        )
        task = asyncio.current_task()
        assert task is not None
        self._resting.add(task)
        try:
            await self._services.clock.sleep(wait)
        finally:
            self._resting.discard(task)
