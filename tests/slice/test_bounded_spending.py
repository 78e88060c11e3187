"""Whatever fails, with whatever exception, a completion is bought a bounded number of times for one cause (I12). Counted at the model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from tests.patience import PATIENCE
from tests.slice.scenes import Streaming, World

from infinity import Agent
from infinity.abc import Part, Text, Turn, Usage
from infinity.engine.attempts import bound
from infinity.errors import (
    Conflict,
    LimitReached,
    ModelUnavailable,
    Overloaded,
    RateLimited,
    StoreError,
)
from infinity.message import Action
from infinity.settings import Limits, Retries
from infinity.testing.replies import call, say

FEW = Agent(retries=Retries(completion=2, slices=2))
MOST = bound(FEW.retries)


async def few(open_world: Callable[..., World], **how: Any) -> World:
    return await open_world(agent=replace(FEW, **how)).start()


async def until_it_rests(world: World, thread: str) -> None:
    """Let time pass, as long as anything of the thread waits for it; not beyond the first probe."""
    quiet = 0
    while quiet < 20:
        due = world.clock.next_due()
        if due is not None and due - world.clock.now() < 800_000:
            world.clock.advance((due - world.clock.now() + 1) / 1000)
            quiet = 0
        timer = await world.store.next_timer()
        fires = timer is not None and timer <= world.clock.now()
        busy = fires or thread in world.runtime.running or world.mailbox.queued(thread)
        quiet = 0 if busy else quiet + 1
        await asyncio.sleep(0.001)


def broken(error: BaseException) -> Callable[[dict[str, Any]], AsyncIterator[Part]]:
    """A stream that breaks after it has said something, so that it was paid for."""

    async def stream(_: dict[str, Any]) -> AsyncIterator[Part]:
        yield Text("some words, and then")
        raise error

    return stream


class Unnamed(Exception):
    """What no contract speaks of."""


@pytest.mark.trap("R5", "R7")
@pytest.mark.parametrize(
    "error",
    [Unnamed("no credit"), ZeroDivisionError(), SystemExit(3), MemoryError(), ModelUnavailable("gone")],
)
async def test_a_provider_that_raises_anything_is_asked_a_bounded_number_of_times(
    open_world: Any, error: BaseException
) -> None:
    world = await few(open_world)
    world.model.then(*[broken(error)] * 500)
    thread = await world.thread("go")
    await until_it_rests(world, thread)
    assert len(world.model.requests) == MOST
    problem = (await world.runtime.explain(thread)).reasons[-1]
    assert problem.kind == "problem" and "resume" in problem.text.lower()
    assert await world.store.spent(thread) == (MOST * 5, 0), "what broke off was paid for"
    await world.runtime.send(thread, "and now?")
    await until_it_rests(world, thread)
    assert len(world.model.requests) == MOST, "new input does not refill the budget"
    await world.restart()
    await world.runtime.send(thread, "and now?")
    await until_it_rests(world, thread)
    assert len(world.model.requests) == MOST, "nor does a restart"
    world.model._replies.clear()
    world.model.then(say("here I am"))
    await world.runtime.control(thread, Action.RESUME)
    await world.said(thread, "here I am")
    await world.close()


@pytest.mark.trap("R7")
@pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), KeyError("x"), asyncio.InvalidStateError()])
async def test_a_slice_that_fails_after_its_turn_was_paid_for_parks(
    open_world: Any, monkeypatch: Any, error: Exception
) -> None:
    from infinity.engine import slices

    async def buggy(slice: Any, turn: Any) -> None:
        slice.spend(turn.usage)
        raise error

    monkeypatch.setattr(slices, "dispatch", buggy)
    world = await few(open_world)
    world.model.then(*[say("never recorded")] * 100)
    thread = await world.thread("go")
    await until_it_rests(world, thread)
    assert len(world.model.requests) <= MOST
    assert world.runtime.failing(thread) is None
    explanation = await world.runtime.explain(thread)
    assert explanation.state == "idle" and "times in a row" in explanation.reasons[-1].text
    assert (await world.kinds(thread)).count("user") == 2, "what was said is in history"
    assert await world.store.inbox() == []
    bought = len(world.model.requests)
    assert (await world.store.spent(thread))[0] == 15 * bought
    await world.restart()
    await world.runtime.send(thread, "and now?")
    await until_it_rests(world, thread)
    assert len(world.model.requests) == bought
    monkeypatch.undo()
    world.model._replies.clear()
    world.model.then(say("mended"))
    await world.runtime.control(thread, Action.RESUME)
    await world.said(thread, "mended")
    await world.close()


@pytest.mark.trap("R7")
async def test_a_message_that_cannot_be_folded_in_is_discarded_on_record_and_the_others_stay(
    open_world: Any, monkeypatch: Any
) -> None:
    from infinity.engine.slice import prepare as module
    from infinity.message import UserText

    genuine = module._FOLD[UserText]

    def fold(slice: Any, message: Any, body: Any) -> None:
        if "poison" in str(body.content):
            raise UnicodeError("it cannot be read")
        genuine(slice, message, body)

    monkeypatch.setitem(module._FOLD, UserText, fold)
    world = await few(open_world)
    thread = await world.runtime.create()
    await world.settled(thread)
    await world.runtime.send(thread, "poison")
    await world.runtime.send(thread, "a good question")
    await until_it_rests(world, thread)
    assert world.model.requests == []
    assert await world.store.inbox() == []
    ((_, reason, _),) = await world.store.discards(thread)
    assert "it cannot be read" in reason
    world.model.then(say("a good answer"))
    await world.runtime.control(thread, Action.RESUME)
    await world.said(thread, "a good answer")
    assert "a good question" in str(world.model.requests[0])
    await world.close()


async def test_a_turn_that_the_store_cannot_take_is_kept_and_bought_once(
    open_world: Any, monkeypatch: Any
) -> None:
    world = await few(open_world)
    world.model.then(say("an expensive answer"), say("the next one"))
    thread = await world.runtime.create()
    genuine, away = world.store.commit, True

    async def commit(delta: Any) -> Any:
        if away:
            raise StoreError("no space left for the journal")
        return await genuine(delta)

    monkeypatch.setattr(world.store, "commit", commit)
    await world.runtime.send(thread, "go")
    for _ in range(30):
        await world.until(lambda: world.clock.sleeping() > 0)
        world.clock.advance(60)
        await asyncio.sleep(0.002)
    assert "no space left" in (world.runtime.failing(thread) or "")
    await world.runtime.send(thread, "are you there?")
    away = False
    await world.until(lambda: world.clock.sleeping() > 0)
    world.clock.advance(60)
    await world.said(thread, "an expensive answer")
    await world.said(thread, "the next one")
    assert len(world.model.requests) == 2
    assert (await world.store.spent(thread))[0] == 30
    await world.close()


async def test_a_turn_that_is_kept_is_committed_when_the_daemon_stops(
    open_world: Any, monkeypatch: Any
) -> None:
    world = await few(open_world)
    world.model.then(say("an expensive answer"))
    thread = await world.runtime.create()
    genuine, failures = world.store.commit, iter([StoreError("the disk is full")])

    async def commit(delta: Any) -> Any:
        if (error := next(failures, None)) is not None:
            raise error
        return await genuine(delta)

    monkeypatch.setattr(world.store, "commit", commit)
    await world.runtime.send(thread, "go")
    await world.until(lambda: world.runtime.failing(thread) is not None)
    await world.restart()
    await world.said(thread, "an expensive answer")
    assert len(world.model.requests) == 1
    await world.close()


async def test_a_turn_that_is_dropped_by_a_conflict_costs_and_counts(
    open_world: Any, monkeypatch: Any
) -> None:
    world = await few(open_world)
    world.model.then(*[say("for nothing")] * 100)
    thread = await world.runtime.create()
    genuine = world.store.commit

    async def commit(delta: Any) -> Any:
        if delta.spent[0]:
            raise Conflict("another slice came first")
        return await genuine(delta)

    monkeypatch.setattr(world.store, "commit", commit)
    await world.runtime.send(thread, "go")
    await until_it_rests(world, thread)
    assert len(world.model.requests) <= MOST
    assert (await world.store.spent(thread))[0] == 15 * len(world.model.requests)
    assert (await world.runtime.explain(thread)).state == "idle"
    await world.close()


async def test_one_conflict_does_not_park_what_the_host_has_received_often(
    open_world: Any, monkeypatch: Any
) -> None:
    """Earlier receives may have ended with the database or with the process; a conflict says that the thread gets on."""
    world = await few(open_world)
    world.model.then(say("for nothing"), say("for good"))
    thread = await world.runtime.create()
    genuine, failures = world.store.commit, iter([Conflict("another slice came first")])

    async def commit(delta: Any) -> Any:
        if delta.spent[0] and (error := next(failures, None)) is not None:
            raise error
        return await genuine(delta)

    monkeypatch.setattr(world.store, "commit", commit)
    often = partial(world.runtime.slices.run, receives=FEW.retries.slices + 2)
    monkeypatch.setattr(world.runtime.slices, "run", often)
    await world.runtime.send(thread, "go")
    await until_it_rests(world, thread)
    await world.said(thread, "for good")
    await world.close()


async def test_a_turn_that_no_transaction_takes_parks_at_once(open_world: Any, monkeypatch: Any) -> None:
    world = await few(open_world)
    world.model.then(*[say("too much")] * 100)
    thread = await world.runtime.create()
    genuine = world.store.commit

    async def commit(delta: Any) -> Any:
        if delta.spent[0]:
            raise LimitReached("one transaction takes 3,000 rows")
        return await genuine(delta)

    monkeypatch.setattr(world.store, "commit", commit)
    await world.runtime.send(thread, "go")
    await world.noted(thread, "problem", code="limit")
    await world.runtime.send(thread, "again")
    await until_it_rests(world, thread)
    assert len(world.model.requests) == 1
    await world.close()


async def test_nothing_is_bought_while_an_attempt_cannot_be_recorded(
    open_world: Any, monkeypatch: Any
) -> None:
    world = await few(open_world)
    world.model.then(Overloaded("busy"), say("fine"))
    thread = await world.runtime.create()
    genuine, away = world.store.record_attempt, True

    async def record_attempt(*args: Any, **how: Any) -> int:
        if away:
            raise StoreError("the disk is full")
        return await genuine(*args, **how)

    monkeypatch.setattr(world.store, "record_attempt", record_attempt)
    await world.runtime.send(thread, "go")
    for _ in range(20):
        await world.until(lambda: world.clock.sleeping() > 0)
        world.clock.advance(60)
        await asyncio.sleep(0.002)
    assert len(world.model.requests) == 1
    away = False
    await until_it_rests(world, thread)
    await world.said(thread, "fine")
    assert len(world.model.requests) == 2
    await world.close()


@pytest.mark.trap("R8")
async def test_fifteen_messages_during_an_outage_are_one_timer_and_one_budget(open_world: Any) -> None:
    world = await few(open_world)
    world.model.then(*[RateLimited("slow down", retry_after=60.0)] * 500)
    thread = await world.thread("go")
    for n in range(15):
        await world.runtime.send(thread, f"message {n}")
        await world.settled(thread)
        retries = [timer for timer in await world.store.timers(thread) if timer.id.startswith("retry.")]
        assert len(retries) <= 1
    await until_it_rests(world, thread)
    assert len(world.model.requests) <= MOST
    await world.close()


@pytest.mark.trap("R8")
async def test_what_is_no_input_asks_nobody_while_the_model_said_wait(open_world: Any, server: Any) -> None:
    world = await open_world(servers=[server]).start()
    world.model.then(call(("a", {})), RateLimited("slow down", retry_after=600.0), say("at last"))
    thread = await world.thread("go")
    invocation = await server.invoked()
    await world.settled(thread)
    await world.runtime.send(thread, "hello?")
    await world.noted(thread, "problem")
    await world.settled(thread)
    for n in range(20):
        url = f"https://example.com/{n}"
        assert await server.say(invocation.id, "oauth", id=invocation.id, auth_url=url) == 200
        await world.settled(thread)
        world.clock.advance(20)
    assert len(world.model.requests) == 2
    world.clock.advance(201)
    await world.said(thread, "at last")
    assert not [timer for timer in await world.store.timers(thread) if timer.id.startswith("retry.")]
    await world.close()


@pytest.mark.parametrize("advice", [0.0, -5.0, float("nan"), float("inf"), 1e308, 10.0**12, float("-inf")])
async def test_advice_to_wait_is_bounded_on_both_sides(open_world: Any, advice: float) -> None:
    world = await open_world(agent=Agent(retries=Retries(completion=1, slices=8))).start()
    world.model.then(*[RateLimited("slow down", retry_after=advice)] * 3)
    thread = await world.thread("go")
    await world.noted(thread, "problem")
    await world.settled(thread)
    (timer,) = await world.store.timers(thread)
    assert 500 <= timer.due_at - world.clock.now() <= 3_600_000
    assert world.runtime.failing(thread) is None
    await world.close()


async def test_interrupted_completions_cost_what_they_said(open_world: Any) -> None:
    world = await open_world(agent=Agent(limits=Limits(tree_tokens=30))).start()
    thread = await world.runtime.create()
    for n in range(10):
        streaming = Streaming(f"thinking {n}", say("never"))
        world.model.then(streaming)
        await world.runtime.send(thread, f"q{n}")
        async with asyncio.timeout(PATIENCE):
            await streaming.started.wait()
        await world.runtime.control(thread, Action.INTERRUPT if n % 2 else Action.STOP)
        await world.settled(thread)
    assert (await world.store.spent(thread))[0] >= 20
    await world.close()


async def test_a_budget_that_failed_attempts_use_up_ends_the_tries_of_a_running_slice(
    open_world: Any,
) -> None:
    world = await open_world(agent=Agent(limits=Limits(tree_tokens=10))).start()
    world.model.then(*[broken(ModelUnavailable("gone"))] * 20)
    thread = await world.thread("go")
    await until_it_rests(world, thread)
    assert len(world.model.requests) == 2
    assert "budget" in str((await world.runtime.explain(thread)).reasons)
    await world.close()


async def test_a_limit_in_dollars_without_a_price_is_refused_with_words(open_world: Any) -> None:
    world = await open_world(agent=Agent(limits=Limits(tree_dollars=0.01))).start()
    thread = await world.thread("go")
    problem = await world.noted(thread, "problem", code="budget")
    assert "price" in problem["text"] and "test/model" in problem["text"]
    await world.settled(thread)
    assert world.model.requests == []
    world.model.info = replace(world.model.info, price=(0.0, 0.0, 0.0, 0.0))
    world.model.then(say("free of charge"))
    await world.runtime.control(thread, Action.RESUME)
    await world.said(thread, "free of charge")
    await world.close()


async def test_what_resuming_allowed_is_part_of_the_figure(open_world: Any) -> None:
    world = await open_world(agent=Agent(limits=Limits(tree_tokens=15))).start()
    world.model.then(say("one"), say("two"))
    thread = await world.thread("hi")
    await world.said(thread, "one")
    await world.runtime.send(thread, "more")
    await world.noted(thread, "problem", code="budget")
    await world.runtime.control(thread, Action.RESUME)
    await world.said(thread, "two")
    await world.runtime.send(thread, "and more")
    problem = await world.event(
        thread, lambda event, data: event.kind == "problem" and "30 of 30" in data["text"]
    )
    assert "15 of them allowed by resume" in problem["text"]
    await world.close()


@pytest.mark.trap("G2")
async def test_messages_beyond_the_limit_are_refused_and_controls_are_not(open_world: Any) -> None:
    world = await open_world(agent=Agent(limits=Limits(queued_messages=10))).start()
    streaming = Streaming("thinking", say("never"))
    world.model.then(streaming)
    thread = await world.thread("go")
    await streaming.started.wait()
    accepted = 0
    for n in range(100):
        if n < 10:
            accepted += (await world.runtime.send(thread, f"m{n}")).status == "accepted"
        else:
            with pytest.raises(LimitReached, match=r"limits\.queued_messages"):
                await world.runtime.send(thread, f"m{n}")
    assert accepted == 10
    assert (await world.runtime.control(thread, Action.INTERRUPT)).status == "accepted"
    await world.noted(thread, "status", status="interrupted")
    await world.settled(thread)
    world.model.then(say("all read"))
    await world.runtime.send(thread, "and now?")
    await world.said(thread, "all read")
    await world.close()


@pytest.mark.trap("R7")
async def test_a_turn_that_closes_its_thread_begins_no_compaction(open_world: Any) -> None:
    from infinity.testing.replies import texts

    world = await open_world().start()
    world.model.info = replace(world.model.info, context_window=1000)
    world.model.when("spawn it", call(("spawn_thread", {"instructions": "do it"})))
    world.model.when("was created and works by itself", say("started"))
    closing = call(("close_thread", {"report": "bye"}))
    world.model.when("do it", replace(closing, usage=Usage(900, 50)))
    world.model.when("bye", say("it is done"))
    parent = await world.runtime.create()
    for n in range(8):
        world.model.when(f"filler {n}", say(f"noted {n}"))
        await world.runtime.send(parent, f"filler {n}")
        await world.said(parent, f"noted {n}")
    await world.runtime.send(parent, "spawn it")
    await world.said(parent, "it is done")
    assert sum("do it" in texts(request["messages"][-1]) for request in world.model.requests) == 1
    await world.close()


@pytest.mark.parametrize("fails", ["display", "compaction"])
async def test_optional_work_that_fails_never_fails_a_turn(
    tooled: World, monkeypatch: Any, fails: str
) -> None:
    from infinity.engine import compaction
    from infinity.tools import catalog

    def broken(*_: Any, **__: Any) -> Any:
        raise OverflowError("whatever")

    if fails == "display":
        monkeypatch.setattr(
            catalog.CatalogOffer if hasattr(catalog, "CatalogOffer") else catalog,
            "display",
            broken,
            raising=False,
        )
    monkeypatch.setattr(compaction, "_consider", broken)
    tooled.model.then(call(("a", {})), say("done"))
    thread = await tooled.thread("go")
    invocation = await tooled.servers[0].invoked()
    await tooled.servers[0].answer(invocation.id, text="x")
    await tooled.said(thread, "done")
    assert len(tooled.model.requests) == 2


@pytest.mark.trap("M8")
async def test_an_empty_turn_after_a_result_is_asked_for_once_more_then_shown(tooled: World) -> None:
    empty = Turn([], usage=Usage(10, 1))
    tooled.model.then(call(("a", {})), empty, empty)
    thread = await tooled.thread("go")
    invocation = await tooled.servers[0].invoked()
    await tooled.servers[0].answer(invocation.id, text="x")
    problem = await tooled.noted(thread, "problem", code="empty")
    assert "without saying anything" in problem["text"]
    await tooled.settled(thread)
    assert len(tooled.model.requests) == 3
    assert (await tooled.store.spent(thread))[0] == 15 + 11 + 11
