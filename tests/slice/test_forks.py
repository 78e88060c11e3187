"""A fork goes on from an earlier point of a thread another way, and answers to people alone."""

from __future__ import annotations

from typing import Any

import pytest
from tests.asking import asked
from tests.slice.scenes import World
from tests.slice.test_compaction import ASKED, talk

from infinity.api.forks import fork_thread
from infinity.api.shown import get_shown
from infinity.errors import NoFork
from infinity.message import Action
from infinity.testing.replies import call, say
from infinity.testing.tool_server import ToolServer


async def _forked(world: World, thread: str, at: int, **more: Any) -> str:
    _, made = await asked(world.runtime, fork_thread, id=thread, body={"at": at, **more})
    assert made["parent"] == thread and made["id"].startswith("fork_")
    return str(made["id"])


async def _positions(world: World, thread: str, kind: str) -> list[int]:
    """Of messages or turns."""
    entries = await world.store.entries(thread)
    kinds = await world.kinds(thread)
    return [position for (position, _), each in zip(entries, kinds, strict=True) if each == kind]


async def test_a_fork_knows_what_came_before_and_nothing_that_came_after(world: World) -> None:
    thread = await world.thread()
    await talk(world, thread, 3)
    before = await world.history(thread)
    second = (await _positions(world, thread, "user"))[2]
    world.model.when("another question", say("another answer"))
    fork = await _forked(world, thread, second, say="another question")
    await world.said(fork, "another answer")
    request = str(world.model.requests[-1]["messages"])
    assert "answer 0" in request and "another question" in request
    assert "question 1." not in request and "answer 2" not in request
    assert await world.history(thread) == before, "the thread stays as it was"
    (turn,) = await _positions(world, fork, "turn")
    _, shown = await asked(world.runtime, get_shown, id=fork, position=str(turn))
    assert shown["exact"] and shown["messages"] == world.model.requests[-1]["messages"]
    await world.restart()
    world.model.when("and on?", say("and on"))
    await world.runtime.send(fork, "and on?")
    await world.said(fork, "and on")


async def test_a_fork_begins_before_what_was_summarised_since(world: World) -> None:
    thread = await world.thread()
    await talk(world, thread, 10)
    world.model.when(ASKED, say("the summary"))
    await world.runtime.control(thread, Action.COMPACT)
    await world.noted(thread, "compaction", state="applied")
    third = (await _positions(world, thread, "user"))[3]
    world.model.when("another question", say("another answer"))
    fork = await _forked(world, thread, third, say="another question")
    await world.said(fork, "another answer")
    request = str(world.model.requests[-1]["messages"])
    assert "question 1." in request and "the summary" not in request and "question 2." not in request


async def test_every_call_of_a_fork_asks_first_unless_somebody_wants_it_otherwise(
    tooled: World, server: ToolServer
) -> None:
    tooled.model.then(say("ready"))
    thread = await tooled.thread("hello")
    await tooled.said(thread, "ready")
    end = (await _positions(tooled, thread, "turn"))[-1] + 1
    tooled.model.when("look twice", call(("a", {"x": 1})))
    asking = await _forked(tooled, thread, end, say="look twice")
    prompt = await tooled.noted(asking, "prompt", prompt_kind="consent")
    assert server.invocations == [], "nothing has left"
    await tooled.runtime.choose(asking, prompt["id"], 0)
    assert (await server.invoked()).id
    tooled.model.when("look away", call(("a", {"x": 2})))
    tooled.model.then(say("so be it"))
    denied = await _forked(tooled, thread, end, say="look away", tools="deny")
    await tooled.said(denied, "so be it")
    tooled.model.when("look at once", call(("a", {"x": 3})))
    free = await _forked(tooled, thread, end, say="look at once", tools="as_configured")
    assert (await server.invoked(2)).arguments == {"x": 3}
    assert free not in {row.thread for row in await tooled.store.prompts()}


async def test_what_a_fork_spawns_is_held_to_the_same(tooled: World, server: ToolServer) -> None:
    tooled.model.then(say("ready"))
    thread = await tooled.thread("hello")
    await tooled.said(thread, "ready")
    end = (await _positions(tooled, thread, "turn"))[-1] + 1
    tooled.model.when("get help", call(("spawn_thread", {"instructions": "look"})))
    tooled.model.when("Do only the following", call(("a", {"x": 1})))
    tooled.model.then(say("it looks"))
    fork = await _forked(tooled, thread, end, say="get help")
    await tooled.said(fork, "it looks")
    (child,) = await tooled.store.threads(parent=fork)
    await tooled.noted(child.id, "prompt", prompt_kind="consent")
    assert server.invocations == []


async def test_a_fork_answers_to_people_alone(world: World) -> None:
    world.model.then(say("ready"))
    thread = await world.thread("hello")
    await world.said(thread, "ready")
    end = (await _positions(world, thread, "turn"))[-1] + 1
    world.model.when("report", call(("report_to_parent", {"report": "x"}), ("close_thread", {})))
    world.model.then(say("it stays with us"))
    before = await world.history(thread)
    fork = await _forked(world, thread, end, say="report")
    await world.said(fork, "it stays with us")
    results = str([entry for entry in await world.history(fork) if entry["kind"] == "result"])
    assert "this is a root thread" in results and "only the user closes" in results
    await world.runtime.control(fork, Action.CLOSE, "a last word")
    await world.noted(fork, "status", status="closed")
    world.model.when("and you?", say("nothing new"))
    await world.runtime.send(thread, "and you?")
    await world.said(thread, "nothing new")
    assert (await world.history(thread))[: len(before)] == before
    assert (await world.kinds(thread))[len(before) :] == ["user", "turn"], (
        "what was sent earlier came earlier"
    )
    assert (await world.store.open_children(thread), await world.store.living(thread)) == (0, 0)


async def test_forks_do_not_count_among_children(world: World) -> None:
    world.model.then(say("ready"))
    thread = await world.thread("hello")
    await world.said(thread, "ready")
    end = (await _positions(world, thread, "turn"))[-1] + 1
    fork = await _forked(world, thread, end)
    again = await _forked(world, fork, end + 1)
    assert (await world.store.open_children(thread), await world.store.living(thread)) == (0, 0)
    assert {row.id for row in await world.store.threads(root=thread)} == {thread, fork, again}


async def test_where_a_call_has_no_result_there_is_no_fork(tooled: World, server: ToolServer) -> None:
    tooled.model.then(call(("a", {}), ("b", {})))
    thread = await tooled.thread("go")
    await server.invoked(2)
    turn = (await _positions(tooled, thread, "turn"))[-1]
    with pytest.raises(NoFork, match="has no result yet"):
        await _forked(tooled, thread, turn + 1)
    for at, why in ((0, "inherit nothing"), (turn + 9, "not one of its own")):
        with pytest.raises(NoFork, match=why):
            await _forked(tooled, thread, at)
    assert await _forked(tooled, thread, turn)


async def test_a_fork_of_a_closed_conversation_is_refused(world: World) -> None:
    world.model.then(say("ready"))
    thread = await world.thread("hello")
    await world.said(thread, "ready")
    await world.runtime.control(thread, Action.CLOSE)
    await world.noted(thread, "status", status="closed")
    with pytest.raises(NoFork, match="is closed"):
        await _forked(world, thread, 1)


@pytest.mark.rap("THR-2")
async def test_a_fork_that_is_made_while_its_conversation_closes_closes_as_well(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = await world.thread()
    await talk(world, thread, 2)
    commit = world.store.commit

    async def late(delta: Any) -> Any:
        if delta.thread.startswith("fork_"):
            await world.runtime.control(thread, Action.CLOSE)
            await world.noted(thread, "status", status="closed")
            await world.until(lambda: not len(world.runtime.outbox), "closing that is over")
        return await commit(delta)

    monkeypatch.setattr(world.store, "commit", late)
    with pytest.raises(NoFork, match="is closed"):
        await world.runtime.fork(thread, (await _positions(world, thread, "user"))[1])
    (fork,) = await world.store.threads(parent=thread)
    await world.noted(fork.id, "status", status="closed")
