"""A parent hears of a child that does not go on by itself, in the commit that stops it (THR-5, I14)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.slice.scenes import World

from infinity import Agent
from infinity.errors import (
    InvalidModelRequest,
    ModelAuthentication,
    ModelError,
    ModelRefused,
)
from infinity.message import Action
from infinity.settings import Limits
from infinity.testing.replies import call, say, texts
from infinity.testing.tool_server import ToolServer

SPAWN = call(("spawn_thread", {"instructions": "count the beans"}))
CREATED, ASKED = "was created and works by itself", "count the beans"
ENDED, STOPPED = "ended its turn without a report", "cannot go on"


async def _parent(world: World, *, rests: str = "spawned") -> str:
    world.model.then(SPAWN)
    world.model.when(CREATED, say(rests))
    return await world.thread("go")


async def _only_child(world: World, parent: str) -> str:
    (row,) = await world.store.threads(parent=parent)
    return row.id


def _heard(world: World, text: str) -> list[dict[str, Any]]:
    return [each for each in world.model.requests if text in texts(each["messages"][-1])]


@pytest.mark.rap("THR-5")
async def test_a_child_that_ends_without_a_report_is_reported_with_its_last_words(world: World) -> None:
    world.model.when(ASKED, say("seven, I would say"))
    world.model.when(ENDED, say("it is done"))
    parent = await _parent(world)
    await world.said(parent, "it is done")
    (heard,) = _heard(world, ENDED)
    assert "seven, I would say" in texts(heard["messages"][-1])


@pytest.mark.rap("THR-5")
@pytest.mark.parametrize("error", [ModelRefused("no"), InvalidModelRequest("not so"), ModelError("odd")])
async def test_a_child_that_its_model_refuses_is_reported_with_the_reason(
    world: World, error: ModelError
) -> None:
    world.model.when(ASKED, error)
    world.model.when(STOPPED, say("I know why"))
    parent = await _parent(world)
    await world.said(parent, "I know why")
    (heard,) = _heard(world, STOPPED)
    assert str(error) in texts(heard["messages"][-1])


@pytest.mark.rap("THR-5")
async def test_a_child_at_the_limit_of_rounds_is_reported(open_world: Any) -> None:
    world = await open_world(agent=Agent(limits=Limits(rounds=2))).start()
    again = call(("send_message_to_child", {"thread_id": "thread_none", "message": "x"}))
    world.model.when(ASKED, again)
    world.model.when("not an open child", again)
    world.model.when("limits.rounds", say("too many"))
    parent = await _parent(world)
    await world.said(parent, "too many")
    await world.close()


@pytest.mark.rap("THR-5")
async def test_a_cause_outside_the_child_is_sent_to_no_parent(world: World) -> None:
    world.model.when(ASKED, ModelAuthentication("the key is wrong"))
    parent = await _parent(world)
    child = None
    await world.said(parent, "spawned")
    child = await _only_child(world, parent)
    await world.noted(child, "problem", code="model_authentication")
    await world.settled(child)
    await world.settled(parent)
    assert not _heard(world, STOPPED) and not _heard(world, ENDED)


@pytest.mark.rap("THR-5")
async def test_one_that_stays_stopped_is_reported_once(world: World) -> None:
    world.model.when(ASKED, ModelRefused("no"))
    world.model.when(STOPPED, say("I know why"))
    parent = await _parent(world)
    await world.said(parent, "I know why")
    child = await _only_child(world, parent)
    await world.runtime.control(child, Action.COMPACT)
    await world.noted(child, "compaction")
    await world.settled(child)
    await world.settled(parent)
    assert len(_heard(world, STOPPED)) == 1
    world.model.when(ASKED, call(("report_to_parent", {"report": "seven beans"})))
    world.model.when("Reported to the parent", say("done"))
    world.model.when("seven beans", say("seven then"))
    await world.runtime.control(child, Action.RESUME)
    await world.said(parent, "seven then")
    await world.said(child, "done")
    await world.settled(child)
    await world.settled(parent)
    assert not _heard(world, ENDED)


@pytest.mark.rap("THR-5")
async def test_one_that_went_on_and_stops_again_for_the_same_reason_is_reported_again(world: World) -> None:
    world.model.when(ASKED, ModelRefused("no"))
    world.model.when(STOPPED, say("I know why"))
    parent = await _parent(world)
    await world.said(parent, "I know why")
    child = await _only_child(world, parent)
    world.model.when(ASKED, say("nine"))
    world.model.when(ENDED, say("nine then"))
    await world.runtime.control(child, Action.RESUME)
    await world.said(parent, "nine then")
    world.model.when("are you sure?", ModelRefused("no"))
    world.model.when(STOPPED, say("I know why again"))
    await world.runtime.send(child, "are you sure?")
    await world.said(parent, "I know why again")


@pytest.mark.rap("THR-5")
async def test_what_a_person_says_to_a_child_owes_its_parent_nothing(world: World) -> None:
    world.model.when(ASKED, call(("report_to_parent", {"report": "seven"})))
    world.model.when("Reported to the parent", say("done"))
    world.model.when("seven", say("thanks"))
    parent = await _parent(world)
    await world.said(parent, "thanks")
    child = await _only_child(world, parent)
    await world.said(child, "done")
    world.model.when("hello", say("hello, person"))
    await world.runtime.send(child, "hello")
    await world.said(child, "hello, person")
    await world.settled(child)
    await world.settled(parent)
    assert not _heard(world, ENDED)


@pytest.mark.rap("THR-5")
async def test_a_child_that_waits_for_a_child_of_its_own_has_not_ended(world: World) -> None:
    world.model.when(ASKED, call(("spawn_thread", {"instructions": "count half of them"})))
    world.model.when("count half", call(("sleep", {"seconds": 60})))
    world.model.when(CREATED, say("spawned")).when(CREATED, say("I wait for it"))
    parent = await world.thread()
    world.model.then(SPAWN)
    await world.runtime.send(parent, "go")
    await world.said(parent, "spawned")
    child = await _only_child(world, parent)
    await world.said(child, "I wait for it")
    await world.settled(child)
    assert not _heard(world, ENDED)
    world.model.when("you slept as asked", call(("close_thread", {"report": "three"})))
    world.model.when("three", call(("close_thread", {"report": "seven in all"})))
    world.model.when("seven in all", say("so many"))
    grandchild = await _only_child(world, child)
    await world.event(grandchild, lambda event, _: event.kind == "slice")
    await world.settled(grandchild)
    world.clock.advance(61)
    await world.said(parent, "so many")
    assert not _heard(world, ENDED)


@pytest.mark.rap("SUB-5", "THR-5")
async def test_the_thread_of_an_event_may_end_silently_and_is_reported_when_it_is_stopped(
    tooled: World, server: ToolServer
) -> None:
    tooled.model.then(call(("a", {})))
    tooled.model.when("The subscription is active", say("I listen"))
    parent = await tooled.thread("watch it")
    await server.invoked(1)
    id = server.invocations[0].id
    await server.answer(id, text="yes", subscription=True)
    await tooled.said(parent, "I listen")
    tooled.model.when("first news", say("nothing to tell"))
    await server.event(id, text="first news")
    child = (await tooled.noted(parent, "child"))["id"]
    await tooled.said(child, "nothing to tell")
    await tooled.settled(child)
    await tooled.settled(parent)
    assert not _heard(tooled, ENDED)
    tooled.model.when("second news", ModelRefused("I will not read that"))
    tooled.model.when(STOPPED, say("not readable"))
    await server.event(id, text="second news")
    await tooled.said(parent, "not readable")
    assert "I will not read that" in texts(_heard(tooled, STOPPED)[0]["messages"][-1])


@pytest.mark.rap("THR-5")
async def test_reports_that_wait_for_one_parent_are_answered_together(world: World) -> None:
    for number in range(3):
        world.model.when(f"bean {number}", say("counted"))
    world.model.then(call(*[("spawn_thread", {"instructions": f"bean {number}"}) for number in range(3)]))
    world.model.when(CREATED, say("spawned"))
    parent = await world.runtime.create()
    await world.runtime.send(parent, "go")
    await world.said(parent, "spawned")
    await world.runtime.control(parent, Action.STOP)
    await world.noted(parent, "status", status="stopped")
    for row in await world.store.threads(parent=parent):
        await world.said(row.id, "counted")
        await world.settled(row.id)
    await world.settled(parent)
    asked = len(world.model.requests)
    world.model.then(say("all three"))
    await world.runtime.control(parent, Action.RESUME)
    await world.runtime.send(parent, "and?")
    await world.said(parent, "all three")
    assert len(world.model.requests) == asked + 1
