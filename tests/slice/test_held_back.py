"""A thread that held the daemon until its process was ended runs nothing until it is resumed; everything else does, and everybody who waits for it is told (L17, I14)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.slice.scenes import World

from infinity import Agent
from infinity.errors import LimitReached
from infinity.message import Action
from infinity.settings import Limits
from infinity.testing.replies import call, say, texts


async def _held(world: World, thread: str) -> None:
    world.suspect = thread
    await world.restart()
    assert world.runtime.held_back == [thread]


async def _problem(world: World, thread: str) -> str | None:
    reasons = (await world.runtime.explain(thread)).reasons
    return next((reason.text for reason in reasons if reason.kind == "held_back"), None)


@pytest.mark.trap("L17")
async def test_what_waits_is_kept_and_goes_on_in_order_once_it_is_resumed(world: World) -> None:
    world.model.then(say("first"))
    thread = await world.thread("one")
    await world.said(thread, "first")
    await world.settled(thread)
    await _held(world, thread)
    await world.runtime.send(thread, "two")
    await world.restart()
    assert world.runtime.held_back == [thread], "it is on record"
    await world.runtime.send(thread, "three")
    other = await world.runtime.create()
    world.model.then(say("here"))
    await world.runtime.send(other, "hello")
    await world.said(other, "here")
    await world.settled(thread)
    assert world.runtime.busy(thread) and len(world.model.requests) == 2
    assert "Resume the thread" in (await _problem(world, thread) or "")
    world.model.then(say("both"))
    await world.runtime.control(thread, Action.RESUME)
    await world.said(thread, "both")
    await world.settled(thread)
    said = texts(world.model.requests[-1]["messages"][-1])
    assert said.index("two") < said.index("three")
    assert (world.runtime.held_back, await _problem(world, thread), world.runtime.busy(thread)) == (
        [],
        None,
        False,
    )
    await world.restart()
    assert world.runtime.held_back == []


@pytest.mark.trap("G2")
async def test_what_people_have_waiting_there_is_bounded(open_world: Any) -> None:
    world: World = await open_world(agent=Agent(limits=Limits(queued_messages=2))).start()
    thread = await world.thread()
    await _held(world, thread)
    await world.runtime.send(thread, "one")
    await world.restart()
    await world.runtime.send(thread, "two")
    await world.settled(thread)
    with pytest.raises(LimitReached, match="queued_messages"):
        await world.runtime.send(thread, "three")
    world.model.then(say("done"))
    await world.runtime.control(thread, Action.RESUME)
    await world.said(thread, "done")
    await world.settled(thread)
    world.model.then(say("and this"))
    await world.runtime.send(thread, "three")
    await world.said(thread, "and this")
    await world.close()


@pytest.mark.rap("THR-5")
async def test_a_parent_hears_of_a_child_that_is_held_back(world: World) -> None:
    world.model.when("go", call(("spawn_thread", {"instructions": "dig"})))
    world.model.when("dig", say("dug")).when("was created", say("spawned")).when(
        "ended its turn", say("I see")
    )
    parent = await world.thread("go")
    await world.said(parent, "I see")
    await world.settled(parent)
    (child,) = [row.id for row in await world.store.threads(parent=parent)]
    world.model.when("cannot go on", say("so it hung"))
    await _held(world, child)
    await world.said(parent, "so it hung")


async def test_one_that_is_not_there_any_more_is_forgotten(world: World) -> None:
    thread = await world.thread()
    await _held(world, thread)
    await world.runtime.delete(thread)
    await world.restart()
    assert world.runtime.held_back == []
    world.suspect = thread
    await world.restart()
    assert world.runtime.held_back == []
    world.suspect = "thread-that-never-was"
    await world.restart()
    assert world.runtime.held_back == []
