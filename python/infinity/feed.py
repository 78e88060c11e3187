"""The event stream of a thread: its durable rows, and live events in between, for everybody who watches it.

What happens in one turn of the event loop is encoded once and handed to every watcher as one batch; live
events wait a moment for a row to go along with. A watcher that is level (it has every row so far, and its
reader keeps up) gets the batch as it is: rows come to it from the commit and are never read back. All
others have a queue of bounded size. When that overflows, live events are dropped and counted; rows are
read from the store once the reader goes on.

A watcher gets every durable row once and in order, whatever it missed and however slow it is. Live events
(pieces of text, states of a slice) are shown now or never: they are dropped for a watcher that falls
behind, and when a durable row has overtaken them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from infinity._core import Delta
from infinity.abc import FeedRow, PromptRow, Store, entry_members
from infinity.errors import DamagedStore

__all__ = ["Feed", "FeedEvent", "Watcher", "asked_in_children", "event_data", "frame"]

LIVE_CAPACITY = 1024
"""Events that wait for a watcher that is not level."""
QUEUED_BYTES = 256 << 10
"""Their bytes, at most; one event of any size is taken when nothing else waits."""
FIRST_PAGE, LARGEST_PAGE = 32, 500
"""Rows that are read at once: few at first, because an entry may have a megabyte; then as many as
``PAGE_BYTES`` holds."""
PAGE_BYTES = 256 << 10

LIVE_DELAY = 0.05
"""Seconds that live events may wait for more of them, so that a quick slice is one write for each watcher. A
row takes them along at once."""

_encode = msgspec.json.Encoder().encode


class FeedEvent(NamedTuple):
    """``position``: the cursor to go on from, for durable events; ``None`` for live ones. ``data``: one JSON
    object.
    """

    position: int | None
    kind: str
    data: bytes


def frame(event: FeedEvent) -> bytes:
    """Write an event as one of a stream of server-sent events. Durable ones carry their position as ``id``."""
    # JSON from our encoders has no line breaks, so that one data line holds it.
    text = b"event: %s\ndata: %s\n\n" % (event.kind.encode(), event.data)
    return text if event.position is None else b"id: %d\n%s" % (event.position, text)


class Watcher:
    """One reader of one thread's stream: where it stands, and what it has not been given yet.

    Args:
        thread: Whose stream it is.
        after: The cursor to begin behind; ``None`` is the beginning.
        capacity: Events that wait while the reader is behind.
    """

    def __init__(self, thread: str, after: int | None, capacity: int) -> None:
        self.thread = thread
        self.cursor = -1 if after is None else after
        """The last row that was handed over."""
        self.reading = True
        """Rows behind the cursor are in the store and not in the queue."""
        self.page = FIRST_PAGE
        self.closed = False
        self.push: Callable[[bytes], bool] | None = None
        """Set by a reader that is level: takes a batch of frames at once, or says no and is given it through
        the queue."""
        self._capacity = capacity
        self._queue: deque[FeedEvent] = deque()
        self._bytes = 0
        self._views: dict[str, FeedEvent] = {}
        self._lost = 0
        self._gap = False
        """Rows behind the queue's end did not fit into it."""
        self._something = asyncio.Event()

    def restart(self, cursor: int) -> None:
        """Begin behind another cursor after all. Nothing may have been handed over yet."""
        self.cursor, self.reading = cursor, True

    def offer(self, event: FeedEvent, view_type: str | None) -> None:
        """Queue what has just happened.

        A durable row that finds the queue full is left to be read from the store; a live event is dropped
        and counted.

        Args:
            event: Durable or live.
            view_type: For a live event of which the latest must arrive: what it replaces.
        """
        if view_type is not None:
            # The latest of each type, never dropped: it is the only copy that this watcher gets (VIEW-1).
            self._views[view_type] = event
        elif event.position is not None:
            self._gap = self._gap or self._full
            if not self._gap:
                self._append(event)
        elif self._full:
            self._lost += 1
        else:
            # Told in the place where they are missing, as soon as there is room.
            if self._lost:
                self._append(FeedEvent(None, "lost", _encode({"events": self._lost})))
                self._lost = 0
            self._append(event)

    def wake(self) -> None:
        self._something.set()

    def close(self) -> None:
        self.closed = True
        self._something.set()

    def take(self) -> list[FeedEvent]:
        """What can be handed over now, in order. Nothing and ``reading``: rows have to be read first. Nothing
        else: it is level.
        """
        found = list(self._views.values())
        views = len(found)
        self._views.clear()
        while self._queue:
            position = self._queue[0].position
            if position is not None and position > self.cursor + 1:
                # Others commit to this store too, and what they write is not announced here.
                self.reading = True
                return found
            event = self._pop()
            if position is None:
                found.append(event)
            elif position > self.cursor:
                self.cursor = position
                found.append(event)
            else:
                # Read from the store before it was announced: what was live before it is over.
                del found[views:]
        if self._gap:
            self._gap, self.reading = False, True
        return found

    def read(self, events: list[FeedEvent]) -> None:
        """Take a page that was read from the store.

        Args:
            events: Rows behind the cursor, in order. Fewer than ``page`` of them are the end of what is
                stored.

        Raises:
            DamagedStore: if rows are missing that later ones must follow.
        """
        whole = len(events) == self.page
        if events:
            last = events[-1].position
            assert last is not None
            self.cursor = last
            # The next page is as large as the bytes of this one allow: entries differ by a factor of
            # thousands.
            size = sum(len(event.data) for event in events) // len(events) + 1
            self.page = max(1, min(LARGEST_PAGE, PAGE_BYTES // size))
        if not whole:
            self.reading = False
            self._overtake()
            self._check_whole()

    async def wait(self) -> None:
        """Wait until something can be taken, or the watch is closed."""
        # Cleared before the look, not after it: what comes in between sets it again.
        self._something.clear()
        if not (self._queue or self._views or self._gap or self.closed):
            await self._something.wait()

    @property
    def _full(self) -> bool:
        return len(self._queue) >= self._capacity or self._bytes >= QUEUED_BYTES

    def _append(self, event: FeedEvent) -> None:
        self._queue.append(event)
        self._bytes += len(event.data)

    def _pop(self) -> FeedEvent:
        event = self._queue.popleft()
        self._bytes -= len(event.data)
        return event

    def _check_whole(self) -> None:
        rows = (event.position for event in self._queue if event.position is not None)
        if next(rows, self.cursor + 1) != self.cursor + 1:
            raise DamagedStore(
                f"the event stream of {self.thread} has nothing behind {self.cursor}, although later rows were committed"
            )

    def _overtake(self) -> None:
        """Forget live events that happened before a durable row which was given already."""
        last = -1
        for place, event in enumerate(self._queue):
            # Live events before a row that the reader has are of a time that is past for it.
            if event.position is not None and event.position <= self.cursor:
                last = place
        for _ in range(last + 1):
            self._pop()


class _Topic:
    """A thread that is watched: by whom, and what has happened in this turn of the loop."""

    __slots__ = ("pending", "soon", "timer", "watchers")

    def __init__(self) -> None:
        self.watchers: set[Watcher] = set()
        self.pending: list[tuple[FeedEvent, str | None]] = []
        self.soon = False
        """A flush at the end of this turn is scheduled."""
        self.timer: asyncio.TimerHandle | None = None

    def add(self, event: FeedEvent, view_type: str | None = None) -> None:
        self.pending.append((event, view_type))
        if event.position is not None and not self.soon:
            self.soon = True
            asyncio.get_running_loop().call_soon(self.flush)
        elif self.timer is None and not self.soon:
            # Live events alone wait a little for more; a row in the same turn takes them along at once.
            self.timer = asyncio.get_running_loop().call_later(LIVE_DELAY, self.flush)

    def flush(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer, self.soon = None, False
        events, self.pending = self.pending, []
        rows = [event.position for event, _ in events if event.position is not None]
        batch: bytes | None = None
        for watcher in self.watchers:
            # Only to a watcher that has every row before the first of these: nobody may miss one.
            if watcher.push is not None and (not rows or rows[0] == watcher.cursor + 1):
                if batch is None:
                    batch = b"".join([frame(event) for event, _ in events])
                if watcher.push(batch):
                    if rows:
                        watcher.cursor = rows[-1]
                    continue
            # It is behind, or its reader is slow: from here on through the queue, until it is level again.
            watcher.push = None
            for event, view_type in events:
                watcher.offer(event, view_type)
            watcher.wake()


class Feed:
    """Implements ``abc.Observer`` and serves watchers. Nobody watching costs one dictionary look-up an event.

    Args:
        store: Where durable rows are read.
        capacity: Of each watcher's queue.
    """

    def __init__(self, store: Store, *, capacity: int = LIVE_CAPACITY) -> None:
        self._store = store
        self._capacity = capacity
        self._topics: dict[str, _Topic] = {}
        self._watching = 0
        self._closed = False

    def live(self, thread: str, kind: str, data: dict[str, Any]) -> None:
        topic = self._topics.get(thread)
        if topic is not None:
            view_type = str(data.get("view_type")) if kind == "view" else None
            topic.add(FeedEvent(None, kind, _encode(data)), view_type)

    def committed(self, change: Delta) -> None:
        if change.root != change.thread and (root := self._topics.get(change.root)) is not None:
            for event, key in _for_the_root(change):
                root.add(event, key)
        topic = self._topics.get(change.thread)
        if topic is not None:
            for event in _events(change):
                topic.add(event)

    def gate(self, step: str) -> None:
        """Slices pass here unobserved; tracing and crash tests put their own observer in front."""

    def watching(self) -> int:
        """How many watch now, over all threads."""
        return self._watching

    def close(self) -> None:
        """End every watch, so that a host can stop."""
        self._closed = True
        for topic in self._topics.values():
            for watcher in topic.watchers:
                watcher.close()

    def end(self, threads: Iterable[str]) -> None:
        """End the watches of these threads, because they are deleted."""
        for thread in threads:
            if (topic := self._topics.get(thread)) is not None:
                for watcher in topic.watchers:
                    watcher.close()

    def enter(self, thread: str, after: int | None = None) -> Watcher:
        """Watch a thread from now on. Anyone who enters must ``leave``, whatever happens.

        Args:
            thread: Its id; that it exists is not checked.
            after: The cursor to begin behind; ``None`` is the beginning.
        """
        watcher = Watcher(thread, after, self._capacity)
        watcher.closed = self._closed
        # Registered before the first read: a row committed during the read is announced, so that there is no
        # gap.
        self._topics.setdefault(thread, _Topic()).watchers.add(watcher)
        self._watching += 1
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """End a watch. Harmless when repeated."""
        topic = self._topics.get(watcher.thread)
        if topic is not None and watcher in topic.watchers:
            topic.watchers.remove(watcher)
            self._watching -= 1
            if not topic.watchers:
                if topic.timer is not None:
                    topic.timer.cancel()
                del self._topics[watcher.thread]

    async def ready(self, watcher: Watcher) -> list[FeedEvent]:
        """What comes next for the watcher, without waiting for anything to happen; empty when it is level.

        Raises:
            StoreError: a watcher that cannot be served is told so, and never skips a row (I8).
        """
        while True:
            if watcher.reading:
                rows = await self._store.feed(watcher.thread, watcher.cursor, watcher.page)
                events = [FeedEvent(row.position, row.kind, event_data(row)) for row in rows]
                watcher.read(events)
            else:
                events = watcher.take()
            if events or not watcher.reading:
                return events

    async def watch(self, thread: str, after: int | None = None) -> AsyncGenerator[FeedEvent, None]:
        """Durable rows behind a cursor, then everything as it happens, until closed.

        At a root, what its children ask comes first (CHO-4).

        Args:
            thread: Its id.
            after: The cursor; ``None`` is the beginning.

        Raises:
            StoreError: as ``ready``.
        """
        watcher = self.enter(thread, after)
        try:
            for event in asked_in_children(await self._store.prompts(root=thread), thread):
                yield event
            while not watcher.closed:
                events = await self.ready(watcher)
                for event in events:
                    yield event
                if not events:
                    await watcher.wait()
        finally:
            self.leave(watcher)


def _events(change: Delta) -> list[FeedEvent]:
    """The rows of a commit, as ``Store.feed`` would list them."""
    rows = change.feed
    records = dict(change.entries) if any(kind == "entry" for _, kind, _ in rows) else {}
    found = []
    for position, kind, body in rows:
        record = records[msgspec.json.decode(body)["position"]] if kind == "entry" else None
        found.append(FeedEvent(position, kind, event_data(FeedRow(position, kind, body, record))))
    return found


SHOWN_AT_THE_ROOT = frozenset({"prompt", "prompt_closed", "problem"})
"""Rows of a child that are shown at its root as well, live: who watches that must act (CHO-4, I14)."""


def _for_the_root(change: Delta) -> list[tuple[FeedEvent, str | None]]:
    """With the child as ``thread``, and what keeps an event from being dropped for a slow watcher: of one
    question the latest is enough.
    """
    found: list[tuple[FeedEvent, str | None]] = []
    for _, kind, body in change.feed:
        if kind in SHOWN_AT_THE_ROOT:
            data = {**msgspec.json.decode(body), "thread": change.thread}
            key = None if kind == "problem" else f"prompt {change.thread} {data['id']}"
            found.append((FeedEvent(None, kind, _encode(data)), key))
    return found


def asked_in_children(prompts: Iterable[PromptRow], root: str) -> list[FeedEvent]:
    """Open questions of a root's children, for a watcher that begins, as shown when they were asked.

    Args:
        prompts: Of the whole tree.
        root: Its id.
    """
    found = []
    for row in prompts:
        if row.thread != root:
            body = msgspec.json.decode(row.body)
            # Addresses to sign in at are for anyone who asks for the prompt itself, and in no stream (OAU-1).
            shown = {key: value for key, value in body.items() if not key.endswith("_url")}
            data = {"id": row.id, "prompt_kind": row.kind, **shown, "thread": row.thread}
            found.append(FeedEvent(None, "prompt", _encode(data)))
    return found


def event_data(row: FeedRow) -> bytes:
    """What clients get of a durable row: JSON bytes.

    It is the row's own JSON; for an entry, that together with the entry's content and the row's ``cursor``.

    Raises:
        DamagedStore: if the entry cannot be read.
    """
    if row.record is None:
        return row.body
    # Joined as bytes: entries may have megabytes, and every watcher would pay for decoding them.
    own = row.body.strip()[1:-1].strip()
    pieces = (b'"cursor":%d' % row.position, own, entry_members(row.record))
    return b"{" + b",".join(piece for piece in pieces if piece) + b"}"
