"""The event stream of a thread: its durable rows, and live events in between, for whoever watches.

A watcher gets every durable row once and in order, whatever it missed and however slow it is. Live events (pieces of text, states
of a slice) are shown now or never: they are dropped for a watcher that falls behind, and when a durable row has overtaken them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

import msgspec

from infinity._core import entry_json
from infinity.abc import FeedRow, Store

__all__ = ["Feed", "FeedEvent"]

LIVE_CAPACITY = 1024
PAGE = 500

_encode = msgspec.json.Encoder().encode


class FeedEvent(NamedTuple):
    """``position``: the cursor to go on from, for durable events; ``None`` for live ones. ``data``: one JSON object."""

    position: int | None
    kind: str
    data: bytes


class _Reached(NamedTuple):
    """Marks, between live events, that the durable stream now reaches ``position``."""

    position: int


class _Watcher:
    """What one watcher has not been given yet."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._queue: deque[FeedEvent | _Reached] = deque()
        self._views: dict[str, FeedEvent] = {}
        self._lost = 0
        self._something = asyncio.Event()
        self.closed = False

    def live(self, event: FeedEvent) -> None:
        if len(self._queue) >= self._capacity:
            self._lost += 1
            return
        if self._lost:
            self._queue.append(FeedEvent(None, "lost", _encode({"events": self._lost})))
            self._lost = 0
        self._queue.append(event)
        self._something.set()

    def view(self, view_type: str, event: FeedEvent) -> None:
        """The latest of each type, never dropped: it is the only copy that this watcher gets (VIEW-1)."""
        self._views[view_type] = event
        self._something.set()

    def reached(self, position: int) -> None:
        if self._queue and isinstance(self._queue[-1], _Reached):
            self._queue.pop()
        self._queue.append(_Reached(position))
        self._something.set()

    def close(self) -> None:
        self.closed = True
        self._something.set()

    def overtaken(self, cursor: int) -> None:
        """Forget live events that happened before a durable row which was given already."""
        last = -1
        for place, item in enumerate(self._queue):
            if isinstance(item, _Reached) and item.position <= cursor:
                last = place
        for _ in range(last + 1):
            self._queue.popleft()

    def next(self) -> FeedEvent | _Reached | None:
        if self._views:
            return self._views.pop(next(iter(self._views)))
        if self._queue:
            return self._queue.popleft()
        return None

    async def wait(self) -> None:
        self._something.clear()
        if not (self._queue or self._views or self.closed):
            await self._something.wait()


class Feed:
    """Implements ``abc.Observer`` and serves watchers. Nobody watching costs one dictionary look-up an event."""

    def __init__(self, store: Store, *, capacity: int = LIVE_CAPACITY) -> None:
        self._store = store
        self._capacity = capacity
        self._watchers: dict[str, set[_Watcher]] = {}
        self._closed = False

    def live(self, thread: str, kind: str, data: dict[str, Any]) -> None:
        watchers = self._watchers.get(thread)
        if not watchers:
            return
        event = FeedEvent(None, kind, _encode(data))
        for watcher in watchers:
            if kind == "view":
                watcher.view(str(data.get("view_type")), event)
            else:
                watcher.live(event)

    def committed(self, thread: str, position: int) -> None:
        for watcher in self._watchers.get(thread, ()):
            watcher.reached(position)

    def gate(self, step: str) -> None:
        """Slices pass here unobserved; tracing and crash tests put their own observer in front."""

    def watching(self) -> int:
        """How many watch now, over all threads."""
        return sum(len(watchers) for watchers in self._watchers.values())

    def close(self) -> None:
        """End every watch, so that a host can stop."""
        self._closed = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.close()

    async def watch(self, thread: str, after: int | None = None) -> AsyncGenerator[FeedEvent, None]:
        """Durable rows behind the cursor ``after`` (``None``: from the beginning), then everything as it happens, until closed.

        Store errors pass through: a watcher that cannot be served is told so, and never skips a row (I8).
        """
        if self._closed:
            return
        watcher = _Watcher(self._capacity)
        # Registered before the first read: a row committed during the read is announced, so that there is no gap.
        self._watchers.setdefault(thread, set()).add(watcher)
        try:
            cursor = -1 if after is None else after
            behind = True
            while not watcher.closed:
                if behind:
                    rows = await self._store.feed(thread, cursor, PAGE)
                    for row in rows:
                        cursor = row.position
                        yield FeedEvent(row.position, row.kind, event_data(row))
                    behind = len(rows) == PAGE
                    if not behind:
                        watcher.overtaken(cursor)
                    continue
                item = watcher.next()
                if item is None:
                    await watcher.wait()
                elif isinstance(item, FeedEvent):
                    yield item
                else:
                    behind = item.position > cursor
        finally:
            self._forget(thread, watcher)

    def _forget(self, thread: str, watcher: _Watcher) -> None:
        watchers = self._watchers[thread]
        watchers.discard(watcher)
        if not watchers:
            del self._watchers[thread]


def event_data(row: FeedRow) -> bytes:
    """What clients get of a durable row: its own JSON; for an entry, that with the entry's content and the row's ``cursor``."""
    if row.record is None:
        return row.body
    own = row.body.strip()[1:-1].strip()
    pieces = (b'"cursor":%d' % row.position, own, entry_json(row.record).strip()[1:-1])
    return b"{" + b",".join(piece for piece in pieces if piece) + b"}"
