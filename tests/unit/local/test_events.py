"""The event stream over HTTP: resumed by cursor without gap or repeat (G5), over restarts too."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.boundary.daemons import SOON, Event, Running, running

from infinity import feed as feed_module
from infinity.errors import StoreError
from infinity.local import event_stream


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path / "home") as made:
        yield made


async def durable(daemon: Running, thread: str, until: int, **how: int) -> list[Event]:
    """Recorded events up to this cursor."""
    found: list[Event] = []
    async with asyncio.timeout(SOON), daemon.events(thread, **how) as events:
        async for event in events:
            if event.id is not None:
                found.append(event)
                if event.id >= until:
                    return found
    return found


async def written(response: aiohttp.ClientResponse) -> bytes:
    """What the daemon wrote at once."""
    found, whole = b"", False
    while not whole:
        piece, whole = await response.content.readchunk()
        found += piece
    return found


async def talked(daemon: Running, times: int = 3) -> tuple[str, list[Event]]:
    """A thread with some history, and its whole stream."""
    thread = await daemon.thread()
    for number in range(times):
        await daemon.post(f"/v1/threads/{thread}/messages", {"content": f"word {number}"})
        await daemon.said(thread, f"word {number}")
    cursor = (await daemon.get(f"/v1/threads/{thread}")).body["cursor"]
    return thread, await durable(daemon, thread, cursor)


async def test_the_stream_is_whole_and_numbered_from_the_beginning(daemon: Running) -> None:
    thread, events = await talked(daemon)
    assert [event.id for event in events] == list(range(len(events)))
    entries = [event.data for event in events if event.kind == "entry"]
    listed = (await daemon.get(f"/v1/threads/{thread}/entries")).body["entries"]
    assert [entry["position"] for entry in entries] == [entry["position"] for entry in listed]
    assert [entry["kind"] for entry in entries] == [entry["kind"] for entry in listed]
    assert all(event.data["cursor"] == event.id for event in events if event.kind == "entry")


@pytest.mark.trap("G5")
async def test_every_cursor_resumes_without_gap_or_repeat(daemon: Running) -> None:
    thread, events = await talked(daemon)
    last = len(events) - 1
    for cursor in range(-1, last):
        assert await durable(daemon, thread, last, after=cursor) == events[cursor + 1 :]
    for cursor in range(last):
        assert await durable(daemon, thread, last, header=cursor) == events[cursor + 1 :]


async def test_the_header_wins_over_the_query(daemon: Running) -> None:
    thread, events = await talked(daemon)
    assert await durable(daemon, thread, len(events) - 1, after=0, header=4) == events[5:]


@pytest.mark.trap("G5")
async def test_a_watcher_that_reconnects_while_much_happens_sees_each_event_once(daemon: Running) -> None:
    thread = await daemon.thread()
    seen: list[int] = []

    async def watch() -> None:
        while len(seen) < 60:
            after = seen[-1] if seen else -1
            async with daemon.events(thread, after=after) as events:
                count = 0
                async for event in events:
                    if event.id is not None:
                        seen.append(event.id)
                        count += 1
                    if count == 7 or len(seen) >= 60:
                        break

    async def talk() -> None:
        for number in range(25):
            await daemon.post(f"/v1/threads/{thread}/messages", {"content": f"word {number}"})
            await daemon.said(thread, f"word {number}")

    async with asyncio.timeout(3 * SOON):
        await asyncio.gather(watch(), talk())
    assert seen[:60] == list(range(60))


async def test_the_stream_goes_on_after_a_restart_of_the_daemon(daemon: Running) -> None:
    thread, events = await talked(daemon)
    await daemon.restart()
    await daemon.post(f"/v1/threads/{thread}/messages", {"content": "and after"})
    await daemon.said(thread, "and after")
    more = await durable(daemon, thread, len(events) + 2, after=len(events) - 1)
    assert [event.id for event in more] == [len(events), len(events) + 1, len(events) + 2]


async def test_latest_begins_with_what_comes_next(daemon: Running) -> None:
    thread, events = await talked(daemon)
    async with asyncio.timeout(SOON), daemon.events(thread, after="latest") as stream:
        await daemon.post(f"/v1/threads/{thread}/messages", {"content": "now"})
        kinds = []
        async for event in stream:
            kinds.append(event.kind)
            if event.id is not None:
                assert event.id == len(events)
                break
    assert "queued" in kinds and "text" in kinds


async def test_a_cursor_ahead_of_the_stream_skips_nothing(daemon: Running) -> None:
    thread, events = await talked(daemon, 1)
    async with asyncio.timeout(SOON), daemon.events(thread, header=10_000) as stream:
        await daemon.post(f"/v1/threads/{thread}/messages", {"content": "now"})
        async for event in stream:
            if event.id is not None:
                assert event.id == len(events)
                break


@pytest.mark.rap("VIEW-1")
async def test_the_latest_views_come_first_on_every_connection(daemon: Running) -> None:
    thread, events = await talked(daemon, 1)
    store = daemon.daemon.runtime.store
    await store.put_view(thread, "diff", b'{"n": 1}')
    await store.put_view(thread, "diff", b'{"n": 2}')
    async with asyncio.timeout(SOON), daemon.events(thread, after=len(events)) as stream:
        first = await anext(stream)
        assert (first.id, first.kind, first.data) == (
            None,
            "view",
            {"view_type": "diff", "content": {"n": 2}},
        )
        daemon.daemon.runtime.feed.live(thread, "view", {"view_type": "diff", "content": {"n": 3}})
        assert (await anext(stream)).data["content"] == {"n": 3}


async def test_a_quiet_stream_shows_that_it_lives(daemon: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "KEEP_ALIVE", 0.02)
    thread = await daemon.thread()
    async with (
        asyncio.timeout(SOON),
        daemon.http.get(f"/v1/threads/{thread}/events?after=latest") as response,
    ):
        assert response.headers["Content-Type"].startswith("text/event-stream")
        lines = []
        async for line in response.content:
            lines.append(line)
            if lines.count(b": waiting\n") == 3:
                break
    assert lines[0] == b"retry: 1000\n"


async def test_text_with_line_breaks_stays_on_one_data_line(daemon: Running) -> None:
    thread = await daemon.thread("one\ntwo\r\nthree\u2028four")
    event = await daemon.until(thread, lambda event: "one" in json.dumps(event.data.get("user", "")))
    assert event.data["user"][-1]["text"] == "one\ntwo\r\nthree\u2028four"


async def test_watchers_are_let_go_when_the_daemon_stops(daemon: Running) -> None:
    thread = await daemon.thread()
    async with daemon.events(thread) as events:
        await anext(events)
        await asyncio.wait_for(daemon.daemon.stop(), SOON)
        rest = [event async for event in events]
        assert all(event.id is None or event.id >= 0 for event in rest)


async def test_a_watcher_that_leaves_a_quiet_stream_is_forgotten(
    daemon: Running, caplog: pytest.LogCaptureFixture
) -> None:
    thread = await daemon.thread()
    feed = daemon.daemon.runtime.feed
    for _ in range(5):
        async with daemon.events(thread) as events:
            await anext(events)
            assert feed.watching() == 1
        async with asyncio.timeout(SOON):
            while feed.watching():
                await asyncio.sleep(0.01)
    metrics = (await daemon.get("/metrics")).body
    assert "infinity_event_streams 0\n" in metrics
    assert 'route="/v1/threads/{id}/events",status="500"' not in metrics
    assert [record for record in caplog.records if record.exc_info] == []


async def test_rows_come_from_the_commit_and_are_not_read_back_for_each_watcher(
    daemon: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread, events = await talked(daemon, 1)
    store = daemon.daemon.runtime.store
    reads = 0
    read = store.feed

    async def counted(*how: Any) -> Any:
        nonlocal reads
        reads += 1
        return await read(*how)

    monkeypatch.setattr(store, "feed", counted)
    opened = asyncio.Barrier(11)

    async def follow() -> list[Event]:
        found: list[Event] = []
        async with daemon.events(thread, after=len(events) - 1) as stream:
            await opened.wait()
            async for event in stream:
                found += [event] if event.id is not None else []
                if event.kind == "slice" and event.id is not None:
                    return found
        return found

    async with asyncio.timeout(SOON):
        followers = [asyncio.create_task(follow()) for _ in range(10)]
        await opened.wait()
        await daemon.post(f"/v1/threads/{thread}/messages", {"content": "more"})
        seen = await asyncio.gather(*followers)
    assert reads == 10  # where each of them began
    monkeypatch.undo()
    assert seen == [await durable(daemon, thread, len(events) + 2, after=len(events) - 1)] * 10


async def test_what_happens_in_one_turn_of_the_loop_is_one_write_for_each_watcher(daemon: Running) -> None:
    thread, _ = await talked(daemon, 1)
    feed = daemon.daemon.runtime.feed
    async with (
        asyncio.timeout(SOON),
        daemon.http.get(f"/v1/threads/{thread}/events?after=latest") as response,
    ):
        assert await written(response) == b"retry: 1000\n\n"
        for number in range(20):
            feed.live(thread, "text", {"n": number})
        chunk = await written(response)
        assert chunk.count(b"event: text") == 20


async def test_a_client_that_does_not_read_is_closed_and_resumes_without_gap_or_repeat(
    daemon: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon.daemon.connections.stalled_connections, "seconds", 0.2)
    thread, events = await talked(daemon, 1)
    feed = daemon.daemon.runtime.feed
    async with (
        asyncio.timeout(3 * SOON),
        daemon.http.get(f"/v1/threads/{thread}/events?after=latest") as slow,
    ):
        await slow.content.readuntil(b"\n\n")
        connection = slow.connection
        assert connection is not None and connection.transport is not None
        connection.transport.pause_reading()  # type: ignore[attr-defined]
        for number in range(400):
            feed.live(thread, "text", {"n": number, "text": "x" * 50_000})
            await asyncio.sleep(0)
            if number % 40 == 0:
                await daemon.post(f"/v1/threads/{thread}/messages", {"content": f"word {number}"})
        while feed.watching():
            await asyncio.sleep(0.01)
    end = (await daemon.get(f"/v1/threads/{thread}")).body["cursor"]
    resumed = await durable(daemon, thread, end, after=len(events) - 1)
    assert [event.id for event in resumed] == list(range(len(events), end + 1))


async def test_streams_beyond_their_limit_are_told_to_come_back(tmp_path: Path) -> None:
    async with running(tmp_path / "home", "[limits]\nevent_streams = 2\n") as daemon:
        thread = await daemon.thread()
        async with daemon.events(thread), daemon.events(thread):
            refused = await daemon.get(f"/v1/threads/{thread}/events")
            assert (refused.status, refused.code) == (503, "streams")
            assert "limits.event_streams" in refused.body["error"]["message"]
            assert int(refused.headers["Retry-After"]) >= 1
            assert (await daemon.get(f"/v1/threads/{thread}")).status == 200
        async with asyncio.timeout(SOON):
            while daemon.daemon.runtime.feed.watching():
                await asyncio.sleep(0.01)
        async with daemon.events(thread):
            pass


async def test_a_storm_of_reconnects_leaves_nothing_behind(daemon: Running) -> None:
    thread, _ = await talked(daemon, 1)

    async def reconnect() -> None:
        for _ in range(20):
            async with daemon.events(thread) as stream:
                await anext(stream)

    async with asyncio.timeout(3 * SOON):
        await asyncio.gather(*(reconnect() for _ in range(20)))
        while daemon.daemon.runtime.feed.watching():
            await asyncio.sleep(0.01)
    assert "infinity_event_streams 0\n" in (await daemon.get("/metrics")).body


async def test_a_watcher_that_hangs_up_is_no_failure(
    daemon: Running, caplog: pytest.LogCaptureFixture
) -> None:
    thread = await daemon.thread()
    feed = daemon.daemon.runtime.feed
    with caplog.at_level("INFO"):
        async with daemon.http.get(f"/v1/threads/{thread}/events") as response:
            assert await response.content.readline() == b"retry: 1000\n"
            assert response.connection is not None and response.connection.transport is not None
            response.connection.transport.abort()
        async with asyncio.timeout(SOON):
            while feed.watching():
                feed.live(thread, "text", {"text": "anybody?" * 1000})
                await asyncio.sleep(0.01)
    assert [
        record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")
    ] == []


async def test_a_store_that_fails_under_a_stream_ends_it_in_order(
    daemon: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    thread, events = await talked(daemon, 1)

    async def fail(*_: object) -> list[object]:
        raise StoreError("the disk is gone")

    # What is committed comes from the commit; only a client that was away has to be read to.
    store, read, pages = daemon.daemon.runtime.store, daemon.daemon.runtime.store.feed, 0

    async def fail_later(*how: Any) -> Any:
        nonlocal pages
        pages += 1
        return await (read if pages == 1 else fail)(*how)

    monkeypatch.setattr(feed_module, "FIRST_PAGE", 1)
    monkeypatch.setattr(store, "feed", fail_later)
    async with asyncio.timeout(SOON), daemon.events(thread, after=len(events) - 3) as stream:
        [shown, ended] = [event async for event in stream]
    assert shown.id == len(events) - 2
    assert ended == (None, "ended", {"code": "storage", "message": "the disk is gone"})
    assert "the disk is gone" in caplog.text and "Traceback" not in caplog.text
    monkeypatch.setattr(store, "feed", fail)
    for after in ("0", "-1", "latest"):
        refused = await daemon.get(f"/v1/threads/{thread}/events?after={after}")
        assert (refused.status, refused.code) == (503, "storage"), after
