"""The stream of all events: every commit once and in order, resumed without gap or repeat; and nothing is left of whoever went."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from tests.boundary.daemons import SOON, Running, running

from infinity import all_events as module
from infinity.local import live_rows
from infinity.local.assembly import HostedStore


class Event(NamedTuple):
    id: str | None
    kind: str
    data: dict[str, Any]


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path / "home") as made:
        yield made


@asynccontextmanager
async def following(daemon: Running, **query: str) -> AsyncIterator[AsyncIterator[Event]]:
    async with daemon.http.get("/v1/events", params=query) as response:
        assert response.status == 200, await response.text()
        yield _events(response)


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[Event]:
    fields: dict[str, str] = {}
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        else:
            if "event" in fields:
                yield Event(fields.get("id"), fields["event"], json.loads(fields["data"]))
            fields = {}


async def until(events: AsyncIterator[Event], condition: Callable[[Event], bool]) -> list[Event]:
    """Events up to the first for which it holds."""
    found = []
    async with asyncio.timeout(SOON):
        async for event in events:
            found.append(event)
            if condition(event):
                return found
    raise AssertionError(f"the stream ended: {found[-1:]}")


def rested(thread: str, times: int = 1) -> Callable[[Event], bool]:
    """After so many answers of the thread."""
    left = times

    def check(event: Event) -> bool:
        nonlocal left
        if event.data.get("thread") == thread and event.kind == "entry" and event.data.get("assistant"):
            left -= 1
        return left == 0

    return check


async def recorded(daemon: Running) -> list[tuple[str, str, int]]:
    """Id, thread and position of every event that the log speaks of."""
    store = daemon.daemon.runtime.store
    return [
        (f"{row.seq}.{position}", row.thread, position)
        for row in (await store.log()).rows
        for position in range(row.first, row.last + 1)
    ]


def durable(events: list[Event]) -> list[tuple[str, str, int]]:
    return [
        (event.id, event.data["thread"], event.data["cursor"]) for event in events if event.id is not None
    ]


async def talked(daemon: Running, threads: int = 3, times: int = 2) -> list[str]:
    made = [await daemon.thread() for _ in range(threads)]
    for number in range(times):
        for thread in made:
            await daemon.post(f"/v1/threads/{thread}/messages", {"content": f"word {number}"})
        for thread in made:
            await daemon.said(thread, f"word {number}")
    return made


@pytest.mark.trap("G5")
async def test_everything_that_is_committed_comes_once_and_in_order(daemon: Running) -> None:
    async with following(daemon) as events:
        [hello] = await until(events, lambda event: event.kind == "hello")
        assert hello.data["latest"] == hello.data["oldest"] == "0" and hello.data["now"] > 0
        first, second = await daemon.thread(), await daemon.thread()
        for number, thread in enumerate((first, second, first)):
            await daemon.post(f"/v1/threads/{thread}/messages", {"content": f"word {number}"})
            await daemon.said(thread, f"word {number}")
        # The last slice may not have ended yet.
        whole = await recorded(daemon)
        seen = await until(events, lambda event: event.id == whole[-1][0])
    assert durable(seen) == whole
    assert all({"thread", "root", "at", "cursor"} <= event.data.keys() for event in seen)
    own = [event.data for event in seen if event.data["thread"] == first]
    listed = await daemon.daemon.runtime.store.feed(first)
    assert len(own) > 6 and [data["cursor"] for data in own] == [row.position for row in listed][: len(own)]


@pytest.mark.trap("G5")
async def test_every_id_resumes_without_gap_or_repeat(daemon: Running) -> None:
    await talked(daemon)
    whole = await recorded(daemon)
    for number, (id, *_) in enumerate(whole[:-1]):
        async with following(daemon, after=id) as events:
            seen = await until(events, lambda event: event.id == whole[-1][0])
        assert durable(seen) == whole[number + 1 :]
    headers = {"Last-Event-ID": whole[3][0]}
    async with daemon.http.get("/v1/events?after=latest", headers=headers) as response:
        seen = await until(_events(response), lambda event: event.id == whole[-1][0])
    assert durable(seen) == whole[4:]
    # A number alone: behind all of its commit.
    seq = whole[0][0].partition(".")[0]
    async with following(daemon, after=seq) as events:
        seen = await until(events, lambda event: event.id == whole[-1][0])
    assert durable(seen) == [each for each in whole if each[0].partition(".")[0] != seq]


async def test_what_was_not_asked_for_is_left_out(daemon: Running) -> None:
    a, _ = await talked(daemon, 2)
    async with following(daemon, after="0", root=a, kinds="entry,problem") as events:
        seen = await until(events, rested(a, 2))
    assert {event.data["root"] for event in seen[1:]} == {a} and {event.kind for event in seen[1:]} == {
        "entry"
    }
    assert len(seen) > 4
    for query, status in (
        ({"root": "thread_none"}, 404),
        ({"thread": "thread_none"}, 404),
        ({"after": "soon"}, 400),
    ):
        assert (await daemon.get("/v1/events", params=query)).status == status


async def test_live_events_of_the_named_thread_keep_their_place_among_its_rows(daemon: Running) -> None:
    a, b = await talked(daemon, 2, 1)
    async with following(daemon, thread=a) as events:
        await until(events, lambda event: event.kind == "hello")
        for number in range(3):
            for thread in (a, b):
                await daemon.post(f"/v1/threads/{thread}/messages", {"content": f"number {number}"})
            for thread in (a, b):
                await daemon.said(thread, f"number {number}")
        seen = await until(events, rested(a, 3))
    live = [event for event in seen if event.id is None]
    assert {event.data["thread"] for event in live} == {a} and "text" in {event.kind for event in live}
    # The text of each answer comes before its entry, and after the entry of what it answers.
    kinds = [
        "text" if event.kind == "text" else "entry"
        for event in seen
        if event.data["thread"] == a and (event.kind == "text" or event.data.get("assistant"))
    ]
    assert [kind for kind, before in zip(kinds, [None, *kinds], strict=False) if kind != before] == [
        "text",
        "entry",
    ] * 3


async def test_a_place_that_is_not_kept_any_more_is_gone(daemon: Running) -> None:
    await talked(daemon, 1)
    store = daemon.daemon.runtime.store
    newest = (await store.log()).newest
    gone = await daemon.get("/v1/events", params={"after": f"{newest + 1}.0"})
    assert (gone.status, gone.code, gone.body["oldest"]) == (410, "gone", "0")
    _hosted(store).events_kept = -(10**15)
    thread = await daemon.thread()
    while (await store.log()).oldest == 1:
        await daemon.post(f"/v1/threads/{thread}/messages", {"content": "hi"})
    oldest = (await store.log()).oldest
    gone = await daemon.get("/v1/events", params={"after": f"{oldest - 1}.0"})
    assert (gone.status, gone.body["oldest"]) == (410, str(oldest - 1))
    async with following(daemon, after=gone.body["oldest"]) as events:
        seen = await until(events, lambda event: event.id is not None)
    assert str(seen[-1].id).startswith(f"{oldest}.")


def _hosted(store: Any) -> HostedStore:
    return store  # type: ignore[no-any-return]


async def test_nothing_is_left_of_a_client_that_went(daemon: Running) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(3):
            events = await stack.enter_async_context(following(daemon))
            await until(events, lambda event: event.kind == "hello")
        assert "infinity_event_streams 3" in (await daemon.get("/metrics")).body
    async with asyncio.timeout(SOON):
        while "infinity_event_streams 0" not in (await daemon.get("/metrics")).body:
            pass
    everything = daemon.daemon.runtime.feed.all_events  # type: ignore[attr-defined]
    assert everything.watching() == 0 and everything._task is None and not everything._kept
    await talked(daemon, 1)
    assert not everything._announced and not everything._kept


async def test_a_slow_client_holds_up_nobody_and_misses_nothing(
    daemon: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_BYTES", 2_000)
    monkeypatch.setattr(module, "PAGE", 3)
    monkeypatch.setattr(module, "PIECE", 1_000)
    everything = daemon.daemon.runtime.feed.all_events  # type: ignore[attr-defined]
    async with following(daemon) as slow, following(daemon) as quick:
        await until(slow, lambda event: event.kind == "hello")
        await talked(daemon, 3, 4)
        whole = await recorded(daemon)
        seen = await until(quick, lambda event: event.id == whole[-1][0])
        assert durable(seen) == whole and everything._bytes <= 4_000
        seen = await until(slow, lambda event: event.id == whole[-1][0])
        assert durable(seen) == whole


async def test_a_stream_that_cannot_be_read_ends_and_says_why(
    daemon: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    from infinity.errors import StoreError

    store = daemon.daemon.runtime.store
    async with following(daemon) as events:
        await until(events, lambda event: event.kind == "hello")

        async def fails(*_: Any) -> None:
            raise StoreError("the disk is away")

        monkeypatch.setattr(store, "log", fails)
        await daemon.thread("hi")
        [*_, end] = await until(events, lambda event: event.kind == "ended")
        assert "the disk is away" in end.data["message"]
    monkeypatch.undo()
    async with following(daemon, after="0") as events:
        assert durable(await until(events, lambda event: event.id is not None))


def rested_row(event: Event) -> bool:
    return event.data.get("status") == "idle" and "the last" in str(event.data.get("last"))


async def listed(daemon: Running, thread: str) -> dict[str, Any]:
    rows = (await daemon.get("/v1/threads", params={"explain": "1"})).body["threads"]
    [found] = [row for row in rows if row["id"] == thread]
    return dict(found)


async def test_rows_of_the_list_come_as_they_change(daemon: Running) -> None:
    [other] = await talked(daemon, 1, 1)
    thread = await daemon.thread()
    async with (
        following(daemon, rows="1", kinds="problem") as all_rows,
        following(daemon, rows="1", root=other, kinds="problem") as others,
    ):
        for events in (all_rows, others):
            await until(events, lambda event: event.kind == "hello")
        await daemon.post(f"/v1/threads/{thread}/messages", {"content": "the last words"})
        await daemon.said(thread, "the last words")
        row = None
        # A row is read while its slice ends, and is followed by another one then.
        while row != await listed(daemon, thread):
            [*_, last] = await until(all_rows, rested_row)
            assert last.kind == "row" and last.id is None
            row = last.data
        await daemon.post(f"/v1/threads/{other}/messages", {"content": "the last words"})
        seen = await until(others, rested_row)
    assert {event.data["id"] for event in seen} == {other}


async def test_too_many_rows_at_once_are_told_as_that(
    daemon: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_rows, "MOST", 1)
    threads = [await daemon.thread() for _ in range(3)]
    async with following(daemon, rows="1", kinds="row") as events:
        await until(events, lambda event: event.kind == "hello")
        await asyncio.gather(
            *(daemon.post(f"/v1/threads/{thread}/messages", {"content": "hi"}) for thread in threads)
        )
        [*_, many] = await until(events, lambda event: "many" in event.data)
    assert many == Event(None, "row", {"many": True})
