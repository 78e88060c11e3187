"""A store: the durable side of every invariant. SQLite here, PostgreSQL or DSQL elsewhere.

Whatever returns has happened durably; whatever raises a ``StoreError`` has not happened at all. The
runtime and the API of a host call it, always through this contract; the one contract test
(tests/contract) runs over every implementation. What must never be done: to take an error for an empty
result (I8), to write half a change (I6), or to send something from here (I5).

Texts and ids are ``str``, bodies and records ``bytes`` that the core or ``infinity.message`` made,
times ms since the epoch. Every method may raise ``StoreError``, and ``Stopped`` once the store is
closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from infinity._core import Call, Delta, Message, Snapshot

from .rows import (
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
    ThreadRow,
    TimerRow,
    Tombstone,
    UsageRow,
)


class Store(Protocol):
    """Where threads live. See the module for what holds of every method."""

    async def accept(
        self, message: Message, expect: Expect = Expect.ANY, call_id: str | None = None
    ) -> Accepted:
        """Append a message to its thread's inbox, once per id (I2, I3).

        With ``Expect.EVENT``, events of a call that is still open are taken up to 100 and 1 MiB; beyond
        that the answer is ``full`` (SUB-9). ``duplicate`` is only said of a repeat of what was
        accepted: the result of a call that failed before is ``not_pending``, and recorded (CB-9).

        Args:
            message: with the time of its acceptance; its ``seq`` is given here.
            expect: what must be there; checked in the transaction that appends.
            call_id: the call that ``Expect.CALL`` and ``Expect.EVENT`` are about.

        Returns:
            A status. Only after ``accepted`` may the sender hear 200 (L1), and the message go into a
            mailbox.

        Raises:
            RuleBroken: ``expect`` needs a ``call_id`` and has none.
            LimitReached: the body is larger than one column of the server takes.
        """
        ...

    async def load(
        self, thread: str, known_version: int = -1, message_ids: Sequence[str] = ()
    ) -> Snapshot | None:
        """A thread's records, as they are at one moment.

        Args:
            thread: its id.
            known_version: the version that the caller has in memory; -1: none.
            message_ids: ids of the messages that the slice is about to apply; the snapshot says which
                of them the thread has consumed already.

        Returns:
            ``None`` if the stored version is still ``known_version`` and no failed attempt is on
            record.

        Raises:
            UnknownThread: there is no such thread.
            ThreadDeleted: there was one.
            DamagedStore: a record that the header speaks of is missing or unreadable (I8).
        """
        ...

    async def commit(self, delta: Delta) -> list[Message]:
        """Write all that one slice changed, or none of it (I6).

        Args:
            delta: of one thread, with its new children. A delta whose commit failed may be given again
                unchanged; if the earlier try had become durable all the same, that is noticed.

        Returns:
            The messages that it put into inboxes, also the events that it released
            (``Delta.released``). The caller puts them into mailboxes.

        Raises:
            Conflict: another commit came first (I1), or the thread's tree was retired (``retired``
                tells which).
            ThreadDeleted: it was deleted, or a new thread has the id of one that was.
            LimitReached: one transaction of the server cannot take so much (B15).
        """
        ...

    async def record_attempt(
        self, thread: str, code: str, at: int, *, tokens: int = 0, microdollars: int = 0
    ) -> int:
        """Put a failed attempt on record, in a small commit of its own that leaves the thread's version as
        it is (I12).

        Args:
            thread: its id.
            code: what failed, in one word.
            at: ms since the epoch.
            tokens: what the attempt used all the same; counted for the tree's ``spent``.
            microdollars: the same in millionths of a US dollar.

        Returns:
            How many are on record for the thread now, for ``Thread.attempted``.

        Raises:
            UnknownThread: there is no such thread.
            Conflict: the tree was retired.
            StoreError: nothing was recorded.
        """
        ...

    async def begin(self, now: int) -> int:
        """To be called once by a process that owns the store, before it reads the inbox (I12).

        If the last such process did not ``close`` the store, whatever is queued may be what ended it:
        every thread with queued messages gets an attempt of the code ``crashed``. Where the queue
        counts deliveries itself, this does nothing.

        Args:
            now: ms since the epoch.

        Returns:
            How many threads got an attempt.
        """
        ...

    async def fire_timers(self, now: int) -> list[Message]:
        """Turn due timers into messages; not those of retired trees.

        Args:
            now: ms since the epoch; timers due then or before fire.

        Returns:
            The messages, which are in inboxes already. A bounded number: call again until there are
            none.
        """
        ...

    async def next_timer(self) -> int | None:
        """When the earliest timer that can fire is due (ms since the epoch); ``None`` if none is set."""
        ...

    async def outbox_done(
        self, key: str, sent_call: str | None = None, failure: Message | None = None, at: int = 0
    ) -> Accepted | None:
        """The row has left; or, with ``failure``, it never will. The row is removed; how often it was tried
        is kept with the call that it invoked.

        Args:
            key: of the row; one that is gone already is not an error.
            sent_call: the call that it invoked, which is ``sent`` from now on.
            failure: a message that tells the row's thread, accepted in the same transaction (INV-7).
            at: when the last try was made, in ms since the epoch; 0: this ended without one.

        Returns:
            What became of ``failure``; ``None`` without one.
        """
        ...

    async def outbox_retry(self, key: str, due_at: int, trouble: str = "") -> None:
        """The row has not left: count a failed try.

        Args:
            key: of the row.
            due_at: ms since the epoch, before which it is not tried again.
            trouble: why the try failed, for people: a status and a name, never a body.
        """
        ...

    async def outbox(self, after: str = "") -> list[OutboxRow]:
        """What has not left yet, by key, a page at a time; not that of retired trees.

        Args:
            after: the key of the last row of the page before; empty: from the first.
        """
        ...

    async def deliveries(self, after: tuple[int, str] | None = None, limit: int = 100) -> list[OutboxRow]:
        """What ``outbox`` has, by the next try. For people: the queue is sorted for each page.

        Args:
            after: the ``place`` of the last row of the page before; ``None``: from the first.
            limit: the most rows.
        """
        ...

    async def inbox(self, after: int = 0) -> list[Message]:
        """What is queued, in order, a page at a time; not what retired trees have.

        For hosts whose mailboxes are in memory, when they start (L15).

        Args:
            after: ``seq`` of the last message of the page before.
        """
        ...

    async def put_view(self, thread: str, view_type: str, content: bytes) -> bool:
        """Keep the latest content of one view of a thread (VIEW-1).

        Args:
            thread: its id.
            view_type: which view; one is kept of each type.
            content: JSON, never interpreted.

        Returns:
            False if there is no such thread here, or its tree was retired.
        """
        ...

    async def thread(self, thread_id: str) -> ThreadRow | None:
        """One thread, ``None`` if there is none, or it is being deleted.

        Args:
            thread_id: its id.
        """
        ...

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
        """A page of threads, those with the newest ``updated_at`` first. Filters are combined.

        Args:
            root: threads of this tree only.
            parent: children of this thread only.
            status: threads with this status only.
            after: the ``cursor`` of the last row of the page before; empty: from the newest.
            limit: rows of the page.
            troubled: those alone that are not closed and rest with a problem, and those of which an
                earlier version did not say whether they do; by an index of their own, however many
                others there are.

        Raises:
            RuleBroken: ``after`` is not a cursor.
        """
        ...

    async def open_children(self, thread: str) -> int:
        """How many children of the thread are not closed, however many have been (G8).

        Args:
            thread: the id of the parent.
        """
        ...

    async def living(self, root: str) -> int:
        """How many threads below the root are not closed, however many have been (G8).

        Args:
            root: the id of the root thread, which is not counted.
        """
        ...

    async def entries(self, thread: str, after: int = -1, limit: int = 1000) -> list[tuple[int, bytes]]:
        """Entries of history that are the thread's own, oldest first; those it inherits are its
        ancestors'.

        Args:
            thread: its id.
            after: positions above this one; -1: from the first.
            limit: the most rows.

        Returns:
            Position and record, for ``abc.records.read_entry``.
        """
        ...

    async def feed(self, thread: str, after: int = -1, limit: int = 1000) -> list[FeedRow]:
        """Rows of the thread's durable event stream, oldest first.

        Args:
            thread: its id.
            after: positions above this one; -1: from the first.
            limit: the most rows.

        Raises:
            DamagedStore: a row speaks of an entry that is not there.
        """
        ...

    async def log(self, after: int = 0, limit: int = 1000) -> Log:
        """What commits have added to the streams of all threads, in the order of commits.

        For a host that is the only one at its store: a daemon. Rows older than it keeps them
        (``daemon.events_kept``) go with later commits; the newest always stays, so that no number is given
        twice. What threads brought from elsewhere is not in it, and of a tree that is deleted nothing is.
        A store that many processes share keeps none and answers with an empty one: an order of all commits
        would be one row that all of them wait for (decision 0008).

        Args:
            after: the ``seq`` behind which to begin.
            limit: the most rows. Fewer are all that there are up to ``newest``.
        """
        ...

    async def calls(self, thread: str, open_only: bool = True) -> list[tuple[Call, str]]:
        """Calls of a thread with their state, oldest first. The state may be ``sent`` here, which the core
        never says.

        Args:
            thread: its id.
            open_only: open calls and active subscriptions alone.
        """
        ...

    async def find_call(self, call_id: str) -> tuple[Call, str] | None:
        """One call of any thread with its state, as ``calls`` has it; ``None`` if there is none.

        Args:
            call_id: its id.
        """
        ...

    async def call_rows(
        self, thread: str, *, call: str | None = None, after: int = -1, limit: int = 100
    ) -> list[CallRow]:
        """What a thread's calls have been doing, oldest first.

        Args:
            thread: its id.
            call: this one alone.
            after: the ``number`` of the last row of the page before; -1: from the first.
            limit: the most rows.
        """
        ...

    async def prompts(self, thread: str | None = None, *, root: str | None = None) -> list[PromptRow]:
        """What is asked now.

        Args:
            thread: questions of this thread only.
            root: questions of the whole tree of this root.
        """
        ...

    async def attention(
        self, *, root: str | None = None, after: tuple[int, str, str] | None = None, limit: int = 100
    ) -> list[AttentionRow]:
        """Threads that need a person, those that have for longest first, by an index of their own.

        A row is there exactly while its thread asks something, or rests with a problem that only a person
        ends: the commit that begins it writes it, the one that ends it removes it. A move, a file and a
        repair keep it true.

        Args:
            root: threads of this tree only.
            after: the ``place`` of the last row of the page before; ``None``: from the first.
            limit: the most rows.
        """
        ...

    async def timers(self, thread: str | None = None) -> list[TimerRow]:
        """Timers that are set, the earliest first.

        Args:
            thread: of this thread only; ``None``: of all.
        """
        ...

    async def due_timers(self, after: tuple[int, str, str] | None = None, limit: int = 100) -> list[TimerRow]:
        """Timers of all threads, the earliest first, a page at a time.

        Args:
            after: the ``place`` of the last row of the page before; ``None``: from the first.
            limit: the most rows.
        """
        ...

    async def views(self, thread: str) -> list[tuple[str, bytes]]:
        """The type and latest content (JSON) of each view of a thread.

        Args:
            thread: its id.
        """
        ...

    async def discards(self, thread: str) -> list[tuple[str, str, int]]:
        """Messages that came to nothing: id, reason, and time (ms since the epoch); the newest 100.

        Args:
            thread: its id.
        """
        ...

    async def all_discards(self, before: int | None = None, limit: int = 100) -> list[DiscardRow]:
        """Messages of all threads that came to nothing, newest first.

        Args:
            before: the ``number`` of the last row of the page before; ``None``: from the newest.
            limit: the most rows.
        """
        ...

    async def meta(self, key: str) -> bytes | None:
        """A fact about the store or a tree that belongs to no thread's history; ``None`` if nothing is
        kept.

        Args:
            key: the name under which it was put.
        """
        ...

    async def put_meta(self, key: str, value: bytes) -> None:
        """Keep such a fact, in the place of an earlier one.

        Args:
            key: a name that the caller owns.
            value: any bytes.
        """
        ...

    async def spent(self, root: str) -> tuple[int, int]:
        """What all turns of a tree have used so far, failed attempts included.

        Args:
            root: the id of the root thread.

        Returns:
            Tokens (input, output, cache read and write together) and microdollars.
        """
        ...

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
        """What turns have used, written by the commits that recorded them. Failed attempts, and what an
        earlier version recorded, are in ``spent`` alone.

        It moves with a tree. What a thread has used that was deleted for good stays, and is nobody's.

        Args:
            since: the first day, since the Unix epoch (UTC).
            until: the last day.
            by: some of ``day``, ``model``, ``root``, ``thread``; none: one row, if there is anything.
            root: of this tree only.
            after: how many rows to leave out.
            limit: the most rows, in the order of ``day``, ``model``, ``root``, ``thread``.
        """
        ...

    async def counts(self) -> dict[str, int]:
        """Sizes of the store, by name: ``threads``, ``entries``, ``inbox``, ``outbox``, ``timers``,
        ``prompts`` and more.
        """
        ...

    # -- whole trees; `root` is the id of a tree's root thread

    async def retire_tree(self, root: str, note: str, mark: bytes | None = None) -> None:
        """Take a tree out of service.

        From then on ``accept`` answers ``moved`` and writes nothing, ``commit`` is a ``Conflict``, its
        timers do not fire, and its queued messages and outbox rows are not listed. All of it stays, to
        be read and exported.

        Args:
            root: the id of the root thread.
            note: why, and where it went; for people.
            mark: 8 random bytes, if it leaves to live elsewhere. That raises its generation by one,
                which an export of it carries; what rests here may be replaced by an import of the same
                tree that has this mark.

        Raises:
            UnknownThread: no thread is the root.
        """
        ...

    async def unretire_tree(self, root: str, mark: bytes | None = None) -> None:
        """Back into service, as it was: the end of a move that failed.

        The host takes up its inbox, outbox and timers again.

        Args:
            root: the id of the root thread.
            mark: 8 random bytes, if it had left. That raises its generation again: what has left is
                older from now on than what is here.
        """
        ...

    async def generation(self, root: str) -> Generation:
        """How often a tree has left. Known also after ``delete_tree``; of trees that never were here it is
        0.

        Args:
            root: the id of the root thread.
        """
        ...

    async def retired(self, root: str) -> str | None:
        """The note of a retired tree; ``None`` while the tree is in service.

        Args:
            root: the id of the root thread.
        """
        ...

    async def out_of_service(self, roots: Sequence[str]) -> dict[str, str]:
        """The notes of those trees among several that were retired, by root; trees in service are left
        out.

        Args:
            roots: ids of root threads.
        """
        ...

    async def delete_tree(self, root: str) -> int:
        """Remove all that there is of a tree, whether retired or not: the end of a move that succeeded.

        No tombstone stays: the tree lives elsewhere, or may come back, by an import that is not older
        than what was here. A file may hold remains of it until it is compacted.

        Args:
            root: the id of the root thread.

        Returns:
            The number of its threads, 0 if there were none.
        """
        ...

    async def mark_deleted(self, root: str, at: int) -> Condemned:
        """Delete a tree for good: the first step, and the one that counts.

        From then on ``accept`` answers ``deleted``, ``load`` and ``commit`` raise ``ThreadDeleted``,
        nothing lists its threads, and its timers, messages and outbox rows rest. Repeating it until the
        deletion is over is harmless, and says what is left.

        Args:
            root: the id of the root thread.
            at: ms since the epoch.

        Raises:
            UnknownThread: there is no such thread.
            ThreadDeleted: the deletion is over.
            BadRequest: it is a child thread; the text names its root.
        """
        ...

    async def erase(self, root: str) -> bool:
        """The second step of a deletion, to be repeated: remove a bounded number of rows of a tree that
        was marked.

        Each thread leaves a tombstone: its id, its root, the time.

        Args:
            root: the id of the root thread.

        Returns:
            True while there may be more.
        """
        ...

    async def compact(self) -> None:
        """The last step of a deletion: what was removed cannot be recovered from a file of ours
        afterwards.

        The space of the file is given back, and the deletions are over. A store on a server leaves that
        to the server.

        Raises:
            StoreLocked: somebody reads the file for long; to be tried again.
        """
        ...

    async def deletions(self) -> list[str]:
        """Roots of trees that were marked, and whose deletion is not over: what a start goes on with."""
        ...

    async def tombstone(self, thread_id: str) -> Tombstone | None:
        """What stays of a thread that was deleted; ``None`` if it was not.

        Args:
            thread_id: its id.
        """
        ...

    async def closed_roots(self, limit: int = 100) -> list[tuple[str, int]]:
        """Closed root threads that are in service, and when they changed last (ms since the epoch).

        Args:
            limit: the most rows; those that changed longest ago come first.
        """
        ...

    async def export_tree(self, root: str, path: str) -> int:
        """Write a tree, as it is at one moment, to a new file that any store can import.

        Retire the tree first if it is to live elsewhere: otherwise two of it go on. The file holds the
        tree's conversations in the clear.

        Args:
            root: the id of the root thread.
            path: of a file that does not exist; it appears when it is complete.

        Returns:
            The number of its threads.

        Raises:
            UnknownThread: no thread is the root.
            Conflict: there is a file of that name.
            DamagedStore: a part cannot be read.
        """
        ...

    async def import_tree(
        self, path: str, *, expected: str | None = None, resting: str | None = None
    ) -> Imported:
        """Take in an exported tree, all of it or nothing.

        Messages keep their order and get new places; the tree is in service. Where a copy of it rests
        that left from here, the imported one takes its place, in the same transaction.

        Args:
            path: the file that ``export_tree`` of any store wrote.
            expected: the id that its root must have.
            resting: the tree is out of service from its first moment here, as after ``retire_tree``
                with this note, until ``unretire_tree``; there is nothing to take up. It is one
                operation: nothing reaches or leaves the tree in between, whatever else writes.

        Raises:
            DamagedStore: the file is not exactly what was exported.
            NewerStore: a newer version wrote it.
            BadRequest: its root is not the ``expected`` one.
            Conflict: one of its threads is here already and has not left, or the file is older than
                what is known here of the tree or has parted from it (see ``Generation``).
            ThreadDeleted: one of its threads was deleted here.
        """
        ...

    async def close(self) -> None:
        """Finish what was submitted. If ``begin`` was called, the orderly end is on record afterwards.

        A second call does nothing; other calls raise ``Stopped`` from now on.
        """
        ...
