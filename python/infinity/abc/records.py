"""What the core's records say, as types: read here and nowhere else above the store, so that damage is one error wherever it is met (I8)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from infinity._core import Call, CoreError, Thread, entry_json, header_json
from infinity.errors import from_core

if TYPE_CHECKING:
    from infinity.abc.store import Store, ThreadRow

__all__ = [
    "BUDGET",
    "HELD_BACK",
    "SPAWN",
    "Entry",
    "Header",
    "Origin",
    "Problem",
    "Range",
    "entry_members",
    "pages",
    "read_call",
    "read_entry",
    "read_header",
]

BUDGET = "budget"
"""The code of the problem of a tree that has used up what it may spend."""
HELD_BACK = "held_back"
"""The code of the problem of a thread that held the event loop."""
SPAWN = "spawn_thread"
"""The built-in that makes a child which owes its parent a report (THR-5)."""


class Problem(NamedTuple):
    """What keeps a thread from going on, or what its user should know of (L18). It is stored as ``code: text``."""

    code: str
    text: str

    @classmethod
    def read(cls, stored: str | None) -> Problem | None:
        """From the form in which a header and a memo keep it; ``None`` if they keep none."""
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

    @classmethod
    def of(cls, thread: Thread) -> Origin:
        return _origin(thread.origin or b"{}")

    @property
    def reports(self) -> bool:
        """A call of its parent made it. A summariser has its own way (``engine/compaction.py``)."""
        return bool(self.call_id)

    @property
    def spawned(self) -> bool:
        """A parent waits for what it spawned; of an event's thread it sees what that reports, or nothing (SUB-5)."""
        return self.reports and self.tool == SPAWN


class Header(msgspec.Struct, frozen=True):
    """A thread's state beside its history. Positions count entries (``position``) and rows of its event stream (``feed``)."""

    root: str
    own_start: int
    position: int
    feed: int
    model: str
    pending: bool
    memo: msgspec.Raw
    ancestors: list[str]
    children: int
    context_tokens: int
    usage: tuple[int, int, int, int]
    problem: str | None = None


class Entry(msgspec.Struct, frozen=True):
    """One entry of history. ``at``: ms since the epoch; ``assistant`` and ``user``: content blocks in the shape of the Messages API."""

    kind: str
    at: int
    assistant: list[dict[str, Any]]
    user: list[dict[str, Any]]
    meta: dict[str, Any]


_origin = lru_cache(maxsize=256)(msgspec.json.Decoder(Origin).decode)
_header = msgspec.json.Decoder(Header).decode
_entry = msgspec.json.Decoder(Entry).decode


def read_header(row: ThreadRow) -> Header:
    """Raises ``DamagedStore`` or ``NewerStore``."""
    try:
        return _header(header_json(row.header))
    except CoreError as error:
        raise from_core(error) from error


def read_entry(record: bytes) -> Entry:
    """Raises ``DamagedStore`` or ``NewerStore``."""
    try:
        return _entry(entry_json(record))
    except CoreError as error:
        raise from_core(error) from error


def read_call(record: bytes) -> Call:
    """Raises ``DamagedStore`` or ``NewerStore``."""
    try:
        return Call.decode(record)
    except CoreError as error:
        raise from_core(error) from error


def entry_members(record: bytes) -> bytes:
    """The members of an entry's JSON, for clients: its content is passed on as it is stored. Raises ``DamagedStore`` or ``NewerStore``."""
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
    """All threads that ``Store.threads`` finds, a page of ``limit`` at a time."""
    after = ""
    while rows := await store.threads(
        root=root, parent=parent, status=status, after=after, limit=limit, troubled=troubled
    ):
        yield rows
        after = rows[-1].cursor
