"""Live events among rows, for those who follow all threads: what was said before a commit comes before its rows, what was said after it comes after them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contract.stores import journal
from tests.contract.threads import NOW, blocks, create
from tests.patience import PATIENCE

from infinity._core import Thread
from infinity.abc import Store
from infinity.all_events import AllEvents, Asked, Follower, Place


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with journal(tmp_path) as made:
        yield made


async def commit(store: Store, everything: AllEvents, thread: Thread) -> None:
    thread.add_user(blocks("word"), now=NOW)
    delta = thread.delta(NOW)
    await store.commit(delta)
    thread.committed()
    everything.committed(delta)


async def given(everything: AllEvents, follower: Follower, count: int) -> list[str]:
    """The kinds of the next events; live ones with their text."""
    found: list[str] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) < count:
            frames = await everything.ready(follower)
            for frame in frames:
                kind = frame.partition(b"event: ")[2].partition(b"\n")[0].decode()
                found.append(kind if b"id: " in frame else frame.rpartition(b'"text":"')[2][:1].decode())
            if not frames:
                await follower.wait()
    return found


async def test_live_events_keep_their_place_among_commits(store: Store) -> None:
    everything = AllEvents(store)
    thread, other = await create(store), await create(store, "other")
    follower = await everything.enter(Asked(thread="t"), None)
    for number in range(3):
        everything.live("t", "text", {"text": f"{number}"})
        everything.live("other", "text", {"text": "nobody asked for it"})
        await commit(store, everything, thread)
    everything.live("t", "text", {"text": "3"})
    await commit(store, everything, other)
    assert await given(everything, follower, 8) == ["0", "entry", "1", "entry", "2", "entry", "3", "entry"]
    everything.leave(follower)


async def test_live_events_wait_for_what_a_follower_has_missed(store: Store) -> None:
    everything = AllEvents(store)
    thread = await create(store)
    await commit(store, everything, thread)
    follower = await everything.enter(Asked(thread="t"), Place(0))
    everything.live("t", "text", {"text": "1"})
    await commit(store, everything, thread)
    assert await given(everything, follower, 4) == ["entry", "entry", "1", "entry"]
    everything.leave(follower)


async def test_too_many_live_events_are_counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infinity.all_events.LIVE_EVENTS", 2)
    everything = AllEvents(store)
    await create(store)
    follower = await everything.enter(Asked(thread="t"), None)
    for number in range(5):
        everything.live("t", "text", {"text": f"{number}"})
    assert await given(everything, follower, 2) == ["0", "1"]
    everything.live("t", "text", {"text": "5"})
    [lost, last] = await everything.ready(follower)
    assert b'"events":3' in lost and b'"5"' in last
    everything.leave(follower)
