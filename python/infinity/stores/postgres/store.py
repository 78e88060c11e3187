"""The store: every operation one transaction, tried again as a whole (I6).

This is the face of the package; ``abc.Store`` documents its methods. The work of each is a function of
another module that gets a connection. A write runs in a task of its own and happens whether or not its
caller waits; a commit whose connection broke is told from one that failed by its stamp.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from infinity._core import Call, Delta, Message, Snapshot
from infinity.abc import (
    INCOMPLETE,
    Accepted,
    AttentionRow,
    CallRow,
    Condemned,
    DiscardRow,
    Expect,
    FeedRow,
    Generation,
    Imported,
    Log,
    OutboxRow,
    PromptRow,
    Status,
    ThreadRow,
    TimerRow,
    Tombstone,
    UsageRow,
)
from infinity.errors import ConfigError, Conflict, Stopped, StoreError
from infinity.supervision import shared

from . import (
    attempts,
    attention,
    deletion,
    facts,
    generations,
    inbox,
    outbox,
    portable,
    queues,
    records,
    state,
    timers,
    trees,
    usage,
)
from .commit import Notification, check_delta, commit, family
from .connections import Connection
from .log import CommitLog, forget
from .ownership import Ownership
from .transactions import Transactions

__all__ = ["PostgresStore"]

T = TypeVar("T")

log = logging.getLogger("infinity.store")

_UNHEARD = 256
"""Changes that are remembered after their commit failed, the latest ones."""
_ROWS_AT_ONCE = 2_500
"""Of what may be any number of rows: fewer than a transaction of DSQL may change."""


class PostgresStore:
    """Implements ``abc.Store`` over ``Transactions``.

    Several processes may use one database: commits are fenced by the thread's version (I1). Mailboxes
    in memory need one process, whose runtime has ``sole_writer=False`` if others commit as well.

    A caller that stops waiting (is cancelled) takes nothing back: what it submitted still happens.
    Messages that became durable that way would rest in their inbox until the next start; ``orphaned``
    gets them instead.
    """

    def __init__(self, transactions: Transactions, ownership: Ownership | None = None) -> None:
        """Take the parts; the tables have been looked at.

        Args:
            transactions: of the database; closed by ``close``.
            ownership: of the one process that may write and take, if there is such (R12); it ends with
                the store.
        """
        self._transactions = transactions
        self.ownership = ownership
        self.events_kept: int | None = None
        self._log = CommitLog()
        self._platform = transactions.platform
        self._writing: set[asyncio.Task[Any]] = set()
        self._closing = False
        self._begun = False
        self._unheard: dict[str, tuple[Delta, str]] = {}
        """Changes whose commit failed, with their stamps."""
        # Gets messages that became durable for a caller who has gone; the runtime puts them into mailboxes.
        self.orphaned: Callable[[Sequence[Message]], None] = lambda _: None

    # -- writes

    async def accept(
        self, message: Message, expect: Expect = Expect.ANY, call_id: str | None = None
    ) -> Accepted:
        self._check_size(f"message {message.id}", message.body)

        async def work(connection: Connection, uncertain: bool) -> Accepted:
            return await inbox.accept(connection, message, expect, call_id, uncertain, keep_row)

        keep_row = self._platform.keep_row
        accepted = await self._write(work, _accepted_one)
        # Where rows cannot be kept from being deleted, a deletion may have passed in between.
        if accepted.message is not None and not keep_row and await self._taken_back(message):
            return Accepted(Status.DELETED)
        return accepted

    async def _taken_back(self, message: Message) -> bool:
        """Whether the thread was deleted meanwhile.

        Where that cannot be looked up any more, the message is accepted: nothing says otherwise of what
        has happened.
        """
        try:
            return await self._change(inbox.take_back, message)
        except (StoreError, Stopped):
            return False

    async def commit(self, delta: Delta) -> list[Message]:
        check_delta(self._platform, delta, blobs=self._transactions.blobs is not None)
        # A kept turn comes again as the very same change: its earlier try may have become durable unheard,
        # and says so by its stamp.
        before, stamp = self._unheard.pop(delta.thread, (None, ""))
        again = before is delta
        stamp = stamp if again else secrets.token_hex(8)
        notifications = self._notifications(delta)
        record, numbers = await self._recording(delta)

        async def work(connection: Connection, uncertain: bool) -> list[Message]:
            return await commit(connection, delta, stamp, uncertain or again, notifications, record)

        try:
            messages = await self._write(work, list, lambda: self._log.ended(numbers))
        except Conflict:
            # This one is certain: nothing was written, and the slice is made anew from a fresh load.
            raise
        except (StoreError, ConfigError):
            # It may have become durable all the same. The engine offers the same delta again; its stamp then
            # tells.
            self._unheard[delta.thread] = delta, stamp
            # The oldest go first: a dict keeps the order in which its keys came.
            while len(self._unheard) > _UNHEARD:
                del self._unheard[next(iter(self._unheard))]
            raise
        self._committed(notifications)
        return messages

    async def _recording(
        self, delta: Delta
    ) -> tuple[Callable[[Connection], Awaitable[None]] | None, list[int]]:
        """What writes a commit down in the log, if there is one, and where its numbers are found."""
        numbers: list[int] = []
        if self.events_kept is None:
            return None, numbers
        await self._log.begin(self._look)
        kept, threads = self.events_kept, list(family(delta))
        return partial(self._log.add, family=threads, kept=kept, numbers=numbers), numbers

    async def record_attempt(
        self, thread: str, code: str, at: int, *, tokens: int = 0, microdollars: int = 0
    ) -> int:
        async def work(connection: Connection, uncertain: bool) -> int:
            return await attempts.record(connection, uncertain, thread, code, at, (tokens, microdollars))

        return await self._write(work, lambda _: [])

    async def begin(self, now: int) -> int:
        # Page by page: any number of threads may have messages queued, and DSQL bounds a transaction.
        stamp, count, after = secrets.token_hex(8), 0, ""
        while True:

            async def work(connection: Connection, uncertain: bool, after: str = after) -> tuple[int, str]:
                return await attempts.begin(connection, uncertain, now, stamp, after)

            found, after = await self._write(work, lambda _: [])
            count += found
            if not after:
                self._begun = True
                return count

    async def fire_timers(self, now: int) -> list[Message]:
        tried: list[Message] = []

        async def work(connection: Connection, uncertain: bool) -> list[Message]:
            return await timers.fire(connection, now, tried, uncertain)

        return await self._write(work, list)

    async def outbox_done(
        self, key: str, sent_call: str | None = None, failure: Message | None = None, at: int = 0
    ) -> Accepted | None:
        async def work(connection: Connection, uncertain: bool) -> Accepted | None:
            return await outbox.done(connection, key, sent_call, failure, at, uncertain)

        return await self._write(work, _accepted_one)

    async def outbox_retry(self, key: str, due_at: int, trouble: str = "") -> None:
        await self._change(outbox.retry, key, due_at, trouble)

    async def put_view(self, thread: str, view_type: str, content: bytes) -> bool:
        self._check_size(f"view {view_type} of thread {thread}", content)
        return await self._change(facts.put_view, thread, view_type, content)

    async def put_meta(self, key: str, value: bytes) -> None:
        self._check_size(f"the setting {key}", value)
        await self._change(facts.put_meta, key, value)

    # -- reads

    async def load(
        self, thread: str, known_version: int = -1, message_ids: Sequence[str] = ()
    ) -> Snapshot | None:
        return await self._see(state.load, thread, known_version, message_ids)

    async def next_timer(self) -> int | None:
        return await self._look(timers.next_due)

    async def outbox(self, after: str = "") -> list[OutboxRow]:
        return await self._take(queues.outbox, after)

    async def deliveries(self, after: tuple[int, str] | None = None, limit: int = 100) -> list[OutboxRow]:
        return await self._look(queues.deliveries, after, limit)

    async def inbox(self, after: int = 0) -> list[Message]:
        return await self._take(queues.inbox, after)

    async def thread(self, thread_id: str) -> ThreadRow | None:
        return await self._look(records.thread, thread_id)

    async def threads(
        self,
        *,
        root: str | None = None,
        parent: str | None = None,
        status: str | None = None,
        after: str = "",
        limit: int = 100,
        troubled: bool = False,
    ) -> list[ThreadRow]:
        read = partial(records.threads, root=root, parent=parent, status=status, troubled=troubled)
        return await self._look(read, after, limit)

    async def open_children(self, thread: str) -> int:
        return await self._look(records.open_children, thread)

    async def living(self, root: str) -> int:
        return await self._look(records.living, root)

    async def entries(self, thread: str, after: int = -1, limit: int = 1000) -> list[tuple[int, bytes]]:
        return await self._look(records.entries, thread, after, limit)

    async def feed(self, thread: str, after: int = -1, limit: int = 1000) -> list[FeedRow]:
        return await self._see(records.feed, thread, after, limit)

    async def log(self, after: int = 0, limit: int = 1000) -> Log:
        if self.events_kept is None:
            return Log(0, 0, [])
        await self._log.begin(self._look)
        return await self._see(self._log.page, after, limit, self._log.whole)

    async def calls(self, thread: str, open_only: bool = True) -> list[tuple[Call, str]]:
        return await self._look(records.calls, thread, open_only)

    async def find_call(self, call_id: str) -> tuple[Call, str] | None:
        return await self._look(records.find_call, call_id)

    async def call_rows(
        self, thread: str, *, call: str | None = None, after: int = -1, limit: int = 100
    ) -> list[CallRow]:
        return await self._look(records.call_rows, thread, call, after, limit)

    async def prompts(self, thread: str | None = None, *, root: str | None = None) -> list[PromptRow]:
        return await self._look(queues.prompts, thread, root)

    async def attention(
        self, *, root: str | None = None, after: tuple[int, str, str] | None = None, limit: int = 100
    ) -> list[AttentionRow]:
        return await self._look(attention.page, root, after, limit)

    async def timers(self, thread: str | None = None) -> list[TimerRow]:
        return await self._look(queues.timers, thread)

    async def due_timers(self, after: tuple[int, str, str] | None = None, limit: int = 100) -> list[TimerRow]:
        return await self._look(queues.due_timers, after, limit)

    async def views(self, thread: str) -> list[tuple[str, bytes]]:
        return await self._look(facts.views, thread)

    async def discards(self, thread: str) -> list[tuple[str, str, int]]:
        return await self._look(facts.discards, thread)

    async def all_discards(self, before: int | None = None, limit: int = 100) -> list[DiscardRow]:
        return await self._look(facts.all_discards, before, limit)

    async def meta(self, key: str) -> bytes | None:
        return await self._look(facts.meta, key)

    async def spent(self, root: str) -> tuple[int, int]:
        return await self._look(facts.spent, root)

    async def usage(
        self,
        *,
        since: int,
        until: int,
        by: Sequence[str],
        root: str | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> list[UsageRow]:
        return await self._look(usage.page, since, until, by, root, after, limit)

    async def counts(self) -> dict[str, int]:
        return await self._look(facts.counts)

    # -- whole trees

    async def retired(self, root: str) -> str | None:
        return await self._look(trees.retired, root)

    async def out_of_service(self, roots: Sequence[str]) -> dict[str, str]:
        return await self._look(trees.out_of_service, roots)

    async def generation(self, root: str) -> Generation:
        return await self._look(generations.generation, root)

    async def retire_tree(self, root: str, note: str, mark: bytes | None = None) -> None:
        await self._change(trees.retire, root, note, mark)
        await self._meet_commits(root)

    async def _meet_commits(self, root: str) -> None:
        # Whatever began before and did not see it: of this process it is waited for, of others every commit
        # is met.
        if writing := set(self._writing):
            await asyncio.wait(writing)
        threads = await self._look(trees.members, root)
        for start in range(0, len(threads), _ROWS_AT_ONCE):
            await self._change(trees.touch, threads[start : start + _ROWS_AT_ONCE])

    async def unretire_tree(self, root: str, mark: bytes | None = None) -> None:
        await self._change(trees.unretire, root, mark)

    async def delete_tree(self, root: str) -> int:
        """In several transactions, for any number of rows: out of service first, and to be called again if
        it was broken off.
        """
        threads = await self._look(trees.members, root)
        if not threads:
            return 0
        if await self.retired(root) != INCOMPLETE:
            await self.retire_tree(root, "it is being deleted; delete it again if that was broken off")
        await self._leave_the_log(root)
        # The threads go last: by them a deletion that was broken off finds the other rows again.
        for table in trees.TABLES:
            while await self._change(trees.remove_some, root, table, _ROWS_AT_ONCE):
                pass
        while await self._change(trees.remove_root, root, _ROWS_AT_ONCE):
            pass
        return len(threads)

    async def mark_deleted(self, root: str, at: int) -> Condemned:
        await self._change(deletion.condemn, root, at)
        await self._meet_commits(root)
        await self._leave_the_log(root)
        return await self._see(deletion.condemned, root)

    async def _leave_the_log(self, root: str) -> None:
        """Where there is one: the roles of the cloud host's functions may not touch its table."""
        if self.events_kept is not None:
            await self._change(forget, root)

    async def erase(self, root: str) -> bool:
        if root not in await self._look(deletion.under_way):
            return False
        # While they are known to belong to the tree: nobody must send or fire what is of a thread that is
        # gone.
        for table in ("outbox", "timers", "inbox"):
            if await self._change(trees.remove_some, root, table, _ROWS_AT_ONCE):
                return True
        if await self._change(usage.fold, root, _ROWS_AT_ONCE // 2):
            return True
        if await self._change(deletion.bury, root, _ROWS_AT_ONCE // 2):
            return True
        for table in trees.TABLES:
            if await self._change(deletion.erase_some, root, table, _ROWS_AT_ONCE):
                return True
        await self._change(deletion.settle, root)
        return False

    async def compact(self) -> None:
        """The server gives space back by itself (autovacuum); what its log and backups hold is in its
        operator's hands.
        """

    async def deletions(self) -> list[str]:
        return await self._look(deletion.under_way)

    async def tombstone(self, thread_id: str) -> Tombstone | None:
        return await self._look(deletion.tombstone, thread_id)

    async def closed_roots(self, limit: int = 100) -> list[tuple[str, int]]:
        return await self._look(deletion.closed_roots, limit)

    async def export_tree(self, root: str, path: str) -> int:
        return await portable.export_tree(self._transactions, root, path)

    async def import_tree(
        self, path: str, *, expected: str | None = None, resting: str | None = None
    ) -> Imported:
        arrival = portable.Arrival(path, expected, resting)
        return await portable.import_tree(self._transactions, arrival, self.delete_tree)

    async def close(self) -> None:
        """Finish what was submitted, then hang up. Later calls raise ``Stopped``."""
        if self._closing:
            return
        self._closing = True
        while self._writing:
            await asyncio.wait(self._writing)
        if not self._begun and self.ownership is None:
            await self._transactions.close()
            return
        try:
            await self._transactions.write(self._end)
        except StoreError as error:
            # The next start takes it for a crash, which costs an attempt and loses nothing.
            log.warning("the orderly end could not be recorded: %s", error)
        finally:
            await self._transactions.close()
            if self.ownership is not None:
                await self.ownership.release()

    async def _end(self, connection: Connection, _: bool) -> None:
        if self._begun:
            await attempts.end(connection)
        if self.ownership is not None:
            await self.ownership.end(connection)

    # -- what stores built on this one add

    def _notifications(self, delta: Delta) -> Sequence[Notification]:
        """Rows for an output queue, written with the commit."""
        return ()

    def _committed(self, notifications: Sequence[Notification]) -> None:
        """What a commit wrote for the output queue."""

    def _check_size(self, what: str, value: bytes) -> None:
        if self._transactions.blobs is None:
            inbox.check_size(self._platform, what, value)

    # -- transactions

    async def _look(self, read: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """One statement."""
        self._check_open()
        return await self._transactions.look(lambda connection, _: read(connection, *arguments))

    async def _see(self, read: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """Several, of one moment."""
        self._check_open()
        return await self._transactions.picture(lambda connection, _: read(connection, *arguments))

    async def _take(self, read: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """A look at what the owner sends or runs: nobody else is shown any of it."""
        # Compared within the same picture: an owner that has lost the database is shown nothing to send
        # (R12).
        ownership = self.ownership
        if ownership is None:
            return await self._look(read, *arguments)

        async def take(connection: Connection, *arguments: object) -> T:
            await ownership.epoch.compare(connection)
            return await read(connection, *arguments)

        return await self._see(take, *arguments)

    async def _change(self, work: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """Puts no message anywhere, and does no harm if it happens twice."""
        return await self._write(lambda connection, _: work(connection, *arguments), lambda _: [])

    async def _write(
        self,
        work: Callable[[Connection, bool], Awaitable[T]],
        messages: Callable[[Any], list[Message]],
        ended: Callable[[], None] = lambda: None,
    ) -> T:
        """In a task of its own, so that it happens whether or not the caller waits for it; ``messages``
        are those of its outcome; ``ended`` is called when it is known.
        """
        self._check_open()
        task = shared(self._transactions.write(work), "transaction")
        # Retiring a tree and closing the store wait for what is under way here.
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        task.add_done_callback(lambda _: ended())
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(lambda task: self._left_behind(task, messages))
            raise

    def _left_behind(self, task: asyncio.Task[Any], messages: Callable[[Any], list[Message]]) -> None:
        if not task.cancelled() and task.exception() is None and (found := messages(task.result())):
            self.orphaned(found)

    def _check_open(self) -> None:
        if self._closing:
            raise Stopped("the store is closed; start the daemon again")


def _accepted_one(accepted: Accepted | None) -> list[Message]:
    return [] if accepted is None or accepted.message is None else [accepted.message]
