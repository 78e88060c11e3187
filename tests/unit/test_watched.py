"""Every step of a slice is bracketed, however it ends, and a loop without slices says that it rests (L17, I9)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.slice.scenes import World

from infinity.engine.watched import Unwatched, watched
from infinity.testing.replies import say


class Recorded:
    def __init__(self) -> None:
        self.seen: list[str] = []

    def enter(self, thread: str, /) -> None:
        self.seen.append(f"enter {thread}")

    def leave(self) -> None:
        self.seen.append("leave")

    def rest(self) -> None:
        self.seen.append("rest")


@pytest.mark.trap("L17")
async def test_each_step_is_between_enter_and_leave() -> None:
    watch = Recorded()

    async def work() -> int:
        watch.seen.append("first")
        await asyncio.sleep(0)
        watch.seen.append("second")
        return 7

    assert await asyncio.create_task(watched(watch, "t", work())) == 7
    assert watch.seen == ["enter t", "first", "leave", "enter t", "second", "leave"]


@pytest.mark.trap("L17")
@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_step_that_fails_or_is_cancelled_has_ended(cancelled: bool) -> None:
    watch, begun = Recorded(), asyncio.Event()

    async def work() -> None:
        begun.set()
        if not cancelled:
            raise ValueError("no")
        await asyncio.Event().wait()

    task = asyncio.create_task(watched(watch, "t", work()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError if cancelled else ValueError):
        await task
    assert watch.seen == ["enter t", "leave"] * (2 if cancelled else 1)


def test_without_a_watch_the_work_is_left_as_it_is() -> None:
    async def work() -> None: ...

    made = work()
    assert watched(Unwatched(), "t", made) is made
    made.close()


@pytest.mark.trap("L17")
async def test_slices_are_watched_by_their_threads_and_the_loop_rests_behind_the_last_one(
    tmp_path: Any,
) -> None:
    world = World(tmp_path / "infinity.db")
    world.watch = watch = Recorded()
    await world.start()
    try:
        world.model.then(say("one"), say("two"))
        threads = [await world.thread("hello") for _ in range(2)]
        for thread in threads:
            await world.event(thread, lambda event, _: event.kind == "slice")
        await world.until(lambda: watch.seen[-1] == "rest")
        assert {each for each in watch.seen if each.startswith("enter")} == {
            f"enter {thread}" for thread in threads
        }
        steps = [each.partition(" ")[0] for each in watch.seen if each != "rest"]
        assert steps == ["enter", "leave"] * (len(steps) // 2)
    finally:
        await world.close()
