"""A store: the durable side of every invariant. SQLite here, PostgreSQL or DSQL elsewhere; the same contract test for all.

Whatever returns has happened durably. Whatever raises (``StoreError``) has not happened at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from infinity._core import Call, Delta, Message, Snapshot


class Status(StrEnum):
    """What became of a message that was offered (I2)."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REUSED = "reused"
    """The id belongs to a message with other content: nothing was written."""
    DISCARDED = "discarded"
    UNKNOWN_THREAD = "unknown_thread"
    UNKNOWN_CALL = "unknown_call"
    NOT_PENDING = "not_pending"
    NOT_SUBSCRIBED = "not_subscribed"
    FULL = "full"
    """As many early events of the call wait for its confirmation as may: nothing was written, it is to be sent again later (SUB-9)."""
    MOVED = "moved"
    """The thread's tree was retired here: nothing was written; ``Store.retired`` says where it went."""
    DELETED = "deleted"
    """Discarded: the thread was deleted for good, and its tombstone has counted the message."""


class Expect(StrEnum):
    """What must be there for a message to be accepted (CB-2, SUB-1)."""

    ANY = "any"
    CALL = "call"
    EVENT = "event"


class Accepted(NamedTuple):
    """``message`` is there exactly when the status is ``accepted``; it carries its place in the inbox."""

    status: Status
    message: Message | None = None


class OutboxRow(NamedTuple):
    """Something recorded that must leave (I5). ``kind``: ``invoke`` (its key is ``invoke.<call id>``), ``choice``, ``cancel``, ``close``."""

    key: str
    kind: str
    target: str
    body: bytes
    call_id: str | None
    thread: str
    attempts: int = 0
    due_at: int = 0


class ThreadRow(NamedTuple):
    """A thread in a listing. ``status``: ``idle``, ``waiting``, ``stopped`` or ``closed``; times in ms since the epoch."""

    id: str
    root: str
    parent: str | None
    status: str
    title: str
    version: int
    created_at: int
    updated_at: int
    header: bytes

    @property
    def cursor(self) -> str:
        """Where ``Store.threads`` goes on behind this row."""
        return f"{self.updated_at}:{self.id}"


class FeedRow(NamedTuple):
    """One item of a thread's durable event stream. ``record``: the entry's, for rows of kind ``entry``."""

    position: int
    kind: str
    body: bytes
    record: bytes | None = None


class PromptRow(NamedTuple):
    id: str
    thread: str
    kind: str
    body: bytes


class TimerRow(NamedTuple):
    id: str
    thread: str
    due_at: int
    kind: str
    body: bytes


INCOMPLETE = "it is being imported; delete it, then import it again if that was broken off"
"""The note of a tree that a store takes in by several transactions, until its last row is there."""


class Imported(NamedTuple):
    """A tree that came to live here, and what its host has to take up, which is nothing if it rests: put ``messages`` into mailboxes, look at the outbox, arm the timer."""

    root: str
    messages: list[Message]
    outbox: int
    next_timer: int | None
    replaced: bool = False
    """It took the place of an older copy, which had left from here."""
    copy: bool = False
    """The file is a copy of a tree that went on where it was exported."""


class Generation(NamedTuple):
    """How often a tree has left, by what this store knows. ``departed``: what rests here is what left; a newer file may take its place."""

    number: int
    departed: bool


class Condemned(NamedTuple):
    """A tree that is being deleted, as far as it is not erased yet, and whom its host has to tell."""

    threads: list[tuple[str, bool]]
    """Id, and whether it was open."""
    calls: list[tuple[str, str]]
    """Thread and call, of open calls and active subscriptions."""


class Tombstone(NamedTuple):
    """What stays of a thread that was deleted."""

    id: str
    root: str
    at: int
    """Ms since the epoch."""
    discarded: int
    """Messages that came since; at the root also those that were queued then."""


class Store(Protocol):
    async def accept(
        self, message: Message, expect: Expect = Expect.ANY, call_id: str | None = None
    ) -> Accepted:
        """Append to the thread's inbox, once per id (I2, I3).

        With ``Expect.EVENT``, events of a call that is still open are taken up to 100 and 1 MiB; beyond that the answer is ``full`` (SUB-9). ``duplicate``
        is only said of a repeat of what was accepted: the result of a call that failed before is ``not_pending``, and recorded (CB-9).
        """
        ...

    async def load(
        self, thread: str, known_version: int = -1, message_ids: Sequence[str] = ()
    ) -> Snapshot | None:
        """The thread's records, or ``None`` if its version is still ``known_version`` and no failed attempt is on record.
        ``UnknownThread`` if there is none, ``ThreadDeleted`` if there was."""
        ...

    async def commit(self, delta: Delta) -> list[Message]:
        """All of it or none (I6). Returns the messages it put into inboxes, the events that it released (``Delta.released``) among them. ``Conflict`` if another commit came first (I1)
        or the thread's tree was retired (``retired`` tells which); ``ThreadDeleted`` if it was deleted, or a new thread has the id of one that was."""
        ...

    async def record_attempt(
        self, thread: str, code: str, at: int, *, tokens: int = 0, microdollars: int = 0
    ) -> int:
        """Put a failed attempt on record, in a small commit of its own that leaves the thread's version as it is (I12).

        ``code``: what failed, in one word; ``at``: ms since the epoch; ``tokens`` and ``microdollars``: what it cost all the same, for the tree's ``spent``.
        Returns how many are on record for the thread, for ``Thread.attempted``. ``UnknownThread``; ``Conflict`` if the tree was retired; on
        any ``StoreError`` nothing was recorded.
        """
        ...

    async def begin(self, now: int) -> int:
        """To be called once by a process that owns the store, before it reads the inbox (I12).

        If the last such process did not ``close`` the store, whatever is queued may be what ended it: every thread with queued messages gets
        an attempt of the code ``crashed``, in one commit. Returns how many did. Where the queue counts deliveries itself, this does nothing.
        """
        ...

    async def fire_timers(self, now: int) -> list[Message]:
        """Turn due timers into messages; not those of retired trees."""
        ...

    async def next_timer(self) -> int | None:
        """When the earliest timer that can fire is due."""
        ...

    async def outbox_done(
        self, key: str, sent_call: str | None = None, failure: Message | None = None
    ) -> Accepted | None:
        """The row has left; or, with ``failure``, never will: the message tells its thread, in the same transaction."""
        ...

    async def outbox_retry(self, key: str, due_at: int) -> None: ...

    async def outbox(self, after: str = "") -> list[OutboxRow]:
        """What has not left yet, by key, a page at a time; not that of retired trees."""
        ...

    async def inbox(self, after: int = 0) -> list[Message]:
        """What is queued, by place, a page at a time, for hosts whose mailboxes are in memory; not what retired trees have."""
        ...

    async def put_view(self, thread: str, view_type: str, content: bytes) -> bool: ...

    async def thread(self, id: str) -> ThreadRow | None: ...

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
        """Newest ``updated_at`` first. ``troubled``: those alone that are not closed and rest with a problem, and those of which an earlier version did not say
        whether they do; by an index of their own, however many others there are."""
        ...

    async def open_children(self, thread: str) -> int:
        """How many children of the thread are not closed, however many have been (G8)."""
        ...

    async def living(self, root: str) -> int:
        """How many threads below the root are not closed, however many have been."""
        ...

    async def entries(self, thread: str, after: int = -1, limit: int = 1000) -> list[tuple[int, bytes]]: ...

    async def feed(self, thread: str, after: int = -1, limit: int = 1000) -> list[FeedRow]: ...

    async def calls(self, thread: str, open_only: bool = True) -> list[tuple[Call, str]]:
        """Calls with their state, which may be ``sent`` here."""
        ...

    async def find_call(self, call_id: str) -> tuple[Call, str] | None: ...

    async def prompts(self, thread: str | None = None, *, root: str | None = None) -> list[PromptRow]:
        """What is asked now: of one thread, of the whole tree of a root, or all."""
        ...

    async def timers(self, thread: str | None = None) -> list[TimerRow]: ...

    async def views(self, thread: str) -> list[tuple[str, bytes]]: ...

    async def discards(self, thread: str) -> list[tuple[str, str, int]]: ...

    async def meta(self, key: str) -> bytes | None: ...

    async def put_meta(self, key: str, value: bytes) -> None: ...

    async def spent(self, root: str) -> tuple[int, int]:
        """Tokens (input, output, cache read and write) and microdollars of all turns of a tree so far."""
        ...

    async def counts(self) -> dict[str, int]: ...

    # -- whole trees; `root` is the id of a tree's root thread

    async def retire_tree(self, root: str, note: str, mark: bytes | None = None) -> None:
        """Take a tree out of service.

        ``mark``: 8 random bytes, if it leaves, to live elsewhere. That raises its generation by one, which an export of it carries; what rests
        here may be replaced by an import of the same tree that has this mark.

        From then on ``accept`` answers ``moved`` and writes nothing, ``commit`` is a ``Conflict``, its timers do not fire, and its queued
        messages and outbox rows are not listed. All of it stays, to be read and exported. ``note`` says why, and where it went.
        ``UnknownThread`` if no thread is the root.
        """
        ...

    async def unretire_tree(self, root: str, mark: bytes | None = None) -> None:
        """Back into service, as it was: the end of a move that failed. The host takes up its inbox, outbox and timers again.

        ``mark``: 8 random bytes, if it had left. That raises its generation again: what has left is older from now on than what is here.
        """
        ...

    async def generation(self, root: str) -> Generation:
        """How often a tree has left. Known also after ``delete_tree``, and of trees that never were here: 0."""
        ...

    async def retired(self, root: str) -> str | None:
        """The note of a retired tree; ``None`` while the tree is in service."""
        ...

    async def out_of_service(self, roots: Sequence[str]) -> dict[str, str]:
        """The notes of those trees among several that were retired, by root."""
        ...

    async def delete_tree(self, root: str) -> int:
        """Remove all that there is of a tree, whether retired or not. The number of its threads, 0 if there were none.

        No tombstone stays: the tree lives elsewhere, or may come back, by an import that is not older than what was here. A file may hold remains of it until it is compacted.
        """
        ...

    async def mark_deleted(self, root: str, at: int) -> Condemned:
        """Delete a tree for good: the first step, and the one that counts. ``at``: ms since the epoch.

        From then on ``accept`` answers ``deleted``, ``load`` and ``commit`` raise ``ThreadDeleted``, nothing lists its threads, and its timers, messages and
        outbox rows rest. Repeating it until the deletion is over is harmless, and says what is left.
        ``UnknownThread``; ``ThreadDeleted`` once it is over; ``BadRequest``, naming the root, for a thread that is none.
        """
        ...

    async def erase(self, root: str) -> bool:
        """The second step, to be repeated: remove a bounded number of rows of a tree that was marked; true while there may be more.

        Each thread leaves a tombstone: its id, its root, the time.
        """
        ...

    async def compact(self) -> None:
        """The last step: what was removed cannot be recovered from a file of ours afterwards, and its space is given back; those deletions are over.

        A store on a server leaves that to the server. ``StoreLocked`` while somebody reads the file for long: to be tried again.
        """
        ...

    async def deletions(self) -> list[str]:
        """Roots of trees that were marked, and whose deletion is not over: what a start goes on with."""
        ...

    async def tombstone(self, id: str) -> Tombstone | None:
        """What stays of a thread that was deleted; ``None`` if it was not."""
        ...

    async def closed_roots(self, limit: int = 100) -> list[tuple[str, int]]:
        """Closed root threads that are in service, and when they changed last (ms since the epoch), those that did longest ago first."""
        ...

    async def export_tree(self, root: str, path: str) -> int:
        """Write a tree, as it is at one moment, to a new file that any store can import. The number of its threads.

        Retire the tree first if it is to live elsewhere: otherwise two of it go on. The file holds the tree's conversations in the clear.
        ``UnknownThread`` if no thread is the root; ``Conflict`` if there is a file of that name; ``DamagedStore`` if a part cannot be read.
        """
        ...

    async def import_tree(
        self, path: str, *, expected: str | None = None, resting: str | None = None
    ) -> Imported:
        """Take in an exported tree, all of it or nothing. Messages keep their order and get new places; the tree is in service.

        ``resting``: it is out of service from its first moment here, as after ``retire_tree`` with this note, until ``unretire_tree``; there is
        nothing to take up. Both by one operation: nothing reaches or leaves the tree in between, whatever else writes.

        Where a copy of it rests that left from here, the imported one takes its place, in the same transaction.

        ``DamagedStore`` if the file is not exactly what was exported, ``NewerStore`` if a newer version wrote it, ``BadRequest`` if its root is not
        the ``expected`` one, ``Conflict`` if one of its threads is here already and has not left, or if the file is older than what is known here
        of the tree or has parted from it (see ``Generation``), ``ThreadDeleted`` if one was deleted here.
        """
        ...

    async def close(self) -> None:
        """Finish what was submitted. If ``begin`` was called, the orderly end is on record afterwards."""
        ...
