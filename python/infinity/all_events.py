"""The event streams of all threads as one, in the order of their commits: for whoever follows everything.

The store's log says what each commit has added to which stream. While anybody follows, one task reads it as
commits are announced, takes their rows from the announced changes, and keeps the latest, encoded once for all
followers. A follower is a place in the log: one that keeps up is given what is kept, and one that does not
reads the store at its own pace, so that nothing waits for it and nothing is kept for it. While nobody
follows, nothing is read, kept or encoded.

Live events are given to those who name the thread, each behind the rows that were committed before it.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Container
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from infinity._core import CoreError, Delta
from infinity.abc import FeedRow, LogRow, Store, entry_members
from infinity.errors import InfinityError, from_core
from infinity.feed import FeedEvent, frame
from infinity.supervision import shared

__all__ = ["AllEvents", "Asked", "Follower", "Place", "Scrolled"]

PAGE = 500
"""Rows of the log that are read at once."""
KEPT_BYTES = 4 << 20
"""Frames that are kept for those who keep up; when there are more, the older half goes."""
ANNOUNCED = 4096
"""Changes that were announced and are not in the log yet."""
PIECE = 64 << 10
"""Bytes that a follower is given at once."""
LIVE_EVENTS, LIVE_BYTES = 1024, 256 << 10
"""Live events that wait for a follower."""
LIVE_DELAY = 0.05
"""Seconds that live events may wait for more of them."""
HELD_BACK = 0.1
"""Seconds after which an announced change is looked for again that the log does not show yet, because one
before it is still under way."""

_encode = msgspec.json.Encoder().encode
_seq = attrgetter("seq")


class Place(NamedTuple):
    """Behind which event to go on: a commit's number in the log, and a position in the thread's stream;
    ``position`` ``None``: behind all of the commit.
    """

    seq: int
    position: int | None = None


class Asked(NamedTuple):
    """What a follower wants. ``kinds``: of events; ``root``: of one tree; ``None``: all. ``thread``: the one whose
    live events are wanted as well. ``rows``: the row of the list of threads, whenever one changes.
    """

    kinds: Container[str] | None = None
    root: str | None = None
    thread: str | None = None
    rows: bool = False


class Scrolled(Exception):
    """The log does not reach back to where a follower would go on, or never came so far."""

    def __init__(self, oldest: int) -> None:
        super().__init__(
            "the events behind this one are not kept in order any more; read the lists anew, then go on from 'latest'"
        )
        self.oldest = oldest


class _Recorded(NamedTuple):
    seq: int
    thread: str
    root: str
    last: int
    frames: list[tuple[int, str, bytes]]
    """Position, kind and the framed event."""
    size: int


class Follower:
    """One reader: its place, and the live events that wait for it. Made by ``AllEvents.enter``."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.closed = False
        self.seq = 0
        """The last commit that was passed."""
        self.within: Place | None = None
        """A commit of which a part was given to an earlier connection."""
        self.entered = 0
        """The newest commit when it came."""
        self.committed: int | None = None
        """The last row of its thread that was announced since then."""
        self.rows: dict[str, bytes] = {}
        """The latest row of each thread that has changed, framed."""
        self._passed = -1
        self._live: deque[tuple[int | None, bytes]] = deque()
        self._bytes = 0
        self._lost = 0
        self._timer: asyncio.TimerHandle | None = None
        self._something = asyncio.Event()

    def wake(self) -> None:
        """Something may be there for it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._something.set()

    def close(self) -> None:
        """It wants nothing more."""
        self.closed = True
        self.wake()

    async def wait(self) -> None:
        """Until it is woken or closed. Before it, ``AllEvents.ready`` must have said that there is nothing."""
        if not self.closed:
            await self._something.wait()

    def begin(self) -> None:
        """What comes from now on wakes it again."""
        self._something.clear()

    def offer(self, kind: str, data: dict[str, Any]) -> None:
        """Take a live event of its thread, which is shown behind all rows that are announced by now.

        Args:
            kind: Of the event.
            data: Its payload.
        """
        if len(self._live) >= LIVE_EVENTS or self._bytes >= LIVE_BYTES:
            self._lost += 1
            return
        if self._lost:
            self._append("lost", {"events": self._lost})
            self._lost = 0
        self._append(kind, data)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LIVE_DELAY, self.wake)

    def _append(self, kind: str, data: dict[str, Any]) -> None:
        framed = frame(FeedEvent(None, kind, _encode({"thread": self.asked.thread, **data})))
        self._live.append((self.committed, framed))
        self._bytes += len(framed)

    def live(self) -> list[bytes]:
        """Live events whose turn it is."""
        found = []
        while self._live:
            behind, framed = self._live[0]
            if self.seq < self.entered if behind is None else self._passed < behind:
                break
            self._live.popleft()
            self._bytes -= len(framed)
            found.append(framed)
        return found

    def take(self, recorded: _Recorded) -> list[bytes]:
        """What it wants of a commit, which it has passed from now on; live events that waited for it follow."""
        found = self.live()
        if self.wants(recorded.root):
            kinds, within = self.asked.kinds, self.within
            begun = within.position if within is not None and within.seq == recorded.seq else None
            found += [
                framed
                for position, kind, framed in recorded.frames
                if (kinds is None or kind in kinds) and (begun is None or position > begun)
            ]
        self.passed(recorded.seq, recorded.thread, recorded.last)
        found += self.live()
        return found

    def passed(self, seq: int, thread: str, last: int) -> None:
        """It has everything up to this commit."""
        self.seq = seq
        if thread == self.asked.thread:
            self._passed = max(self._passed, last)

    def settle(self, newest: int) -> None:
        """What is in the log by now is behind it, or comes by its place: what it has heard of so far waits for that alone.

        Args:
            newest: The newest commit.
        """
        self.entered, self.committed = newest, None
        self._live = deque((None, framed) for _, framed in self._live)

    def wants(self, root: str) -> bool:
        """Whether it follows this tree."""
        return self.asked.root in (None, root)


class AllEvents:
    """Told what happens, as ``abc.Observer`` is; serves followers.

    Args:
        store: Whose log it is.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._followers: set[Follower] = set()
        self._closed = False
        self._forget()
        self._task: asyncio.Task[None] | None = None

    def _forget(self) -> None:
        self._kept: list[_Recorded] = []
        self._bytes = 0
        self._begin: int | None = None
        """Every commit behind it, up to ``_end``, is kept; ``None``: it is not known where the log ends."""
        self._end = 0
        self._announced: dict[tuple[str, int], Delta] = {}
        self._early: deque[tuple[str, int]] = deque(maxlen=ANNOUNCED)
        """Commits that stood in the log before they were announced."""
        self._behind = False
        self._failed: InfinityError | None = None

    def followers(self) -> list[Follower]:
        """Those who follow now."""
        return list(self._followers)

    def watching(self) -> int:
        """How many follow now."""
        return len(self._followers)

    def live(self, thread: str, kind: str, data: dict[str, Any]) -> None:
        """See ``abc.Observer``."""
        for follower in self._followers:
            if follower.asked.thread == thread:
                follower.offer(kind, data)

    def committed(self, change: Delta) -> None:
        """See ``abc.Observer``."""
        if not self._followers or not (rows := change.feed):
            return
        for follower in self._followers:
            if follower.asked.thread == change.thread:
                follower.committed = rows[-1][0]
        key = change.thread, rows[0][0]
        if key in self._early:
            self._early.remove(key)
            return
        self._announced[key] = change
        if len(self._announced) > ANNOUNCED:
            # It is read from the store.
            del self._announced[next(iter(self._announced))]
        self._catch_up()

    def close(self) -> None:
        """End every stream, so that a host can stop."""
        self._closed = True
        for follower in self._followers:
            follower.close()

    async def enter(self, asked: Asked, place: Place | None) -> Follower:
        """Follow from now on. Whoever enters must ``leave``, whatever happens.

        Args:
            asked: What is wanted.
            place: Behind which event to go on; ``None``: with what comes next.

        Raises:
            Scrolled: That is not possible.
            StoreError: The log cannot be read.
        """
        follower = Follower(asked)
        # Before the log is looked at: what is committed meanwhile is announced.
        self._followers.add(follower)
        try:
            log = await self._store.log(1 << 62, 1)
            follower.settle(log.newest)
            follower.seq = log.newest
            if place is not None:
                follower.seq = place.seq if place.position is None else place.seq - 1
                follower.within = place
                if not log.oldest - 1 <= follower.seq <= log.newest or place.seq > log.newest:
                    raise Scrolled(log.oldest)
            if self._begin is None:
                self._begin = self._end = log.newest
                if self._announced:
                    self._catch_up()
            follower.closed = self._closed
        except BaseException:
            self.leave(follower)
            raise
        return follower

    def leave(self, follower: Follower) -> None:
        """End a stream. Harmless when repeated."""
        follower.close()
        self._followers.discard(follower)
        if not self._followers:
            if self._task is not None:
                self._task.cancel()
                self._task = None
            self._forget()

    async def ends(self) -> tuple[int, int]:
        """The numbers of the oldest and the newest commit in the log."""
        log = await self._store.log(1 << 62, 1)
        return log.oldest, log.newest

    async def ready(self, follower: Follower) -> list[bytes]:
        """Frames that come next for the follower, some at a time; empty when it has everything there is.

        Raises:
            Scrolled: It has fallen behind what is kept.
            StoreError: What comes next cannot be read.
        """
        while True:
            follower.begin()
            if self._failed is not None:
                raise self._failed
            if self._begin is None or follower.seq < self._begin:
                found, level = await self._from_store(follower)
            else:
                found, level = self._from_kept(follower), True
            if found or level:
                return found

    def _from_kept(self, follower: Follower) -> list[bytes]:
        found, size = follower.live(), 0
        for recorded in self._kept[bisect_right(self._kept, follower.seq, key=_seq) :]:
            found += follower.take(recorded)
            size += recorded.size
            if found and size >= PIECE:
                return found
        rows, follower.rows = follower.rows, {}
        return [*found, *rows.values()]

    async def _from_store(self, follower: Follower) -> tuple[list[bytes], bool]:
        """And whether that is all; else there is more to be read."""
        log = await self._store.log(follower.seq, PAGE)
        if follower.seq < log.oldest - 1:
            raise Scrolled(log.oldest)
        found: list[bytes] = []
        size = 0
        for row in log.rows:
            if follower.wants(row.root):
                recorded = await self._read(row)
                found += follower.take(recorded)
                size += recorded.size
            else:
                follower.passed(row.seq, row.thread, row.last)
            if size >= PIECE:
                return found, False
        if len(log.rows) < PAGE:
            follower.seq = max(follower.seq, log.newest)
        # Without an end that is known, nobody follows any more.
        return found, self._begin is None

    async def _read(self, row: LogRow) -> _Recorded:
        """From the store, a page at a time: an entry may have megabytes, and a commit many."""
        rows = await self._store.feed(row.thread, row.first - 1, row.last - row.first + 1)
        return _recorded(row, rows)

    # -- the end of the log

    def _catch_up(self) -> None:
        self._behind = True
        if self._begin is not None and self._task is None:
            self._task = shared(self._follow(), "all events")
            self._task.add_done_callback(self._followed)

    def _followed(self, task: asyncio.Task[None]) -> None:
        if task is not self._task:
            return
        self._task = None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # Each follower is told, and comes back with its place.
            found = from_core(error) if isinstance(error, CoreError) else error
            self._failed = found if isinstance(found, InfinityError) else InfinityError(str(found))
            for follower in self._followers:
                follower.wake()
        elif self._behind:
            self._catch_up()

    async def _follow(self) -> None:
        while self._behind:
            self._behind = False
            whole = False
            while not whole:
                log = await self._store.log(self._end, PAGE)
                for row in log.rows:
                    self._keep(await self._take(row))
                whole = len(log.rows) < PAGE
                if whole:
                    self._end = max(self._end, log.newest)
                for follower in self._followers:
                    follower.wake()
        if self._announced:
            asyncio.get_running_loop().call_later(HELD_BACK, self._look_again)

    def _look_again(self) -> None:
        if self._announced and self._followers:
            self._catch_up()

    async def _take(self, row: LogRow) -> _Recorded:
        change = self._announced.pop((row.thread, row.first), None)
        if change is None:
            self._early.append((row.thread, row.first))
            return await self._read(row)
        return _recorded(row, _rows(change))

    def _keep(self, recorded: _Recorded) -> None:
        self._kept.append(recorded)
        self._bytes += recorded.size
        self._end = recorded.seq
        while self._bytes > KEPT_BYTES and len(self._kept) > 1:
            old, self._kept = self._kept[: len(self._kept) // 2], self._kept[len(self._kept) // 2 :]
            self._bytes -= sum(each.size for each in old)
            self._begin = old[-1].seq


def _rows(change: Delta) -> list[FeedRow]:
    """The rows of a change, as ``Store.feed`` would list them."""
    records = dict(change.entries)
    found = []
    for position, kind, body in change.feed:
        record = records[msgspec.json.decode(body)["position"]] if kind == "entry" else None
        found.append(FeedRow(position, kind, body, record))
    return found


def _recorded(row: LogRow, rows: list[FeedRow]) -> _Recorded:
    frames = [(each.position, each.kind, _framed(row, each)) for each in rows]
    size = sum(len(framed) for _, _, framed in frames)
    return _Recorded(row.seq, row.thread, row.root, row.last, frames, size)


def _framed(row: LogRow, event: FeedRow) -> bytes:
    """With whose it is, when it was committed if it does not say so itself, and where to go on."""
    own = event.body.strip()[1:-1].strip()
    content = b"" if event.record is None else entry_members(event.record)
    at = b"" if own.startswith(b'"at":') or content else b'"at":%d' % row.at
    names = b'"thread":%s,"root":%s,"cursor":%d' % (_encode(row.thread), _encode(row.root), event.position)
    data = b"{" + b",".join(piece for piece in (names, at, own, content) if piece) + b"}"
    return b"id: %d.%d\nevent: %s\ndata: %s\n\n" % (row.seq, event.position, event.kind.encode(), data)
