"""What a store takes and gives: the answers to a message that was offered, and the rows of what is kept, as plain data.

``Store`` (``abc/store.py``) names them in its methods; the engine, the API and the stores read them. Nothing in here waits, reads or decides.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from infinity._core import Call, Message


class Status(StrEnum):
    """What became of a message that was offered (I2)."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    """The id was accepted before, with this content: nothing was written, and the sender may be content
    (CB-4).
    """
    REUSED = "reused"
    """The id belongs to a message with other content: nothing was written."""
    DISCARDED = "discarded"
    """Nothing will come of it: the thread is closed or the call was cancelled. That is on record."""
    UNKNOWN_THREAD = "unknown_thread"
    """There is no such thread here, and there was none that was deleted."""
    UNKNOWN_CALL = "unknown_call"
    """The thread has no such call."""
    NOT_PENDING = "not_pending"
    """The call has ended already; if the runtime had given it up, the late result is on record (CB-2,
    CB-9).
    """
    NOT_SUBSCRIBED = "not_subscribed"
    """The call is not an active subscription, and cannot become one (SUB-1)."""
    FULL = "full"
    """As many early events of the call wait for its confirmation as may: nothing was written, it is to be
    sent again later (SUB-9).
    """
    MOVED = "moved"
    """The thread's tree was retired here: nothing was written; ``Store.retired`` says where it went."""
    DELETED = "deleted"
    """Discarded: the thread was deleted for good, and its tombstone has counted the message."""


class Expect(StrEnum):
    """What must be there for a message to be accepted (CB-2, SUB-1)."""

    ANY = "any"
    """Only the thread."""
    CALL = "call"
    """A call of the thread that is open."""
    EVENT = "event"
    """A subscription of the thread, or an open call that may become one (SUB-9)."""


class Accepted(NamedTuple):
    """``message`` is there exactly when the status is ``accepted``; it carries its place in the inbox."""

    status: Status
    message: Message | None = None


class OutboxRow(NamedTuple):
    """Something recorded that must leave (I5).

    ``kind``: ``invoke`` (its key is ``invoke.<call id>``), ``choice``, ``cancel``, ``close``. ``body``
    is sent as it is to ``target``. ``attempts`` counts failed tries; the next is not due before
    ``due_at`` (ms since the epoch). ``trouble``: why the last one failed, for people.
    """

    key: str
    kind: str
    target: str
    body: bytes
    call_id: str | None
    thread: str
    attempts: int = 0
    due_at: int = 0
    trouble: str = ""

    @property
    def place(self) -> tuple[int, str]:
        """Where ``Store.deliveries`` goes on behind this row."""
        return self.due_at, self.key


class CallRow(NamedTuple):
    """What a call has been doing.

    ``number``: its place among the calls of its thread; ``state``: as ``Store.calls`` has it. ``sent_at``:
    when the other side took it, ``ended_at``: when its end was recorded, in ms since the epoch; 0 for
    what was not, and for what an earlier version wrote. ``attempts``: tries to send it, once that is over;
    while it is on its way, those that failed. Only then is there ``due_at``, when the next try is due, and
    ``trouble``, why the last one failed (empty before the first).
    """

    number: int
    call: Call
    state: str
    sent_at: int = 0
    ended_at: int = 0
    attempts: int = 0
    due_at: int | None = None
    trouble: str | None = None


class DiscardRow(NamedTuple):
    """A message that came to nothing. ``number``: orders them by when that was recorded; ``at``: ms since
    the epoch.
    """

    number: int
    thread: str
    message: str
    reason: str
    at: int


class ThreadRow(NamedTuple):
    """A thread in a listing.

    ``status``: ``idle``, ``waiting``, ``stopped`` or ``closed``; times in ms since the epoch;
    ``header``: bytes for ``abc.records.read_header``, unread, so that a damaged one does not hide the
    others.
    """

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
        """Where ``Store.threads`` goes on behind this row; opaque to clients."""
        return f"{self.updated_at}:{self.id}"


class FeedRow(NamedTuple):
    """One item of a thread's durable event stream. ``record``: the entry's, for rows of kind ``entry``."""

    position: int
    kind: str
    body: bytes
    record: bytes | None = None


class LogRow(NamedTuple):
    """What one commit has added to the stream of one thread: positions ``first`` to ``last``.

    ``seq`` orders all commits; a commit that makes children has one for each of its threads. ``at``: ms
    since the epoch.
    """

    seq: int
    thread: str
    root: str
    first: int
    last: int
    at: int


class Log(NamedTuple):
    """A page of the log of all commits. ``oldest`` and ``newest``: the ends of what there is of it; 0 if
    there is nothing.
    """

    oldest: int
    newest: int
    rows: list[LogRow]


class UsageRow(NamedTuple):
    """What completions have used, summed by those of the first four that are not ``None``.

    ``day``: since the Unix epoch, of UTC; ``root`` and ``thread`` are ``None`` as well for what deleted
    threads have used. Tokens by kind; ``cost`` in microdollars.
    """

    day: int | None
    model: str | None
    root: str | None
    thread: str | None
    turns: int
    input: int
    output: int
    cache_read: int
    cache_write: int
    cost: int


class AttentionRow(NamedTuple):
    """A thread that needs a person, and since when (ms since the epoch).

    ``reason``: ``prompt`` while it asks something, ``problem`` while it rests with a problem that does not
    end by itself. One that is tried again without anybody's doing needs nobody, unless what all tries find
    is for people to change: a key, a bill, the settings.
    """

    thread: str
    root: str
    reason: str
    since: int

    @property
    def place(self) -> tuple[int, str, str]:
        """Where ``Store.attention`` goes on behind this row."""
        return self.since, self.thread, self.reason


class PromptRow(NamedTuple):
    """A question or sign-in that is open. ``body``: the JSON of the message that asked."""

    id: str
    thread: str
    kind: str
    body: bytes


class TimerRow(NamedTuple):
    """A timer that is set. ``due_at``: ms since the epoch; ``body``: JSON of ``message.Timer``."""

    id: str
    thread: str
    due_at: int
    kind: str
    body: bytes

    @property
    def place(self) -> tuple[int, str, str]:
        """Where ``Store.due_timers`` goes on behind this row."""
        return self.due_at, self.thread, self.id


INCOMPLETE = "it is being imported; delete it, then import it again if that was broken off"
"""The note of a tree that a store takes in by several transactions, until its last row is there."""


class Imported(NamedTuple):
    """A tree that came to live here, and what its host has to take up, which is nothing if it rests.

    The host puts ``messages`` into mailboxes, sends the ``outbox`` rows (their number) and arms the
    alarm for ``next_timer`` (ms since the epoch).
    """

    root: str
    messages: list[Message]
    outbox: int
    next_timer: int | None
    replaced: bool = False
    """It took the place of an older copy, which had left from here."""
    copy: bool = False
    """The file is a copy of a tree that went on where it was exported."""


class Generation(NamedTuple):
    """How often a tree has left, by what this store knows.

    An import is refused if its file is of an older generation than what is known here: the tree has
    lived on elsewhere since. ``departed``: what rests here is what left; a newer file may take its
    place.
    """

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
