"""Whatever a turn, a person or a batch does, a slice changes no more than one transaction of the store takes (B15). Aurora DSQL takes 3,000 rows and
10 MiB; here each commit is measured."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.slice.scenes import Streaming, World

from infinity import Agent
from infinity._core import Delta, Message
from infinity.engine import endings
from infinity.engine.slice import state
from infinity.errors import LimitReached
from infinity.message import Action
from infinity.settings import Limits
from infinity.stores.postgres.commit import check_delta
from infinity.stores.postgres.platform import DSQL, Platform
from infinity.testing.replies import call, say, texts
from infinity.testing.tool_server import ToolServer

PARTS = 64
"""Calls of one turn: as many as ``limits.calls_per_turn`` lets through."""


def hold_to_dsql(world: World, platform: Platform = DSQL) -> list[Delta]:
    """The world's store takes what Aurora DSQL takes. What was committed since."""
    genuine, committed = world.store.commit, []

    async def commit(delta: Delta) -> list[Message]:
        check_delta(platform, delta)
        messages = await genuine(delta)
        committed.append(delta)
        return messages

    world.store.commit = commit  # type: ignore[method-assign]
    return committed


async def busy(world: World, server: ToolServer, turns: int) -> str:
    """A thread with so many turns' calls open, all but the last turn's detached."""
    thread = await world.runtime.create()
    for turn in range(1, turns + 1):
        world.model.then(call(*[("a", {"n": n}) for n in range(PARTS)]))
        await world.runtime.send(thread, f"turn {turn}")
        await server.invoked(turn * PARTS)
        await world.settled(thread)
    return thread


async def ended(world: World, thread: str) -> bool:
    return not await world.store.calls(thread)


@pytest.mark.rap("CAN-1")
@pytest.mark.trap("B15")
async def test_an_interrupt_of_hundreds_of_calls_cancels_each_of_them(
    tooled: World, server: ToolServer
) -> None:
    committed = hold_to_dsql(tooled)
    thread = await busy(tooled, server, 6)
    del committed[:]
    await tooled.runtime.control(thread, Action.INTERRUPT)
    await tooled.until(lambda: ended(tooled, thread))
    await tooled.until(lambda: len(server.notices) == 6 * PARTS)
    assert len({str(body) for _, body in server.notices}) == 6 * PARTS
    await tooled.settled(thread)
    assert (await tooled.runtime.explain(thread)).state == "idle"
    assert len(tooled.model.requests) == 6, "an interrupt asks nobody"
    tooled.model.then(say("at your service"))
    await tooled.runtime.send(thread, "and now?")
    await tooled.said(thread, "at your service")
    assert len([each for each in committed if each.ended]) == 2, "in portions"


@pytest.mark.rap("CAN-1")
@pytest.mark.trap("B15")
async def test_a_thread_with_hundreds_of_calls_closes(tooled: World, server: ToolServer) -> None:
    hold_to_dsql(tooled)
    thread = await busy(tooled, server, 6)
    await tooled.runtime.control(thread, Action.CLOSE)
    await tooled.noted(thread, "status", status="closed")
    await tooled.until(lambda: ended(tooled, thread))
    await tooled.until(lambda: len(server.notices) == 6 * PARTS + 1)
    assert [path for path, _ in server.notices].count("/close_thread") == 1
    assert len(tooled.model.requests) == 6


@pytest.mark.trap("B15")
async def test_a_turn_makes_as_many_children_as_it_may_have_calls(world: World) -> None:
    hold_to_dsql(world)
    world.model.when(
        "all of it", call(*[("spawn_thread", {"instructions": f"part {n}"}) for n in range(PARTS)])
    )
    world.model.then(*[say("done")] * (2 * PARTS + 2))
    thread = await world.thread("all of it")
    await world.noted(thread, "slice")
    assert len(await world.store.threads(parent=thread, limit=100)) == PARTS
    await world.until(lambda: len(world.model.requests) >= 10)
    assert sum("all of it" in texts(request["messages"][-1]) for request in world.model.requests) == 1


@pytest.mark.trap("B15")
async def test_what_comes_between_two_portions_is_discarded_and_a_crash_there_loses_nothing(
    tooled: World, server: ToolServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few calls a portion, and the process ends after each."""
    monkeypatch.setattr(endings, "MOST_ROWS", 1)
    tooled.model.then(call(*[("a", {})] * 4))
    thread = await tooled.thread("go")
    await server.invoked(4)
    await tooled.settled(thread)
    last = (await tooled.store.calls(thread))[-1][0].id
    await portions(tooled, thread, Action.INTERRUPT, lambda: server.answer(last, text="too late"))
    results = [entry for entry in await tooled.history(thread) if entry["kind"] == "result"]
    assert len(results) == 4 and all("Cancelled: the user" in str(entry) for entry in results)
    await tooled.noted(thread, "discard", id=last, reason="cancelled")
    assert len(tooled.model.requests) == 1
    assert (await tooled.runtime.explain(thread)).state == "idle"


@pytest.mark.trap("B15")
async def test_a_thread_that_closes_in_portions_takes_nothing_more_and_reports_once(
    tooled: World, server: ToolServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endings, "MOST_ROWS", 1)
    tooled.model.when("go", call(("spawn_thread", {"instructions": "part 1"})))
    tooled.model.when("part 1", call(*[("a", {})] * 4))
    tooled.model.then(say("started"), say("so it has ended"))
    parent = await tooled.thread("go")
    await server.invoked(4)
    await tooled.said(parent, "started")
    [child] = [row.id for row in await tooled.store.threads(parent=parent)]
    await tooled.settled(child)
    await portions(tooled, child, Action.CLOSE, lambda: tooled.runtime.send(child, "wait!"))
    await tooled.noted(child, "discard", reason="thread closed")
    await tooled.noted(child, "status", status="closed")
    await tooled.said(parent, "so it has ended")
    assert (await tooled.kinds(parent)).count("event") == 1
    assert not await tooled.store.calls(child)
    # One that a crash cuts off may come twice.
    await tooled.until(lambda: len({str(notice) for notice in server.notices}) == 4 + 1)


async def portions(world: World, thread: str, action: Action, between: Callable[[], Any]) -> None:
    """The action, with a crash after each commit that it takes, and something that comes after the first one."""
    committed: list[Delta] = []

    def one_commit() -> None:
        genuine, taken = world.store.commit, len(committed)

        async def commit(delta: Delta) -> list[Message]:
            if delta.thread == thread and len(committed) > taken:
                await asyncio.Event().wait()
            messages = await genuine(delta)
            if delta.thread == thread:
                committed.append(delta)
            return messages

        world.store.commit = commit  # type: ignore[method-assign]

    monkey, world._made = world._made, one_commit  # type: ignore[method-assign]
    one_commit()
    await world.runtime.control(thread, action)
    for lives in range(1, 10):
        await world.until(lambda: len(committed) == lives)  # noqa: B023 it is awaited here
        if lives == 1:
            await between()
        if not await world.store.calls(thread):
            break
        await world.restart()
    assert len([delta for delta in committed if delta.ended]) == 3, "two calls and then one at a time"
    world._made = monkey  # type: ignore[method-assign]
    await world.restart()
    await world.settled(thread)


@pytest.mark.trap("B15")
async def test_a_batch_that_one_commit_has_no_room_for_is_folded_in_by_several_and_answered_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "FULL_ROWS", 12)
    committed = hold_to_dsql(world)
    slow = Streaming("…", say("one moment"))
    world.model.then(slow, say("all read"))
    thread = await world.thread("go")
    await slow.started.wait()
    sent = [f"message {n}" for n in range(20)]
    for text in sent:
        await world.runtime.send(thread, text)
    slow.go_on.set()
    await world.said(thread, "all read")
    await world.settled(thread)
    assert len(world.model.requests) == 2
    said = texts(world.model.requests[1]["messages"][-1])
    assert [text for text in said.split("\n") if text.startswith("message")] == sent
    assert len([delta for delta in committed if len(delta.consumed) > 1]) > 3


@pytest.mark.trap("B15")
async def test_nothing_overtakes_what_had_no_room_even_if_there_is_room_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = [False, True]
    monkeypatch.setattr(state.Slice, "full", property(lambda _: bool(rooms) and rooms.pop()))
    slow = Streaming("…", say("one moment"))
    world.model.then(slow, *[say("read")] * 3)
    thread = await world.thread("go")
    await slow.started.wait()
    rooms[:] = []
    for text in ("first", "second", "third"):
        await world.runtime.send(thread, text)
    rooms[:] = [False, True, False]
    slow.go_on.set()
    await world.until(lambda: "third" in str(world.model.requests[-1]["messages"]))
    await world.settled(thread)
    said = [str(entry["user"]) for entry in await world.history(thread) if entry["kind"] == "user"]
    order = [word for text in said for word in ("first", "second", "third") if word in text]
    assert order == ["first", "second", "third"]


@pytest.mark.trap("B15")
async def test_many_large_results_in_one_batch_are_taken_in_parts(
    open_world: Any, server: ToolServer
) -> None:
    large = Agent(limits=Limits(result_chars=1 << 20, message_bytes=2 << 20))
    world = await open_world(agent=large, servers=[server]).start()
    committed = hold_to_dsql(world)
    slow = Streaming("…", say("one moment"))
    world.model.then(call(*[("a", {})] * 20), slow, *[say("noted")] * 20)
    thread = await world.thread("go")
    await server.invoked(20)
    await world.runtime.send(thread, "anything yet?")
    await slow.started.wait()
    for invocation in server.invocations:
        assert await server.answer(invocation.id, text=invocation.id[-1] * 600_000) == 200
    slow.go_on.set()
    await world.said(thread, "noted")
    await world.settled(thread)
    assert (await world.kinds(thread)).count("event") == 20
    assert [len(delta.ended) for delta in committed if delta.ended][:3] == [7, 7, 6]
    assert "returned more than" not in str(await world.history(thread))
    await world.close()


@pytest.mark.trap("B15")
async def test_a_result_that_no_transaction_takes_is_an_error_for_the_model(
    open_world: Any, server: ToolServer
) -> None:
    world = await open_world(servers=[server]).start()
    hold_to_dsql(world, replace(DSQL, value=50_000))
    world.model.then(call(("a", {}), ("b", {})), say("a part of it, then"))
    thread = await world.thread("go")
    await server.invoked(2)
    first, second = server.invocations
    assert await server.answer(first.id, text="x" * 60_000) == 200
    assert await server.answer(second.id, text="small") == 200
    await world.said(thread, "a part of it, then")
    assert "returned more than the runtime's store takes" in texts(world.model.requests[1]["messages"][-1])
    assert "small" in texts(world.model.requests[1]["messages"][-1])
    assert world.runtime.slices.failing == {} and await world.store.inbox() == []
    await world.close()


@pytest.mark.trap("B15")
async def test_a_message_that_no_transaction_takes_is_discarded_on_record_and_parks(
    open_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await open_world().start()
    tries, genuine = 0, world.store.commit

    async def commit(delta: Delta) -> list[Message]:
        nonlocal tries
        if any(b"too much" in record for _, record in delta.entries):
            tries += 1
            raise LimitReached("it changes 3201 rows, and one transaction takes 3000")
        return await genuine(delta)  # type: ignore[no-any-return]

    monkeypatch.setattr(world.store, "commit", commit)
    slow = Streaming("…", say("first"))
    world.model.then(slow, say("second"))
    thread = await world.thread("hello")
    await slow.started.wait()
    await world.runtime.send(thread, "fine")
    await world.runtime.send(thread, "too much")
    slow.go_on.set()
    problem = await world.noted(thread, "problem", code="limit")
    assert "3201 rows" in problem["text"] and "esume the thread" in problem["text"]
    await world.settled(thread)
    await world.noted(thread, "discard")
    assert (await world.kinds(thread)).count("user") == 1 + 2, "what came with it is there"
    assert tries <= 4 and len(world.model.requests) <= 2
    await world.runtime.control(thread, Action.RESUME)
    await world.close()
