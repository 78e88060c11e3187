"""Slices, each from load to commit, and what follows: what is durable is announced, what a failed one has bought goes on record (I12).

``engine/loop.py`` runs them for hosts that have a mailbox in memory; hosts without one call ``run``. Nothing leaves before the commit, and nothing is bought
while an attempt is not on record.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from typing import NamedTuple

from infinity._core import CoreError, Message
from infinity.abc import Alarm, Problem
from infinity.engine import compaction
from infinity.engine.attempts import Owed, bound, is_outage
from infinity.engine.kept import KeptTurns
from infinity.engine.optional import optional_async
from infinity.engine.outbox import Outbox
from infinity.engine.parking import fold_singly, park_failing
from infinity.engine.room import Room, cost
from infinity.engine.services import Services
from infinity.engine.slice.commit import Committed, commit
from infinity.engine.slice.complete import complete, postpone
from infinity.engine.slice.consult import consult
from infinity.engine.slice.dispatch import dispatch
from infinity.engine.slice.load import load
from infinity.engine.slice.prepare import prepare
from infinity.engine.slice.state import Slice
from infinity.engine.threads import HotThreads
from infinity.errors import (
    Conflict,
    DamagedStore,
    InfinityError,
    LimitReached,
    NewerStore,
    StoreError,
    UnknownThread,
    code_of,
    from_core,
)
from infinity.message import Action, Kind

log = logging.getLogger("infinity.engine")


class Failing(NamedTuple):
    """A thread whose slices fail: how often in a row, why the last one did, and since when (ms since the epoch)."""

    times: int
    problem: Problem
    since: int


class Slices:
    """Runs slices; one for each thread at a time, which the caller sees to (I1)."""

    def __init__(self, services: Services, outbox: Outbox, alarm: Alarm, *, sole_writer: bool) -> None:
        self._services = services
        self._outbox = outbox
        self._alarm = alarm
        self._hot = HotThreads(services.settings.limits.hot_threads, sole_writer=sole_writer)
        self._room = Room(services.settings.limits.slice_bytes)
        self._kept = KeptTurns()
        self.running: dict[str, Slice | None] = {}
        """Threads whose slice runs now."""
        self.taken: dict[str, list[Message]] = {}
        """What the mailbox has handed out and not got back, by thread."""
        self.failing: dict[str, Failing] = {}
        """Threads whose last slice failed."""

    async def run(self, thread: str, batch: Sequence[Message], *, receives: int = 1) -> None:
        """load → prepare → complete → dispatch → commit, and what follows from the commit. Hosts without a mailbox of their own call this.

        ``receives``: how often the host has received the messages, without outages of the store; each time but the last ended without a commit.
        """
        try:
            await self._slice(thread, batch, receives)
        except asyncio.CancelledError:
            current = self.running.get(thread)
            if current is not None and current.bought:
                self._owe(current, "abandoned")
            raise
        except Exception as error:
            failure = from_core(error) if isinstance(error, CoreError) else error
            if not await self._ended(thread, batch, failure, receives):
                raise
        finally:
            self.running.pop(thread, None)

    def interrupt(self, thread: str, action: Action) -> None:
        """End the stream of the thread's running slice, if there is one. The message that says so is in its mailbox."""
        current = self.running.get(thread)
        if current is not None:
            current.interrupt(action)

    def expire(self, thread: str) -> None:
        """The host's time is nearly over: end the thread's running completion, take it back, and commit what there is without it."""
        current = self.running.get(thread)
        if current is not None:
            current.expire()

    async def last_words(self) -> None:
        """Turns that were paid for and not committed yet, and attempts that are not on record (I12)."""
        for thread in self._kept.threads():
            current = self._kept.take(thread)
            assert current is not None
            if await optional_async("the last commit", thread, commit(current)) is None:
                self._owe(current, "abandoned")
        for thread in self._services.attempts.owes():
            await optional_async("an attempt", thread, self._services.attempts.settle(thread))

    def drop(self, threads: Collection[str]) -> None:
        """Their tree is out of service: no slice of theirs goes on from what is in memory."""
        for thread in threads:
            self._hot.take(thread)
            if (current := self._kept.take(thread)) is not None:
                self._owe(current, "abandoned")
            self.failing.pop(thread, None)

    def _more(self, thread: str) -> list[Message]:
        """What has arrived for the thread of a running slice."""
        found = self._services.mailbox.more(thread)
        if thread in self.taken:
            self.taken[thread] += found
        return found

    async def _ended(self, thread: str, batch: Sequence[Message], error: Exception, receives: int) -> bool:
        """A slice failed: put what it bought on record, keep its turn, or park the thread. False: the messages are to come again."""
        current = self.running.get(thread)
        bought = current is not None and current.bought
        if isinstance(error, UnknownThread) or (isinstance(error, Conflict) and not bought):
            return False
        if is_outage(error):
            # Nothing is bought until the store is back, and a turn that it could not take is kept.
            lasting = isinstance(error, (DamagedStore, NewerStore))
            if (
                current is not None
                and bought
                and (lasting or current.delta is None or not self._kept.keep(current))
            ):
                self._owe(current, code_of(error))
            return False
        code = code_of(error)
        batch = self.taken.get(thread, batch)
        too_large = isinstance(error, LimitReached)
        if too_large and not bought:
            return await self._fold_singly(thread, batch)
        count = await self._count(thread, current, code)
        retries = self._services.settings.retries
        in_a_row = self.failures(thread) + 1
        if not isinstance(error, Conflict):
            # Receives count what ended the process as well. After a conflict another slice has committed: the thread gets on.
            in_a_row = max(in_a_row, receives)
        hopeless = in_a_row > retries.slices or count >= bound(retries)
        if not hopeless and not too_large:
            return False
        return await self._park(thread, batch, code, f"its slice failed {in_a_row} times in a row: {error}")

    async def _count(self, thread: str, current: Slice | None, code: str) -> int:
        """Record the failed slice with what it bought; how many attempts there are. What cannot be recorded is kept (I12)."""
        spent = (current.spent_tokens, current.spent_microdollars) if current is not None else (0, 0)
        try:
            return await self._services.attempts.record(thread, Owed(code, *spent)) or 0
        except (InfinityError, OSError) as error:
            log.warning(
                "an attempt of %s is not on record yet, nothing is bought until it is: %s", thread, error
            )
            return 0

    def _owe(self, current: Slice, code: str) -> None:
        version = current.delta.new_version if current.delta is not None else 0
        attempt = Owed(code, current.spent_tokens, current.spent_microdollars, version)
        self._services.attempts.owe(current.thread.id, attempt)

    async def _park(self, thread: str, batch: Sequence[Message], code: str, text: str) -> bool:
        try:
            current, committed = await park_failing(self._services, thread, batch, code, text)
        except LimitReached:
            return await self._fold_singly(thread, batch, Problem(code, text))
        except Exception as error:  # noqa: BLE001 it stays as it was, and nothing is bought: the bound is reached
            log.warning("%s could not be parked: %s: %s", thread, type(error).__name__, error)
            return False
        log.error("%s is parked: %s", thread, text)
        self._follow_step(current, committed)
        return True

    async def give_up(self, thread: str, batch: Sequence[Message], code: str, text: str) -> None:
        """The host knows that the thread's slices end badly where no slice can say so: commit the batch, and a problem that stays until the thread is
        resumed. ``StoreError`` if that cannot be done now."""
        if not await self._park(thread, batch, code, text):
            raise StoreError(f"{thread} could not be parked; it is tried again")

    async def _fold_singly(
        self, thread: str, batch: Sequence[Message], problem: Problem | None = None
    ) -> bool:
        """No transaction takes what the batch does at once (B15); false if that cannot be helped now."""
        try:
            async for current, committed in fold_singly(self._services, thread, batch, problem):
                self._follow_step(current, committed)
        except Exception as error:  # noqa: BLE001 what is left stays as it was, and nothing was bought for it
            log.warning("%s does not fit into a transaction: %s: %s", thread, type(error).__name__, error)
            return False
        return True

    def _follow_step(self, current: Slice, committed: Committed | None) -> None:
        self._hot.keep(current.thread)
        self._services.mailbox.give_back(current.left)
        if committed is not None:
            self.follow(committed)

    async def _slice(self, thread: str, batch: Sequence[Message], receives: int) -> None:
        await self._services.attempts.settle_commits(thread)
        batch = await self._commit_kept(thread, batch)
        if not batch:
            return
        current, taken = await self._load(thread, batch)
        current.receives = receives
        try:
            await self._settle_before(current)
            await self._work(current, batch)
        finally:
            self._room.give(taken)

    async def _settle_before(self, current: Slice) -> None:
        """What is owed goes on record while its messages are still queued, if it can: a crash after their commit would leave nothing of it."""
        thread, attempts = current.thread.id, self._services.attempts
        if attempts.owed(thread):
            count = await optional_async("an attempt", thread, attempts.settle(thread))
            if count is not None:
                current.thread.attempted(count)

    async def _load(self, thread: str, batch: Sequence[Message]) -> tuple[Slice, int]:
        """The slice, and the room that was taken for it. While it waits for room it holds no state."""
        current = await load(self._services, self._hot, thread, batch)
        size = cost(current.thread.live_bytes())
        if self._room.take_now(size):
            return current, size
        del current
        await self._room.take(size)
        try:
            return await load(self._services, self._hot, thread, batch), size
        except BaseException:
            self._room.give(size)
            raise

    async def _work(self, current: Slice, batch: Sequence[Message]) -> None:
        thread = current.thread.id
        self.running[thread] = current
        # An interrupt that came during the load could not reach the slice; its message is here by now.
        await self._prepare(current, [*batch, *self._more(thread)])
        await self._rounds(current)
        while current.signal is not None:
            # The interrupt's or stop's own message is queued by now: it belongs to this slice.
            current.signal = None
            await self._prepare(current, self._more(thread))
            await self._rounds(current)
        if current.out_of_time:
            postpone(current)
        if compaction.is_summariser(current) and current.thread.status == "idle":
            compaction.finish(current, None)
        await self._commit(current)

    async def _commit(self, current: Slice) -> None:
        bought = current.bought
        committed = await commit(current)
        self._hot.keep(current.thread)
        self._services.mailbox.give_back(current.left)
        if committed is not None:
            self.follow(committed)
        if bought and current.model is not None and self._services.probes.succeeded(current.model):
            about = self._services.probes.passed(current.model, current.asks)
            await optional_async("waking who waited for the model", current.thread.id, about)

    async def _commit_kept(self, thread: str, batch: Sequence[Message]) -> Sequence[Message]:
        """Commit the turn that the store could not take before; what of the batch is left to do."""
        current = self._kept.take(thread)
        if current is None:
            return batch
        self.running[thread] = current
        current.left = []  # They are in the batch again.
        await self._commit(current)
        return [message for message in batch if not current.thread.seen(message.id)]

    async def _rounds(self, current: Slice) -> None:
        while current.ready and await self._another_round(current):
            turn = await complete(current)
            if compaction.is_summariser(current):
                compaction.finish(current, turn)
                return
            if turn is None:
                return
            await dispatch(current, turn)
            compaction.consider(current)
            if current.full:
                current.last()
            if current.ready:
                await self._prepare(current, self._more(current.thread.id))

    async def _prepare(self, current: Slice, batch: Sequence[Message]) -> None:
        await consult(current, batch, self._outbox)
        prepare(current, batch)

    async def _another_round(self, current: Slice) -> bool:
        limit = current.limits.rounds
        if current.rounds >= limit:
            current.thread.set_pending(False)
            current.problem(
                "limit",
                f"the agent made {limit} completions in a row (limits.rounds); send a message or resume to go on",
            )
            return False
        current.rounds += 1
        current.live("slice", {"state": "started", "round": current.rounds})
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
            timers = [(timer_id, due_at) for timer_id, due_at, _, _ in change.timers]
            self._alarm.arm(change.thread, timers, change.timers_cancelled)
            self._services.observer.committed(change)

    def failures(self, thread: str) -> int:
        """How often its slices have failed in a row."""
        return self.failing[thread].times if thread in self.failing else 0
