"""A tree that is out of service and comes back: what waited goes first, and what an own function found out meanwhile is kept."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from tests.asking import asked
from tests.slice.scenes import World

from infinity import tool
from infinity.abc import Status
from infinity.api.threads import list_threads
from infinity.errors import UnknownThread
from infinity.stamps import is_stamp
from infinity.testing.replies import call, say, texts


class _Slow:
    """A store that takes its time over one of its methods, in which something else happens."""

    def __init__(self, store: Any, method: str, meanwhile: Any) -> None:
        self._store, self._method, self._meanwhile = store, method, meanwhile

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name != self._method:
            return found

        async def slowly(*args: Any, **how: Any) -> Any:
            await self._meanwhile()
            return await found(*args, **how)

        return slowly


@pytest.mark.rap("THR-1", "MIG-2")
@pytest.mark.parametrize("method", ["threads", "inbox"])
async def test_what_was_queued_before_a_move_failed_goes_before_what_came_after(
    world: World, method: str
) -> None:
    thread = await world.runtime.create()
    world.runtime.loop._suspended.add(
        thread
    )  # it has queued the first message and not read it when it leaves
    await world.runtime.send(thread, "first")
    await world.settled(thread)
    await world.runtime.retire(thread, "it is being moved")
    world.model.then(say("both heard"), say("and again"))
    sent: list[Status] = []

    async def meanwhile() -> None:
        """Somebody writes as soon as the tree takes messages again."""
        if not sent and await world.store.retired(thread) is None:
            sent.append((await world.runtime.send(thread, "second")).status)
            for _ in range(20):
                await asyncio.sleep(0)

    trees = world.runtime._trees
    trees._services = replace(trees._services, store=_Slow(world.runtime.store, method, meanwhile))
    await world.runtime.unretire(thread)
    await world.said(thread, "both heard")
    await world.settled(thread)
    assert sent == [Status.ACCEPTED]
    texts_in_order = [
        block["text"]
        for entry in await world.history(thread)
        if entry["kind"] == "user"
        for block in entry["user"]
        if not is_stamp(block)
    ]
    assert texts_in_order[1:] == ["first", "second"]


@pytest.mark.rap("MIG-2")
async def test_the_result_of_a_function_that_ends_while_its_tree_moves_is_kept_back_and_told_later(
    open_world: Any,
) -> None:
    go_on, started, runs = asyncio.Event(), asyncio.Event(), []

    @tool
    async def weigh() -> str:
        """Weigh a parcel."""
        runs.append(1)
        started.set()
        await go_on.wait()
        return "3 kg"

    world = open_world()
    world.agent = replace(world.agent, tools=(weigh,))
    await world.start()
    world.model.then(call(("weigh", {})), say("it weighs 3 kg"))
    thread = await world.thread("go")
    await started.wait()
    await world.store.retire_tree(thread, "it is being moved")
    go_on.set()
    await world.until(lambda: world.clock.sleeping() == 1)
    assert await world.store.inbox() == [], "nothing is taken for a tree that moves"
    assert await world.kinds(thread) == ["user", "user", "turn"]
    await world.runtime.unretire(thread)
    world.clock.advance(1)
    await world.said(thread, "it weighs 3 kg")
    assert "3 kg" in texts(world.model.requests[1]["messages"][-1])
    await world.close()


async def test_a_tree_that_is_not_here_cannot_be_taken_out_of_service(world: World) -> None:
    with pytest.raises(UnknownThread):
        await world.runtime.retire("nowhere", "it is being moved")


async def test_the_rows_of_a_tree_that_is_not_here_say_so(world: World) -> None:
    world.model.when("go", call(("spawn_thread", {"instructions": "dig"})))
    world.model.when("dig", say("done"))
    world.model.then(say("spawned"))
    thread, other = await world.thread("go"), await world.thread()
    await world.said(thread, "spawned")
    (child,) = [row.id for row in await world.store.threads(parent=thread)]
    await world.settled(child)
    assert await _notes(world) == {thread: None, child: None, other: None}
    await world.runtime.retire(thread, "it lives elsewhere")
    here = f"conversation {thread} is out of service here: it lives elsewhere"
    assert await _notes(world) == {thread: here, child: here, other: None}
    await world.runtime.unretire(thread)
    assert await _notes(world) == {thread: None, child: None, other: None}


async def _notes(world: World) -> dict[str, str | None]:
    listed = (await asked(world.runtime, list_threads))[1]["threads"]
    return {row["id"]: row["out_of_service"] for row in listed}
