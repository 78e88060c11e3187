"""The local store: tickets of the core's journal become awaitables.

``local/assembly.py`` opens it; the runtime knows it as ``abc.Store``, which documents its methods. The
core does not know of asyncio and calls nobody: it signals a descriptor (``wakeup``), and ``_collect``
takes what has finished. Nothing here may wait for the journal in the event loop, and nothing may drop
an outcome that carries messages.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec

from infinity._core import Call, CoreError, Delta, Journal, Message, Snapshot
from infinity.abc import (
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
    LogRow,
    OutboxRow,
    PromptRow,
    Status,
    ThreadRow,
    TimerRow,
    Tombstone,
    UsageRow,
    read_call,
)
from infinity.errors import Stopped, StoreError, from_core
from infinity.stores.sqlite.wakeup import Wakeup
from infinity.supervision import in_thread

__all__ = ["JournalStore"]

log = logging.getLogger("infinity.store")

WEEK = 7 * 24 * 3_600_000
"""For how long the log of commits is kept, unless a host says otherwise: in ms."""


RIDE = 0.02
"""Seconds that a write which nobody waits for may be kept back."""


class JournalStore:
    """Implements ``abc.Store`` over a ``Journal``.

    Every method submits at once and waits for the journal's threads; nothing polls. Writes of one turn of
    the event loop are handed over together at its end: they share one flush.

    A caller that stops waiting (is cancelled) takes nothing back: what was submitted still happens, and
    its outcome goes to nobody else. Messages that became durable that way would rest in their inbox
    until the next start; ``orphaned`` gets them instead.
    """

    def __init__(self, journal: Journal, wakeup: Wakeup, *, gathers: bool = True) -> None:
        """Take an open journal.

        Args:
            journal: open; it is closed by ``close``.
            wakeup: watches the ``Wake`` that the journal was opened with. The store registers here,
                before anybody who is told of what it finished.
            gathers: ``False`` hands over each write by itself, for those who turn no event loop.
        """
        self._journal = journal
        self._pending: dict[int, tuple[asyncio.Future[Any], bool]] = {}
        self._closing = False
        self._handing_over: asyncio.AbstractEventLoop | None = None
        """Whose turn will hand over what was submitted."""
        self._gathered = 0
        """Writes that are not handed over. What is submitted and adds nothing to them is a read."""
        self._riding: asyncio.TimerHandle | None = None
        """Hands over what rides, if no other write does it sooner."""
        if gathers:
            journal.gather()
        self.events_kept: int | None = WEEK
        self.ownership = None
        """The lock of the home is enough."""
        # Gets messages that became durable for a caller who has gone; the runtime puts them into mailboxes.
        self.orphaned: Callable[[Sequence[Message]], None] = lambda _: None
        wakeup.on_signal(self._collect)

    async def examine(self) -> tuple[list[str], dict[str, Any] | None]:
        """Read everything in the journal, beside all other work.

        Returns:
            What is wrong with it, for people, empty if nothing is; and its last repair (``at``,
            ``damaged``, ``lost``), if there was one.
        """
        found: dict[str, Any] = msgspec.json.decode(await self._outcome(self._journal.examine))
        return [str(problem) for problem in found["problems"]], found["repaired"]

    # -- writes

    async def accept(
        self, message: Message, expect: Expect = Expect.ANY, call_id: str | None = None
    ) -> Accepted:
        return _accepted(await self._messages(self._journal.accept, message, expect.value, call_id))

    async def commit(self, delta: Delta) -> list[Message]:
        kept = WEEK if self.events_kept is None else self.events_kept
        return cast("list[Message]", await self._messages(self._journal.commit, delta, kept))

    async def record_attempt(
        self, thread: str, code: str, at: int, *, tokens: int = 0, microdollars: int = 0
    ) -> int:
        value = await self._outcome(self._journal.record_attempt, thread, code, at, tokens, microdollars)
        return cast("int", value)

    async def begin(self, now: int) -> int:
        return cast("int", await self._outcome(self._journal.begin, now))

    async def fire_timers(self, now: int) -> list[Message]:
        return cast("list[Message]", await self._messages(self._journal.fire_timers, now))

    async def outbox_done(
        self, key: str, sent_call: str | None = None, failure: Message | None = None, at: int = 0
    ) -> Accepted | None:
        if failure is None:
            # The tool's answer usually follows, and takes it along. After a crash before that, the row leaves
            # again under its key (I5).
            value = await self._submit(self._journal.outbox_done, (key, sent_call, None, at), rides=True)
        else:
            value = await self._messages(self._journal.outbox_done, key, sent_call, failure, at)
        return None if value is None else _accepted(value)

    async def outbox_retry(self, key: str, due_at: int, trouble: str = "") -> None:
        await self._outcome(self._journal.outbox_retry, key, due_at, trouble)

    async def put_view(self, thread: str, view_type: str, content: bytes) -> bool:
        return cast("bool", await self._outcome(self._journal.put_view, thread, view_type, content))

    async def put_meta(self, key: str, value: bytes) -> None:
        await self._outcome(self._journal.put_meta, key, value)

    async def retire_tree(self, root: str, note: str, mark: bytes | None = None) -> None:
        await self._outcome(self._journal.retire_tree, root, note, mark)

    async def unretire_tree(self, root: str, mark: bytes | None = None) -> None:
        await self._outcome(self._journal.unretire_tree, root, mark)

    async def delete_tree(self, root: str) -> int:
        threads = cast("int", await self._outcome(self._journal.delete_tree, root))
        try:
            await self._outcome(self._journal.compact, True)
        except StoreError as error:
            # The tree is gone; its space is given back with the next one's.
            log.warning("the journal is not compacted: %s", error)
        return threads

    async def mark_deleted(self, root: str, at: int) -> Condemned:
        return Condemned(*await self._outcome(self._journal.mark_deleted, root, at))

    async def erase(self, root: str) -> bool:
        return cast("bool", await self._outcome(self._journal.erase, root))

    async def compact(self) -> None:
        await self._outcome(self._journal.compact)

    async def import_tree(
        self, path: str, *, expected: str | None = None, resting: str | None = None
    ) -> Imported:
        return Imported(**await self._messages(self._journal.import_tree, path, expected, resting))

    # -- reads

    async def export_tree(self, root: str, path: str) -> int:
        return cast("int", await self._outcome(self._journal.export_tree, root, path))

    async def tombstone(self, thread_id: str) -> Tombstone | None:
        row = await self._outcome(self._journal.tombstone, thread_id)
        return None if row is None else Tombstone(*row)

    async def deletions(self) -> list[str]:
        return cast("list[str]", await self._outcome(self._journal.deletions))

    async def closed_roots(self, limit: int = 100) -> list[tuple[str, int]]:
        return cast("list[tuple[str, int]]", await self._outcome(self._journal.closed_roots, limit))

    async def retired(self, root: str) -> str | None:
        return cast("str | None", await self._outcome(self._journal.retired, root))

    async def generation(self, root: str) -> Generation:
        return Generation(*await self._outcome(self._journal.generation, root))

    async def out_of_service(self, roots: Sequence[str]) -> dict[str, str]:
        return dict(await self._outcome(self._journal.out_of_service, list(roots)))

    async def load(
        self, thread: str, known_version: int = -1, message_ids: Sequence[str] = ()
    ) -> Snapshot | None:
        value = await self._outcome(self._journal.load, thread, known_version, list(message_ids))
        return cast("Snapshot | None", value)

    async def next_timer(self) -> int | None:
        return cast("int | None", await self._outcome(self._journal.next_timer))

    async def outbox(self, after: str = "") -> list[OutboxRow]:
        return [OutboxRow(*row) for row in await self._outcome(self._journal.outbox, after)]

    async def deliveries(self, after: tuple[int, str] | None = None, limit: int = 100) -> list[OutboxRow]:
        return [OutboxRow(*row) for row in await self._outcome(self._journal.deliveries, after, limit)]

    async def inbox(self, after: int = 0) -> list[Message]:
        return cast("list[Message]", await self._outcome(self._journal.inbox, after))

    async def thread(self, thread_id: str) -> ThreadRow | None:
        row = await self._outcome(self._journal.thread, thread_id)
        return None if row is None else ThreadRow(*row)

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
        rows = await self._outcome(self._journal.threads, root, parent, status, after, limit, troubled)
        return [ThreadRow(*row) for row in rows]

    async def open_children(self, thread: str) -> int:
        return cast("int", await self._outcome(self._journal.open_children, thread))

    async def living(self, root: str) -> int:
        return cast("int", await self._outcome(self._journal.living, root))

    async def entries(self, thread: str, after: int = -1, limit: int = 1000) -> list[tuple[int, bytes]]:
        value = await self._outcome(self._journal.entries, thread, after, limit)
        return cast("list[tuple[int, bytes]]", value)

    async def feed(self, thread: str, after: int = -1, limit: int = 1000) -> list[FeedRow]:
        return [FeedRow(*row) for row in await self._outcome(self._journal.feed, thread, after, limit)]

    async def log(self, after: int = 0, limit: int = 1000) -> Log:
        oldest, newest, rows = await self._outcome(self._journal.log, after, limit)
        return Log(oldest, newest, [LogRow(*row) for row in rows])

    async def calls(self, thread: str, open_only: bool = True) -> list[tuple[Call, str]]:
        rows = await self._outcome(self._journal.calls, thread, open_only)
        return [(read_call(record), state) for record, state in rows]

    async def find_call(self, call_id: str) -> tuple[Call, str] | None:
        row = await self._outcome(self._journal.find_call, call_id)
        return None if row is None else (read_call(row[0]), row[1])

    async def call_rows(
        self, thread: str, *, call: str | None = None, after: int = -1, limit: int = 100
    ) -> list[CallRow]:
        rows = await self._outcome(self._journal.call_rows, thread, call, after, limit)
        return [CallRow(number, read_call(record), *rest) for number, record, *rest in rows]

    async def prompts(self, thread: str | None = None, *, root: str | None = None) -> list[PromptRow]:
        return [PromptRow(*row) for row in await self._outcome(self._journal.prompts, thread, root)]

    async def attention(
        self, *, root: str | None = None, after: tuple[int, str, str] | None = None, limit: int = 100
    ) -> list[AttentionRow]:
        rows = await self._outcome(self._journal.attention, root, after, limit)
        return [AttentionRow(*row) for row in rows]

    async def timers(self, thread: str | None = None) -> list[TimerRow]:
        return [TimerRow(*row) for row in await self._outcome(self._journal.timers, thread)]

    async def due_timers(self, after: tuple[int, str, str] | None = None, limit: int = 100) -> list[TimerRow]:
        return [TimerRow(*row) for row in await self._outcome(self._journal.due_timers, after, limit)]

    async def views(self, thread: str) -> list[tuple[str, bytes]]:
        return cast("list[tuple[str, bytes]]", await self._outcome(self._journal.views, thread))

    async def discards(self, thread: str) -> list[tuple[str, str, int]]:
        return cast("list[tuple[str, str, int]]", await self._outcome(self._journal.discards, thread))

    async def all_discards(self, before: int | None = None, limit: int = 100) -> list[DiscardRow]:
        place = (1 << 62) if before is None else before
        return [DiscardRow(*row) for row in await self._outcome(self._journal.all_discards, place, limit)]

    async def meta(self, key: str) -> bytes | None:
        return cast("bytes | None", await self._outcome(self._journal.meta, key))

    async def spent(self, root: str) -> tuple[int, int]:
        return cast("tuple[int, int]", await self._outcome(self._journal.spent, root))

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
        rows = await self._outcome(self._journal.usage, since, until, list(by), root, after, limit)
        return [UsageRow(*row) for row in rows]

    async def counts(self) -> dict[str, int]:
        return cast("dict[str, int]", await self._outcome(self._journal.counts))

    async def close(self) -> None:
        """Finish what was submitted, then release the file. Later calls raise ``Stopped``."""
        if self._closing:
            return
        # Nothing new is submitted from here on, so that closing comes to an end.
        self._closing = True
        # In a thread of its own: the journal writes its queue out and checkpoints before it returns.
        await in_thread(self._journal.close)
        self._collect()
        # The journal is closed: what has no outcome by now was never begun.
        for future, _ in self._pending.values():
            if not future.done():
                future.set_exception(
                    Stopped("the store was closed before this was done; it has not happened")
                )
        self._pending.clear()

    # -- tickets

    async def _outcome(self, submit: Callable[..., int], *arguments: object) -> Any:
        return await self._submit(submit, arguments)

    async def _messages(self, submit: Callable[..., int], *arguments: object) -> Any:
        """For what may put messages into inboxes: they reach a mailbox even when the caller is gone (I7)."""
        future = self._submit(submit, arguments, carries_messages=True)
        try:
            return await future
        except asyncio.CancelledError:
            # Cancelled in the same turn of the loop in which the outcome came.
            if not future.cancelled() and future.exception() is None:
                # Its messages are in the inbox and must be in a mailbox as well, or they rest until the next
                # start.
                self._left_behind(future.result())
            raise

    def _submit(
        self,
        submit: Callable[..., int],
        arguments: tuple[object, ...],
        *,
        carries_messages: bool = False,
        rides: bool = False,
    ) -> asyncio.Future[Any]:
        """``rides``: a write that waits ``RIDE`` seconds at most for another one, to share its flush."""
        if self._closing:
            raise Stopped("the store is closed; start the daemon again")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        try:
            ticket = submit(*arguments)
        except CoreError as error:
            raise from_core(error) from None
        if self._handing_over is not loop and (gathered := self._journal.gathered()) > self._gathered:
            self._gathered = gathered
            if not rides:
                self._handing_over = loop
                loop.call_soon(self._hand_over)
            elif self._riding is None:
                self._riding = loop.call_later(RIDE, self._hand_over)
        # No outcome can come before this line: outcomes are collected in this event loop.
        self._pending[ticket] = future, carries_messages
        return future

    def _hand_over(self) -> None:
        self._handing_over, self._gathered = None, 0
        if self._riding is not None:
            self._riding.cancel()
            self._riding = None
        self._journal.hand_over()

    def _collect(self) -> None:
        # All of them, anyone who still waits: the descriptor does not signal them again.
        for ticket, value, error in self._journal.finished():
            future, carries_messages = self._pending.pop(ticket)
            # Its caller has gone.
            if future.done():
                if error is None and carries_messages:
                    self._left_behind(value)
            elif error is None:
                future.set_result(value)
            else:
                future.set_exception(from_core(error))

    def _left_behind(self, value: Any) -> None:
        # An import answers with a dict, an acceptance with a tuple, others with a list.
        found = value["messages"] if isinstance(value, dict) else value or ()
        messages = [item for item in found if isinstance(item, Message)]
        if messages:
            self.orphaned(messages)


def _accepted(value: tuple[str, Message | None]) -> Accepted:
    status, message = value
    return Accepted(Status(status), message)
