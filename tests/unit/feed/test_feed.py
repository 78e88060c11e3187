"""The event stream: durable rows once and in order, live events in between, whatever the watcher does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, NamedTuple, cast

import pytest
from tests.patience import PATIENCE as SOON

from infinity._core import Delta
from infinity.abc import FeedRow, PromptRow, Store
from infinity.errors import StoreError
from infinity.feed import Feed, FeedEvent, Watcher


class Change(NamedTuple):
    """The part of a commit that a feed looks at."""

    thread: str
    feed: list[tuple[int, str, bytes]]
    entries: list[tuple[int, bytes]]

    @property
    def root(self) -> str:
        return self.thread


class Rows:
    """The part of a store that a feed reads. ``gate`` holds a read between its query and its return."""

    def __init__(self) -> None:
        self.rows: dict[str, list[FeedRow]] = {}
        self.reads = 0
        self.failing = False
        self.gate: asyncio.Event | None = None

    async def prompts(self, *, root: str) -> list[PromptRow]:
        return []

    async def feed(self, thread: str, after: int = -1, limit: int = 1000) -> list[FeedRow]:
        self.reads += 1
        if self.failing:
            raise StoreError("the disk is away")
        found = [row for row in self.rows.get(thread, []) if row.position > after][:limit]
        await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        return found

    def add(self, thread: str, count: int = 1, size: int = 0) -> Delta:
        """Rows of one commit."""
        rows = self.rows.setdefault(thread, [])
        first = len(rows)
        for number in range(first, first + count):
            body = {"n": number, "text": "x" * size} if size else {"n": number}
            rows.append(FeedRow(number, "status", json.dumps(body).encode()))
        change = Change(thread, [(row.position, row.kind, row.body) for row in rows[first:]], [])
        return cast(Delta, change)


@pytest.fixture
def rows() -> Rows:
    return Rows()


def feed_over(rows: Rows, **how: Any) -> Feed:
    return Feed(cast(Store, rows), **how)


async def some(events: AsyncGenerator[FeedEvent, None], count: int) -> list[FeedEvent]:
    return [await asyncio.wait_for(anext(events), SOON) for _ in range(count)]


def cursors(events: list[FeedEvent]) -> list[int | None]:
    return [event.position for event in events]


async def test_a_watch_begins_behind_its_cursor_and_goes_on_with_what_is_committed(rows: Rows) -> None:
    feed = feed_over(rows)
    rows.add("t", 5)
    async with aclosing(feed.watch("t", 2)) as events:
        assert cursors(await some(events, 2)) == [3, 4]
        feed.committed(rows.add("t", 2))
        assert cursors(await some(events, 2)) == [5, 6]


async def test_without_a_cursor_a_watch_begins_at_the_beginning(rows: Rows) -> None:
    feed = feed_over(rows)
    rows.add("t", 2)
    async with aclosing(feed.watch("t")) as events:
        assert cursors(await some(events, 2)) == [0, 1]


async def test_long_streams_are_read_in_pages(rows: Rows) -> None:
    feed = feed_over(rows)
    rows.add("t", 1234)
    async with aclosing(feed.watch("t")) as events:
        assert cursors(await some(events, 1234)) == list(range(1234))
    assert rows.reads <= 5


async def test_what_is_committed_during_the_first_read_is_neither_missed_nor_repeated(rows: Rows) -> None:
    feed = feed_over(rows)
    rows.add("t", 3)
    rows.gate = asyncio.Event()
    async with aclosing(feed.watch("t")) as events:
        first = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.01)  # the rows are read, not yet returned
        feed.committed(rows.add("t"))
        rows.gate.set()
        found = [await asyncio.wait_for(first, SOON), *await some(events, 3)]
        assert cursors(found) == [0, 1, 2, 3]
        feed.live("t", "text", {"text": "x"})
        [live] = await some(events, 1)
        assert (live.position, live.kind) == (None, "text")


async def test_live_events_come_between_the_rows_that_they_happened_between(rows: Rows) -> None:
    feed = feed_over(rows)
    async with aclosing(feed.watch("t")) as events:
        pending = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.01)
        feed.live("t", "text", {"text": "one"})
        feed.committed(rows.add("t"))
        feed.live("t", "text", {"text": "two"})
        feed.committed(rows.add("t"))
        kinds = [(await asyncio.wait_for(pending, SOON)).kind] + [
            event.kind for event in await some(events, 2)
        ]
        assert kinds == ["text", "status", "text"]
        assert rows.reads == 1  # of the beginning; everything else came from the commits


async def test_a_slow_watcher_loses_live_events_and_is_told_but_no_row(rows: Rows) -> None:
    feed = feed_over(rows, capacity=10)
    rows.add("t")
    async with aclosing(feed.watch("t")) as events:
        await some(events, 1)
        feed.live("t", "text", {"n": -1})
        await some(events, 1)
        for number in range(100):
            feed.live("t", "text", {"n": number})
        live = await some(events, 10)
        assert [json.loads(event.data)["n"] for event in live] == list(range(10))
        feed.live("t", "text", {"n": 100})
        lost, after = await some(events, 2)
        assert (lost.kind, json.loads(lost.data)) == ("lost", {"events": 90})
        assert json.loads(after.data) == {"n": 100}
        for _ in range(30):
            for number in range(20):
                feed.live("t", "text", {"n": number})
            feed.committed(rows.add("t"))
        found: list[int] = []
        while len(found) < 30:
            [event] = await some(events, 1)
            if event.position is not None:
                found.append(event.position)
        assert found == list(range(1, 31))


@pytest.mark.rap("VIEW-1")
async def test_the_latest_view_of_each_type_is_never_lost(rows: Rows) -> None:
    feed = feed_over(rows, capacity=1)
    rows.add("t")
    async with aclosing(feed.watch("t")) as events:
        await some(events, 1)
        for number in range(20):
            feed.live("t", "text", {"n": number})
            feed.live("t", "view", {"view_type": "diff", "content": number})
            feed.live("t", "view", {"view_type": "plan", "content": number})
        found = await some(events, 3)
        views = {
            json.loads(event.data)["view_type"]: json.loads(event.data)["content"]
            for event in found
            if event.kind == "view"
        }
        assert views == {"diff": 19, "plan": 19}


async def test_threads_are_watched_apart(rows: Rows) -> None:
    feed = feed_over(rows)
    rows.add("a")
    async with aclosing(feed.watch("a")) as events:
        await some(events, 1)
        feed.live("b", "text", {})
        feed.committed(rows.add("b"))
        feed.live("a", "text", {"here": True})
        [event] = await some(events, 1)
        assert json.loads(event.data) == {"here": True}


async def test_two_watchers_see_the_same(rows: Rows) -> None:
    feed = feed_over(rows)
    rows.add("t")
    async with aclosing(feed.watch("t")) as one, aclosing(feed.watch("t")) as two:
        await some(one, 1)
        await some(two, 1)
        assert feed.watching() == 2
        feed.committed(rows.add("t"))
        assert await some(one, 1) == await some(two, 1)
    assert feed.watching() == 0


@pytest.mark.trap("R1")
async def test_a_store_that_fails_ends_the_watch_with_its_error(rows: Rows) -> None:
    feed = feed_over(rows)
    rows.add("t")
    async with aclosing(feed.watch("t")) as events:
        await some(events, 1)
        rows.failing = True
        rows.add("t")  # by somebody else: not announced
        feed.committed(rows.add("t"))
        with pytest.raises(StoreError):
            await some(events, 1)
    assert feed.watching() == 0


async def test_closing_the_feed_ends_every_watch_and_later_ones(rows: Rows) -> None:
    feed = feed_over(rows)
    rows.add("t")
    async with aclosing(feed.watch("t")) as events:
        await some(events, 1)
        waiting = asyncio.ensure_future(anext(events, None))
        await asyncio.sleep(0)
        feed.close()
        assert await asyncio.wait_for(waiting, SOON) is None
    assert [event async for event in feed.watch("t")] == []


async def test_without_watchers_nothing_is_kept(rows: Rows) -> None:
    feed = feed_over(rows)
    for _ in range(1000):
        feed.live("t", "text", {"text": "unheard"})
        feed.committed(rows.add("t"))
    assert feed.watching() == 0 and rows.reads == 0


def test_live_events_are_dropped_when_the_rows_behind_them_were_read_before_they_were_announced() -> None:
    watcher = Watcher("t", None, 100)
    rows = [FeedEvent(position, "entry", b"{}") for position in (0, 1)]
    watcher.read(rows)
    before, after = FeedEvent(None, "text", b"{}"), FeedEvent(None, "queued", b"{}")
    for event in (before, *rows, after):
        watcher.offer(event, None)
    assert watcher.take() == [after], "what happened before a row that was handed over is over"
