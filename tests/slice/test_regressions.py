"""Sequences that went wrong once, or nearly."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.slice.scenes import World
from tests.slice.test_compaction import ASKED, talk
from tests.slice.test_subscriptions import subscribed

from infinity import Agent
from infinity.abc import Turn
from infinity.message import Action
from infinity.settings import Limits
from infinity.testing.replies import call, say, texts
from infinity.testing.tool_server import ToolServer, failing, tool


async def test_resuming_after_a_cut_answer_asks_nothing_and_clears_the_problem(world: World) -> None:
    world.model.then(Turn([{"type": "text", "text": "and so"}], stop_reason="max_tokens"))
    thread = await world.thread("hi")
    await world.noted(thread, "problem", code="max_tokens")
    await world.runtime.control(thread, Action.RESUME)
    await world.noted(thread, "status", status="resumed")
    await world.settled(thread)
    assert len(world.model.requests) == 1
    assert world.runtime.failing(thread) is None
    assert (await world.runtime.explain(thread)).reasons == []


async def test_the_deadline_of_a_call_counts_from_the_users_consent(open_world: Any) -> None:
    async with ToolServer([tool("drop", annotations={"destructive": True})]) as server:
        world = await open_world(servers=[server]).start()
        world.model.then(call(("drop", {})), say("dropped it"))
        thread = await world.thread("go")
        prompt = await world.noted(thread, "prompt", prompt_kind="consent")
        await world.settled(thread)
        world.clock.advance(world.settings.timeouts.call + 60)
        await world.runtime.choose(thread, prompt["id"], 0)
        invocation = await server.invoked()
        await world.settled(thread)
        assert server.notices == []
        await server.answer(invocation.id, text="done")
        await world.said(thread, "dropped it")
        assert "done" in texts(world.model.requests[1]["messages"][-1])
        await world.close()


async def test_a_summariser_that_may_not_spend_more_reports_its_failure(open_world: Any) -> None:
    world = await open_world(agent=Agent(limits=Limits(tree_tokens=100))).start()
    thread = await world.thread()
    await talk(world, thread, 6)
    world.model.when("the last one", say("over the budget"))
    await world.runtime.send(thread, "the last one")
    await world.said(thread, "over the budget")
    await world.runtime.control(thread, Action.COMPACT)
    failed = await world.noted(thread, "compaction", state="failed")
    assert "budget" in failed["text"]
    await world.close()


@pytest.mark.parametrize("reason", ["refusal", "max_tokens"])
async def test_a_summary_that_was_cut_or_refused_replaces_nothing(world: World, reason: str) -> None:
    thread = await world.thread()
    await talk(world, thread, 6)
    world.model.when(ASKED, Turn([{"type": "text", "text": "half a summ"}], stop_reason=reason))
    await world.runtime.control(thread, Action.COMPACT)
    await world.noted(thread, "compaction", state="failed")
    world.model.when("and now?", say("all there"))
    await world.runtime.send(thread, "and now?")
    await world.said(thread, "all there")
    assert "question 0." in str(world.model.requests[-1]) and "half a summ" not in str(
        world.model.requests[-1]
    )


@pytest.mark.trap("S11")
async def test_a_message_without_a_user_does_not_act_as_the_last_one(
    tooled: World, server: ToolServer
) -> None:
    tooled.model.then(call(("a", {})), say("for alice"), call(("a", {})), say("for nobody"))
    thread = await tooled.runtime.create()
    await tooled.runtime.send(thread, "go", user_id="alice")
    first = await server.invoked(1)
    await server.answer(first.id, text="1")
    await tooled.said(thread, "for alice")
    await tooled.runtime.send(thread, "go")
    second = await server.invoked(2)
    assert (first.body.get("user_id"), second.body.get("user_id")) == ("alice", None)


@pytest.mark.trap("S11")
async def test_an_event_acts_for_whoever_subscribed(tooled: World, server: ToolServer) -> None:
    tooled.model.then(call(("watch", {})), say("watching"), say("hello bob"), call(("a", {})))
    thread = await tooled.runtime.create()
    await tooled.runtime.send(thread, "watch", user_id="alice")
    subscription = await server.invoked(1)
    await server.answer(subscription.id, text="ok", subscription=True)
    await tooled.said(thread, "watching")
    await tooled.runtime.send(thread, "hi", user_id="bob")
    await tooled.said(thread, "hello bob")
    await server.event(subscription.id, text="push", associative=True)
    assert (await server.invoked(2)).body["user_id"] == "alice"


async def test_an_interrupt_during_the_load_is_not_lost(world: World, monkeypatch: Any) -> None:
    thread = await world.runtime.create()
    loading, go_on = asyncio.Event(), asyncio.Event()
    genuine = world.runtime.catalogs.of

    async def slow(root: str) -> Any:
        loading.set()
        await go_on.wait()
        return await genuine(root)

    monkeypatch.setattr(world.runtime.catalogs, "of", slow)
    await world.runtime.send(thread, "hi")
    await loading.wait()
    await world.runtime.control(thread, Action.INTERRUPT)
    go_on.set()
    await world.noted(thread, "status", status="interrupted")
    await world.settled(thread)
    assert world.model.requests == []


async def test_a_call_that_was_taken_back_is_not_posted_again(tooled: World, server: ToolServer) -> None:
    server.behaviours["a"] = failing(503)
    tooled.model.then(call(("a", {})))
    thread = await tooled.thread("go")
    await server.invoked()
    await tooled.until(lambda: tooled.clock.sleeping() == 1)
    await tooled.runtime.control(thread, Action.INTERRUPT)
    await server.until(lambda: bool(server.notices), "the cancel notice")
    tooled.clock.advance(100)
    await tooled.until(lambda: len(tooled.runtime.outbox) == 0)
    assert len(server.invocations) == 1


async def test_a_turn_with_too_many_calls_makes_as_many_as_it_may(open_world: Any) -> None:
    async with ToolServer([tool("a")]) as server:
        world = await open_world(servers=[server], agent=Agent(limits=Limits(calls_per_turn=2))).start()
        world.model.then(call(("a", {}), ("a", {}), ("a", {})), say("two it is"))
        thread = await world.thread("go")
        await server.invoked(2)
        for each in list(server.invocations):
            await server.answer(each.id, text="ok")
        await world.said(thread, "two it is")
        assert len(server.invocations) == 2
        assert "limits.calls_per_turn" in texts(world.model.requests[1]["messages"][-1])
        await world.close()


async def test_the_memo_of_a_subscription_ends_with_it(tooled: World, server: ToolServer) -> None:
    thread, call_id = await subscribed(tooled, server)
    tooled.model.then(say("one"), say("last"))
    await server.event(call_id, text="one", associative=True, seq=1)
    await tooled.said(thread, "one")
    await server.event(call_id, text="two", associative=True, seq=2, final=True)
    await tooled.said(thread, "last")
    row = await tooled.store.thread(thread)
    assert row is not None
    from infinity._core import header_json

    assert b"sequences" not in header_json(row.header)


async def test_asking_an_agent_whose_model_fails_for_good_raises_what_is_wrong(world: World) -> None:
    from infinity.errors import InfinityError, ModelAuthentication

    world.model.then(ModelAuthentication("the key is wrong"))
    thread = await world.runtime.create()
    with pytest.raises(InfinityError, match="the key is wrong"):
        await world.runtime.ask(thread, "hi")
