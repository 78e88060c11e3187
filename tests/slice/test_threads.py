"""Threads: children inherit by reference, report by message, and everything about them is one commit (L12, L13)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.slice.scenes import World

from infinity import Agent
from infinity._core import Call
from infinity.abc import BuiltinContext
from infinity.message import Action
from infinity.settings import Limits
from infinity.testing.replies import call, say, texts
from infinity.testing.tool_server import ToolServer
from infinity.tools.builtins import BUILTINS


def _last(request: dict[str, Any]) -> str:
    return texts(request["messages"][-1])


async def _children(world: World, thread: str) -> list[str]:
    return [row.id for row in await world.store.threads(parent=thread)]


@pytest.mark.trap("L12", "L13", "G4")
async def test_a_spawned_child_works_and_reports_and_its_parent_hears_of_it(world: World) -> None:
    world.model.then(call(("spawn_thread", {"instructions": "count the beans"}), text="Let me split this."))
    world.model.when("was created and works by itself", say("started it"))
    world.model.when("count the beans", call(("close_thread", {"report": "seven beans"})))
    world.model.when("seven beans", say("there are seven"))
    parent = await world.thread("how many beans?")
    await world.said(parent, "there are seven")
    (child,) = await _children(world, parent)
    row = await world.store.thread(child)
    assert row is not None and row.status == "closed" and row.parent == parent
    by_child = next(each for each in world.model.requests if "count the beans" in _last(each))
    by_parent = world.model.requests[0]
    assert by_child["system"] == by_parent["system"] and by_child["tools"] == by_parent["tools"]
    assert by_child["messages"][0]["content"][0] == by_parent["messages"][0]["content"][0]
    assert child in _last(by_child) and parent in _last(by_child)


async def test_other_calls_of_the_spawning_turn_stay_with_the_parent(
    tooled: World, server: ToolServer
) -> None:
    tooled.model.then(call(("a", {}), ("spawn_thread", {"instructions": "look around"})))
    tooled.model.when("look around", call(("close_thread", {})))
    tooled.model.when("closed without a report", say("the child is gone"))
    parent = await tooled.thread("go")
    await tooled.said(parent, "the child is gone")
    by_child = next(each for each in tooled.model.requests if "look around" in _last(each))
    assert "belongs to the parent thread" in _last(by_child)
    assert len(server.invocations) == 1
    tooled.model.when("42", say("and 42"))
    await server.answer(server.invocations[0].id, text="42")
    await tooled.said(parent, "and 42")


async def test_parent_and_child_can_talk(world: World) -> None:
    world.model.then(call(("spawn_thread", {"instructions": "wait for word"})))
    world.model.when("was created and works by itself", say("child is there"))
    world.model.when("wait for word", say("waiting"))
    world.model.when("ended its turn without a report", say("it waits"))
    parent = await world.thread("go")
    await world.said(parent, "it waits")
    (child,) = await _children(world, parent)
    await world.said(child, "waiting")
    world.model.when(
        "tell it", call(("send_message_to_child", {"thread_id": child, "message": "the word is owl"}))
    )
    world.model.when(f"Sent to {child}", say("sent"))
    world.model.when("the word is owl", call(("report_to_parent", {"report": "heard owl"})))
    world.model.when("Reported to the parent", say("reported"))
    world.model.when("heard owl", say("it heard"))
    await world.runtime.send(parent, "tell it")
    await world.said(parent, "it heard")
    await world.said(child, "reported")


@pytest.mark.parametrize(
    ("tool", "arguments", "part"),
    [
        ("report_to_parent", {"report": "x"}, "root thread"),
        ("send_message_to_child", {"thread_id": "thread_none", "message": "x"}, "not an open child"),
        ("cancel_subscription", {"tool_call_id": "call_none"}, "not an active subscription"),
        ("spawn_thread", {"instructions": ""}, "instructions"),
        ("sleep", {"seconds": -1}, "seconds"),
        ("sleep", {"seconds": "long"}, "seconds"),
    ],
)
async def test_a_mistake_with_a_built_in_is_answered_with_what_was_wrong(
    world: World, tool: str, arguments: dict[str, Any], part: str
) -> None:
    world.model.then(call((tool, arguments)), say("I see"))
    thread = await world.thread("go")
    await world.said(thread, "I see")
    result = _last(world.model.requests[1])
    assert result.startswith("Error: ") and part in result


@pytest.mark.parametrize("limits", [Limits(depth=1), Limits(children=1)])
async def test_the_limits_of_trees_are_told_to_the_model(open_world: Any, limits: Limits) -> None:
    world = await open_world(agent=Agent(limits=limits)).start()
    spawn = call(("spawn_thread", {"instructions": "go deeper"}))
    if limits.depth == 1:
        world.model.then(spawn)
        world.model.when("was created and works by itself", say("spawned"))
        world.model.when("go deeper", spawn)
        world.model.when("nested 1 deep", say("too deep"))
        parent = await world.thread("go")
        await world.said(parent, "spawned")
        await world.said((await _children(world, parent))[0], "too deep")
    else:
        world.model.then(
            call(("spawn_thread", {"instructions": "one"}), ("spawn_thread", {"instructions": "two"}))
        )
        world.model.when("may have 1 children", say("only one"))
        world.model.when("following, do not carry on", call(("sleep_until_event_or_input", {})))
        parent = await world.thread("go")
        await world.said(parent, "only one")
        assert len(await _children(world, parent)) == 1
    await world.close()


async def test_closing_a_parent_closes_its_children(world: World) -> None:
    world.model.then(call(("spawn_thread", {"instructions": "wait"})))
    world.model.when("was created and works by itself", say("child is there"))
    world.model.when("ended its turn without a report", say("it rests"))
    world.model.when("wait", say("waiting"))
    parent = await world.thread("go")
    await world.said(parent, "child is there")
    (child,) = await _children(world, parent)
    await world.said(child, "waiting")
    await world.said(parent, "it rests")
    await world.runtime.control(parent, Action.CLOSE)
    await world.noted(child, "status", status="closed")


@pytest.mark.rap("THR-4")
async def test_a_model_cannot_close_the_root_and_is_told_what_to_do_instead(world: World) -> None:
    world.model.then(call(("close_thread", {"report": "bye"}), text="Goodbye."), say("still here"))
    thread = await world.thread("close yourself")
    await world.said(thread, "still here")
    await world.settled(thread)
    assert "only the user closes that" in texts(world.model.requests[1]["messages"][-1])
    world.model.then(say("listening"))
    await world.runtime.send(thread, "are you there?")
    await world.said(thread, "listening")


async def _closed_under_an_earlier_version(world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    async def close(context: BuiltinContext, call: Call, arguments: dict[str, Any]) -> str:
        context.close(None)
        return "This thread is closed."

    was = [replace(tool, run=close) if tool.name == "close_thread" else tool for tool in BUILTINS]
    monkeypatch.setattr("infinity.tools.catalog.BUILTINS", tuple(was))
    world.model.then(call(("close_thread", {}), text="Goodbye."))
    thread = await world.thread("close yourself")
    await world.noted(thread, "status", status="closed")
    await world.settled(thread)
    monkeypatch.undo()
    return thread


@pytest.mark.rap("THR-4")
async def test_text_opens_a_root_again_that_its_model_closed_under_an_earlier_version(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = await _closed_under_an_earlier_version(world, monkeypatch)
    await world.restart()
    world.model.then(say("here I am"), say("and again"))
    assert (await world.runtime.send(thread, "are you there?", key="m")).status == "accepted"
    await world.said(thread, "here I am")
    assert (await world.runtime.send(thread, "are you there?", key="m")).status == "duplicate"
    await world.runtime.send(thread, "still?")
    await world.said(thread, "and again")
    assert "Goodbye." in str(world.model.requests[-1]["messages"])


@pytest.mark.rap("THR-4")
async def test_a_root_that_a_person_closed_stays_closed_whatever_the_model_had_tried(world: World) -> None:
    world.model.then(call(("close_thread", {})), say("as you wish"))
    thread = await world.thread("close yourself")
    await world.said(thread, "as you wish")
    await world.runtime.control(thread, Action.CLOSE)
    await world.noted(thread, "status", status="closed")
    assert (await world.runtime.send(thread, "are you there?")).status == "discarded"
    assert (await world.store.thread(thread)).status == "closed"  # type: ignore[union-attr]


@pytest.mark.rap("THR-4")
async def test_of_what_a_model_closed_only_text_opens_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = await _closed_under_an_earlier_version(world, monkeypatch)
    for action in (Action.RESUME, Action.COMPACT, Action.INTERRUPT):
        assert (await world.runtime.control(thread, action)).status == "discarded"
    assert (await world.store.thread(thread)).status == "closed"  # type: ignore[union-attr]


async def test_a_child_of_a_child_is_loaded_across_its_whole_lineage(world: World) -> None:
    world.model.then(say("remembered"))
    root = await world.thread("the password is owl")
    await world.said(root, "remembered")
    world.model.when("spawn now", call(("spawn_thread", {"instructions": "first level"})))
    world.model.when("was created and works by itself", say("ok root"))
    world.model.when("first level", call(("spawn_thread", {"instructions": "second level"})))
    world.model.when("was created and works by itself", say("ok child"))
    world.model.when("second level", say("deep"))
    for heard in ("the child hears it", "the root hears it"):
        world.model.when("ended its turn without a report", say(heard))
    await world.runtime.send(root, "spawn now")
    await world.said(root, "the root hears it")
    (child,) = await _children(world, root)
    await world.said(child, "the child hears it")
    (grandchild,) = await _children(world, child)
    await world.said(grandchild, "deep")
    await world.restart()
    world.model.then(say("owl"))
    await world.runtime.send(grandchild, "the password?")
    await world.said(grandchild, "owl")
    request = world.model.requests[-1]
    assert "the password is owl" in str(request["messages"]) and "second level" in str(request["messages"])
