"""What the core's records say, as types.

Read here and nowhere else above the store, so that damage is one error wherever it is met (I8). Headers
and entries are bytes that the core wrote; nobody in Python writes or changes them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from infinity._core import Call, CoreError, Message, Thread, entry_json, header_json
from infinity.errors import from_core

if TYPE_CHECKING:
    from infinity.abc.rows import ThreadRow
    from infinity.abc.store import Store

__all__ = [
    "BUDGET",
    "FORK",
    "HELD_BACK",
    "SPAWN",
    "Entry",
    "Header",
    "Origin",
    "Problem",
    "Range",
    "entry_members",
    "pages",
    "queued",
    "read_call",
    "read_entry",
    "read_header",
]

BUDGET = "budget"
"""The code of the problem of a tree that has used up what it may spend."""
HELD_BACK = "held_back"
"""The code of the problem of a thread that held the event loop."""
FORK = "fork"
"""What the ids of forks begin with, and no others: stores leave them out where children are counted (G8)."""
SPAWN = "spawn_thread"
"""The built-in that makes a child which owes its parent a report (THR-5)."""


class Problem(NamedTuple):
    """What keeps a thread from going on, or what its user should know of (L18). Stored as ``code: text``."""

    code: str
    text: str

    @classmethod
    def read(cls, stored: str | None) -> Problem | None:
        """A problem from the form in which a header or a memo keeps it.

        Args:
            stored: ``code: text``, or ``None``.

        Returns:
            ``None`` if there is no problem.
        """
        if not stored:
            return None
        code, _, text = stored.partition(": ")
        return cls(code, text)

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"


class Range(msgspec.Struct, frozen=True):
    """Entries from ``start`` up to, not including, ``end``."""

    start: int
    end: int


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a child thread was made for: a call of its parent, or the summary of a range of its history."""

    tool: str = ""
    call_id: str = ""
    arguments: Any = None
    compaction: Range | None = None
    tools: str = ""
    """``ask`` or ``deny`` of a fork and of all below it: what holds for their calls beside the policy."""
    forks: int = 0
    """How many of the threads above it, itself included, are forks."""

    @classmethod
    def of(cls, thread: Thread) -> Origin:
        """Why a thread was made, from its header.

        Args:
            thread: loaded; a root thread has an empty origin.
        """
        return _origin(thread.origin or b"{}")

    @property
    def fork(self) -> bool:
        """Whether a person made it to go on another way: it answers to nobody but people, as a root does."""
        return self.tool == FORK and not self.call_id

    @property
    def reports(self) -> bool:
        """Whether a call of its parent made it. A summariser has its own way (``engine/compaction.py``)."""
        return bool(self.call_id)

    @property
    def spawned(self) -> bool:
        """Whether its parent waits for a report, because it spawned the thread.

        Of the thread of an event the parent sees what that reports, or nothing (SUB-5).
        """
        return self.reports and self.tool == SPAWN


class Header(msgspec.Struct, frozen=True):
    """A thread's state beside its history, as clients and diagnosis need it.

    ``position`` counts entries and ``feed`` rows of the event stream; ``own_start`` is the first
    position that is the thread's own and not inherited from its parent; ``live_start`` the first that is
    still rendered, and ``summary`` that of the summary in force. ``memo`` is the engine's JSON
    (``engine/memo.py``); ``cost`` is in microdollars.
    """

    root: str
    own_start: int
    live_start: int
    position: int
    feed: int
    model: str
    pending: bool
    memo: msgspec.Raw
    ancestors: list[str]
    children: int
    context_tokens: int
    usage: tuple[int, int, int, int]
    cost: int
    problem: str | None = None
    summary: int | None = None


class Entry(msgspec.Struct, frozen=True):
    """One entry of history. ``at``: ms since the epoch.

    ``assistant`` and ``user`` are content blocks in the shape of the Messages API. ``meta`` is what was
    stored beside them; the model never sees it.
    """

    kind: str
    at: int
    assistant: list[dict[str, Any]]
    user: list[dict[str, Any]]
    meta: dict[str, Any]


# An origin is written once and read with every slice of a child; the bytes themselves are the key.
_origin = lru_cache(maxsize=256)(msgspec.json.Decoder(Origin).decode)
_header = msgspec.json.Decoder(Header).decode
_entry = msgspec.json.Decoder(Entry).decode


def read_header(row: ThreadRow) -> Header:
    """The header of a row that ``Store.thread`` or ``Store.threads`` returned.

    Args:
        row: the row; only its ``header`` is read.

    Raises:
        DamagedStore: the bytes are no header. The caller shows the thread as damaged and goes on with
            others.
        NewerStore: a newer version wrote it.
    """
    try:
        return _header(header_json(row.header))
    except CoreError as error:
        raise from_core(error) from error


def read_entry(record: bytes) -> Entry:
    """One entry as ``Store.entries`` and ``Store.feed`` return it.

    Args:
        record: the bytes of the record.

    Raises:
        DamagedStore: the bytes are no entry.
        NewerStore: a newer version wrote it.
    """
    try:
        return _entry(entry_json(record))
    except CoreError as error:
        raise from_core(error) from error


def read_call(record: bytes) -> Call:
    """One call as the store keeps it.

    Args:
        record: the bytes of the record.

    Raises:
        DamagedStore: the bytes are no call.
        NewerStore: a newer version wrote it.
    """
    try:
        return Call.decode(record)
    except CoreError as error:
        raise from_core(error) from error


def entry_members(record: bytes) -> bytes:
    """The members of an entry's JSON, for clients: its content is passed on as it is stored.

    Args:
        record: the bytes of the record.

    Returns:
        UTF-8 JSON without the outer braces, so that the caller can add members of its own.

    Raises:
        DamagedStore: the bytes are no entry.
        NewerStore: a newer version wrote it.
    """
    try:
        return entry_json(record).strip()[1:-1]
    except CoreError as error:
        raise from_core(error) from error


async def pages(
    store: Store,
    *,
    root: str | None = None,
    parent: str | None = None,
    status: str | None = None,
    troubled: bool = False,
    limit: int = 1000,
) -> AsyncIterator[list[ThreadRow]]:
    """All threads that ``Store.threads`` finds with these filters, a page at a time.

    Args:
        store: read between pages only: the listing is of no single moment. A thread that changes
            meanwhile may be left out or come late, and is never listed twice from one page.
        root: threads of this tree only.
        parent: children of this thread only.
        status: ``idle``, ``waiting``, ``stopped`` or ``closed``.
        troubled: threads that rest with a problem only.
        limit: rows of one page.
    """
    after = ""
    while rows := await store.threads(
        root=root, parent=parent, status=status, after=after, limit=limit, troubled=troubled
    ):
        yield rows
        after = rows[-1].cursor


async def queued(store: Store) -> AsyncIterator[list[Message]]:
    """All messages that rest in the durable inbox, in order, a page at a time.

    Args:
        store: read between pages only; what is accepted meanwhile may or may not be among them.
    """
    after = 0
    while messages := await store.inbox(after):
        yield messages
        after = messages[-1].seq
