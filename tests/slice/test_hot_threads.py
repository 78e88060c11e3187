"""Hot threads: what is kept in memory between slices, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from infinity import Agent
from infinity._core import Thread
from infinity.engine import threads
from infinity.engine.threads import HotThreads
from infinity.settings import Limits
from infinity.testing.replies import say


def _thread(id: str, entries: int) -> Thread:
    thread = Thread.create(id, now=0, model="m")
    for _ in range(entries):
        thread.add_user(b'[{"type":"text","text":"x"}]', now=0)
    return thread


def test_the_threads_used_last_are_kept() -> None:
    hot = HotThreads(2, sole_writer=True)
    for id in ("a", "b", "c"):
        hot.keep(_thread(id, 1))
    assert hot.take("a") is None
    assert hot.take("b") is not None
    assert hot.take("b") is None, "a state is out while its slice runs"


@pytest.mark.trap("G3")
def test_a_closed_thread_takes_no_place() -> None:
    hot = HotThreads(1, sole_writer=True)
    hot.keep(_thread("open", 1))
    closed = _thread("closed", 1)
    closed.close()
    hot.keep(closed)
    assert (hot.take("closed"), len(hot)) == (None, 1)


def test_a_few_long_threads_do_not_fill_the_memory(monkeypatch: Any) -> None:
    monkeypatch.setattr(threads, "MOST_ENTRIES", 10)
    hot = HotThreads(100, sole_writer=True)
    for id in ("a", "b", "c"):
        hot.keep(_thread(id, 4))
    assert len(hot) == 2
    hot.keep(_thread("enormous", 50))
    assert len(hot) == 1, "the last one used stays, however long it is"


def test_a_few_threads_with_large_results_do_not_either(monkeypatch: Any) -> None:
    monkeypatch.setattr(threads, "MOST_BYTES", 10_000)
    hot = HotThreads(100, sole_writer=True)
    for id in ("a", "b", "c"):
        thread = Thread.create(id, now=0, model="m")
        thread.add_user(b'[{"type":"text","text":"%s"}]' % (b"x" * 4_000), now=0)
        hot.keep(thread)
    assert [hot.take(id) is not None for id in ("a", "b", "c")] == [False, True, True]


async def test_a_thread_that_was_let_go_is_read_again(open_world: Any) -> None:
    world = await open_world(agent=Agent(limits=Limits(hot_threads=1))).start()
    world.model.then(say("one"), say("two"), say("one again"))
    first = await world.thread("hi")
    await world.said(first, "one")
    second = await world.thread("hi")
    await world.said(second, "two")
    await world.runtime.send(first, "more")
    await world.said(first, "one again")
    assert [message["role"] for message in world.model.requests[2]["messages"]] == [
        "user",
        "assistant",
        "user",
    ]
    await world.close()
