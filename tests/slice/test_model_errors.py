"""What happens when the model fails: typed, bounded, durable, and never a lost message (DESIGN 5.6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from tests.patience import PATIENCE
from tests.slice.scenes import World

from infinity import Agent
from infinity.abc import ModelCall, Part, Text, ToolUse, Turn
from infinity.errors import (
    InvalidModelRequest,
    ModelAuthentication,
    ModelError,
    ModelUnavailable,
    Overloaded,
    RateLimited,
)
from infinity.message import Action
from infinity.settings import Limits, Retries
from infinity.testing.replies import call, say
from infinity.testing.tool_server import ToolServer, answering


async def _pass_time(world: World, thread: str) -> None:
    """Let every wait of the slice pass, however many there are."""
    await world.until(lambda: world.clock.next_due() is not None)
    world.clock.advance(max(0.0, ((world.clock.next_due() or 0) - world.clock.now()) / 1000))


@pytest.mark.parametrize(
    "error", [Overloaded("busy"), ModelUnavailable("gone"), RateLimited("slow down", retry_after=3)]
)
async def test_a_short_failure_is_tried_again_within_the_slice(world: World, error: ModelError) -> None:
    world.model.then(error, error, say("there you are"))
    thread = await world.thread("hi")
    await _pass_time(world, thread)
    await world.model.request(2)
    await _pass_time(world, thread)
    await world.said(thread, "there you are")
    assert await world.kinds(thread) == ["user", "user", "turn"]


@pytest.mark.rap("RUN-2")
@pytest.mark.trap("L14")
async def test_a_long_wait_ends_the_slice_and_a_timer_that_survives_a_restart_tries_again(
    world: World,
) -> None:
    world.model.then(RateLimited("come back later", retry_after=300), say("back again"))
    thread = await world.thread("hi")
    await world.noted(thread, "problem", code="rate_limited")
    await world.settled(thread)
    explanation = await world.runtime.explain(thread)
    assert explanation.state == "waiting"
    assert {reason.kind for reason in explanation.reasons} >= {"timer", "problem"}
    await world.restart()
    world.clock.advance(299)
    await world.settled(thread)
    assert len(world.model.requests) == 1
    world.clock.advance(2)
    await world.said(thread, "back again")
    assert (await world.runtime.explain(thread)).state == "idle"


@pytest.mark.trap("R5", "L18")
async def test_a_model_that_always_fails_is_given_up_in_the_end_and_the_user_is_told(world: World) -> None:
    retries = world.settings.retries
    total = retries.completion * (retries.slices + 1)
    world.model.then(*[Overloaded("busy")] * total)
    thread = await world.thread("hi")

    def given_up() -> bool:
        if len(world.model.requests) == total:
            return True
        if (due := world.clock.next_due()) is not None:
            world.clock.advance((due - world.clock.now() + 1) / 1000)
        return False

    await world.until(given_up)
    await world.event(thread, lambda event, data: event.kind == "problem" and "resume" in data["text"])
    await world.settled(thread)
    (probe,) = await world.store.timers(thread)
    assert probe.due_at - world.clock.now() >= 600_000, "from now on only a probe asks"
    world.model.then(say("finally"))
    await world.runtime.control(thread, Action.RESUME)
    await world.said(thread, "finally")


@pytest.mark.trap("L10", "L18")
@pytest.mark.parametrize(
    "error", [ModelAuthentication("bad key"), InvalidModelRequest("no"), ModelError("odd")]
)
async def test_what_cannot_be_retried_is_shown_and_new_input_tries_again(
    world: World, error: ModelError
) -> None:
    world.model.then(error, say("works now"))
    thread = await world.thread("hi")
    problem = await world.noted(thread, "problem", code=error.code)
    assert str(error) in problem["text"]
    await world.settled(thread)
    assert len(world.model.requests) == 1
    await world.runtime.send(thread, "again")
    await world.said(thread, "works now")
    assert "hi" in str(world.model.requests[1]["messages"])


async def _until_the_turn(world: World, thread: str) -> list[tuple[str, dict[str, Any]]]:
    """The live events before the turn is durable."""
    live: list[tuple[str, dict[str, Any]]] = []
    async for event in world.runtime.watch(thread):
        data = msgspec.json.decode(event.data)
        if event.position is None:
            live.append((event.kind, data))
        elif event.kind == "entry" and data["kind"] == "turn":
            break
    return live


@pytest.mark.trap("L8", "M5")
async def test_a_stream_that_breaks_after_a_call_was_shown_commits_and_sends_nothing_of_it(
    tooled: World,
) -> None:
    async def breaks(_: dict[str, Any]) -> AsyncIterator[Part]:
        yield Text("I will call")
        yield ToolUse("toolu_1", "a")
        raise ModelUnavailable("the connection broke")

    tooled.model.then(breaks, say("second try"))
    thread = await tooled.runtime.create()
    watching = asyncio.create_task(_until_the_turn(tooled, thread))
    await tooled.until(lambda: tooled.runtime.feed.watching() == 1)
    await tooled.runtime.send(thread, "go")
    await tooled.model.request(1)
    await _pass_time(tooled, thread)
    live = await watching
    kinds = [(kind, data.get("attempt")) for kind, data in live if kind in ("text", "call", "retract")]
    assert kinds == [("text", 1), ("call", 1), ("retract", 1), ("text", 2)]
    assert await tooled.kinds(thread) == ["user", "user", "turn"]
    assert tooled.servers[0].invocations == []


@pytest.mark.trap("M1")
async def test_malformed_arguments_are_told_to_the_model(tooled: World) -> None:
    bad = Turn(
        [{"type": "tool_use", "id": "toolu_1", "name": "a", "input": {}}],
        (ModelCall("toolu_1", "a", None, "not JSON: unexpected end"),),
        "tool_use",
    )
    tooled.model.then(bad, say("sorry"))
    thread = await tooled.thread("go")
    await tooled.said(thread, "sorry")
    assert "unexpected end" in str(tooled.model.requests[1]["messages"][-1])


async def test_the_number_of_rounds_is_bounded_and_the_user_can_go_on(open_world: Any) -> None:
    world = await open_world(agent=Agent(limits=Limits(rounds=3))).start()
    world.model.then(*[call(("no_such_tool", {}))] * 3)
    thread = await world.thread("go")
    await world.noted(thread, "problem", code="limit")
    await world.settled(thread)
    assert len(world.model.requests) == 3
    world.model.then(say("fine"))
    await world.runtime.control(thread, Action.RESUME)
    await world.said(thread, "fine")
    await world.close()


async def test_an_answer_cut_at_the_output_limit_is_kept_and_the_user_is_told(world: World) -> None:
    world.model.then(Turn([{"type": "text", "text": "and so"}], stop_reason="max_tokens"))
    thread = await world.thread("hi")
    await world.said(thread, "and so")
    await world.noted(thread, "problem", code="max_tokens")


@pytest.mark.trap("M8")
async def test_a_model_that_says_nothing_to_a_result_twice_is_a_problem(
    tooled: World, server: ToolServer
) -> None:
    server.behaviour = answering("done by a")
    tooled.model.then(call(("a", {})), Turn([]), Turn([]))
    thread = await tooled.thread("go")
    problem = await tooled.noted(thread, "problem", code="empty")
    assert "without saying anything" in problem["text"]
    assert len(tooled.model.requests) == 3
    tooled.model.then(say("here I am"))
    await tooled.runtime.send(thread, "are you there?")
    await tooled.said(thread, "here I am")


@pytest.mark.trap("M8")
@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("max_tokens", "max_tokens"),
        ("refusal", "refused"),
        ("model_context_window_exceeded", "context_too_long"),
        ("pause_turn", "pause_turn"),
    ],
)
async def test_an_end_that_is_no_whole_answer_is_a_problem(world: World, reason: str, code: str) -> None:
    half = Turn([{"type": "text", "text": "half an ans"}], stop_reason=reason)
    world.model.then(*[half] * 9)
    thread = await world.thread("go")
    await world.noted(thread, "problem", code=code)


@pytest.mark.trap("R8")
async def test_a_retry_that_fires_while_a_person_asks_asks_nobody_afterwards(open_world: Any) -> None:
    world: World = await open_world(agent=Agent(retries=Retries(completion=1, slices=8))).start()
    started, go_on = asyncio.Event(), asyncio.Event()

    async def breaks(_: dict[str, Any]) -> AsyncIterator[Part]:
        yield Text("one moment")
        started.set()
        await go_on.wait()
        raise ModelUnavailable("gone again")

    world.model.then(ModelUnavailable("gone"), breaks, say("back"))
    thread = await world.thread("go")
    await world.noted(thread, "problem")
    await world.settled(thread)
    (timer,) = await world.store.timers(thread)
    await world.runtime.send(thread, "are you there?")
    await asyncio.wait_for(started.wait(), PATIENCE)
    world.clock.advance((timer.due_at - world.clock.now()) / 1000 + 1)
    await world.until(lambda: world.mailbox.queued(thread) > 0, "retry timer that has fired")
    go_on.set()
    await world.noted(thread, "discard", id=timer.id, reason="a later slice has tried again already")
    await world.settled(thread)
    assert len(world.model.requests) == 2
    (later,) = await world.store.timers(thread)
    world.clock.advance((later.due_at - world.clock.now()) / 1000 + 1)
    await world.said(thread, "back")
    await world.close()
