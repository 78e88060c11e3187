"""Causes outside the threads (a key, an account, a removed model, an outage) are tried by one probe, and what they stopped goes on by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.asking import asked
from tests.slice.scenes import World
from tests.slice.test_bounded_spending import FEW, MOST, until_it_rests

from infinity import Agent
from infinity._core import Message
from infinity.abc import Part, Text
from infinity.api.threads import list_threads
from infinity.errors import ConfigError, InvalidModelRequest, ModelAuthentication, ModelError, Overloaded
from infinity.message import Action, Kind, Report, encode
from infinity.settings import Retries
from infinity.testing.replies import call, say

BAD_KEY = ModelAuthentication("the API key has expired", status=401)
REMOVED = InvalidModelRequest("there is no such model", status=404)


async def wake(world: World, thread: str, n: int) -> None:
    """Something for the model that no person said."""
    body = Report(
        child="c", call_id="call_c", tool="spawn_thread", arguments={}, text=f"event {n}", user_id=None
    )
    message = Message(thread, f"report.{n}", Kind.REPORT, encode(body), accepted_at=world.clock.now())
    accepted = await world.store.accept(message)
    assert accepted.message is not None
    world.mailbox.put([accepted.message])
    await world.until(lambda: not world.mailbox.queued(thread) and thread not in world.runtime.running)


async def nothing_is_due(world: World) -> bool:
    timers = await world.store.timers()
    return not world.runtime.running and all(timer.due_at > world.clock.now() for timer in timers)


async def stopped(world: World, error: ModelError, count: int = 3) -> list[str]:
    """Threads that the cause has stopped, the first of which found it."""
    threads = [await world.runtime.create() for _ in range(count)]
    world.model.then(error)
    for n, thread in enumerate(threads):
        await world.settled(thread)
        await wake(world, thread, n)
        await world.noted(thread, "problem")
        await world.settled(thread)
    return threads


@pytest.mark.trap("L25")
@pytest.mark.parametrize("error", [BAD_KEY, REMOVED])
async def test_one_thread_finds_the_cause_and_the_others_ask_nothing(world: World, error: ModelError) -> None:
    threads = await stopped(world, error)
    assert len(world.model.requests) == 1
    for thread in threads:
        explanation = await world.runtime.explain(thread)
        assert explanation.state == "waiting", "there is a recorded reason to wake (I7)"
        assert str(error) in str(explanation.reasons)
    for n in range(10, 30):
        await wake(world, threads[n % 3], n)
    assert len(world.model.requests) == 1
    assert sum(timer.id.startswith("retry.") for timer in await world.store.timers()) == 3


@pytest.mark.trap("L25")
async def test_probes_grow_to_hourly_and_a_success_wakes_all(world: World) -> None:
    threads = await stopped(world, BAD_KEY)
    world.model.then(*[BAD_KEY] * 50)
    asked = []
    for _ in range(6 * 60):
        before = len(world.model.requests)
        world.clock.advance(60)
        await world.until(lambda: nothing_is_due(world))
        asked.append(len(world.model.requests) - before)
    assert max(asked) == 1
    assert 8 <= sum(asked) <= 14, "six in the first hour, then one an hour"
    world.model._replies.clear()
    world.model.then(say("it works again"), say("it works again"), say("it works again"))
    for _ in range(61):
        world.clock.advance(60)
        await world.until(lambda: nothing_is_due(world))
    for thread in threads:
        await world.said(thread, "it works again")
        await world.settled(thread)
        assert (await world.runtime.explain(thread)).state == "idle"
    assert await world.store.timers() == []


@pytest.mark.trap("L25")
async def test_a_start_probes_at_once_and_wakes_all_when_it_works(world: World) -> None:
    threads = await stopped(world, BAD_KEY)
    world.clock.advance(30)
    world.model.then(*[say("it works again")] * 3)
    await world.restart()
    for thread in threads:
        await world.said(thread, "it works again")
    assert len(world.model.requests) == 4


async def test_starts_in_a_row_do_not_probe_each_time(world: World) -> None:
    threads = await stopped(world, BAD_KEY)
    world.model.then(*[BAD_KEY] * 50)
    for _ in range(10):
        await world.restart()
        for thread in threads:
            await world.settled(thread)
        world.clock.advance(1)
        await asyncio.sleep(0.005)
    assert len(world.model.requests) <= 1 + 3


async def test_a_person_is_not_held_back_and_ends_the_cause_for_all(world: World) -> None:
    threads = await stopped(world, BAD_KEY)
    world.model.then(say("it works again"))
    world.model.then(*[say("so does it here")] * 2)
    await world.runtime.send(threads[2], "try it now")
    await world.said(threads[2], "it works again")
    for thread in threads[:2]:
        await world.said(thread, "so does it here")


async def test_a_model_that_is_not_configured_stops_threads_until_it_is(
    world: World, monkeypatch: Any
) -> None:
    thread = await world.runtime.create()
    genuine = world.model.resolve

    def resolve(name: str) -> Any:
        raise ConfigError("there is no model 'x'; configured: none")

    monkeypatch.setattr(world.model, "resolve", resolve)
    await world.settled(thread)
    await world.runtime.send(thread, "hi")
    await world.noted(thread, "problem", code="config")
    await world.settled(thread)
    monkeypatch.setattr(world.model, "resolve", genuine)
    world.model.then(say("configured"))
    world.clock.advance(30)
    await world.restart()
    await world.said(thread, "configured")


@pytest.mark.trap("L25")
async def test_an_outage_that_outlasts_the_tries_is_probed_and_goes_on_when_it_ends(open_world: Any) -> None:
    world = await open_world(agent=FEW).start()
    world.model.then(*[Overloaded("busy")] * MOST)
    thread = await world.thread("hi")
    await until_it_rests(world, thread)
    assert len(world.model.requests) == MOST
    world.model.then(Overloaded("still busy"), say("at last"))
    world.clock.advance(901)
    await world.model.request(MOST + 1)
    await world.settled(thread)
    await until_it_rests(world, thread)
    assert len(world.model.requests) == MOST + 1, "a probe is one request"
    world.clock.advance(1801)
    await world.said(thread, "at last")
    await world.close()


@pytest.mark.trap("L25")
async def test_words_during_an_outage_that_has_used_up_the_tries_take_no_wake_from_the_thread(
    open_world: Any,
) -> None:
    world = await open_world(agent=FEW).start()
    world.model.then(*[Overloaded("busy")] * MOST)
    thread = await world.thread("go")
    await until_it_rests(world, thread)
    await world.runtime.send(thread, "are you there?")
    await until_it_rests(world, thread)
    assert len(world.model.requests) == MOST, "new input does not refill the budget"
    explanation = await world.runtime.explain(thread)
    assert explanation.state == "waiting"
    assert [reason.kind for reason in explanation.reasons] == ["timer", "problem"], "it says what wakes it"
    world.model.then(say("back again"))
    world.clock.advance(1_000)
    await world.said(thread, "back again")
    assert "are you there?" in str(world.model.requests[-1]["messages"])
    await world.close()


@pytest.mark.trap("L18")
async def test_a_try_that_is_promised_and_not_made_is_not_promised_any_more(open_world: Any) -> None:
    """Crashes have used up the tries between the failure that promised one, and its timer."""
    world = await open_world(agent=Agent(retries=Retries(completion=1, slices=3))).start()
    world.model.then(Overloaded("busy"))
    thread = await world.thread("go")
    await world.noted(thread, "problem")
    await world.settled(thread)
    for _ in range(3):
        await world.store.record_attempt(thread, "crashed", world.clock.now())
    await world.restart()
    world.clock.advance(60)
    await until_it_rests(world, thread)
    assert len(world.model.requests) == 1
    [reason] = (await world.runtime.explain(thread)).reasons
    assert "next try" not in reason.text and "Resume the thread" in reason.text
    await world.close()


@pytest.mark.trap("R5")
async def test_a_provider_that_works_for_others_is_no_outage(open_world: Any) -> None:
    world = await open_world(agent=FEW).start()
    for _ in range(MOST):
        world.model.when("poison", Overloaded("always for this one"))
    poisoned = await world.thread("poison")
    other = await world.runtime.create()
    world.model.when("hello", say("fine"))
    await world.runtime.send(other, "hello")
    await world.said(other, "fine")
    await until_it_rests(world, poisoned)
    assert len(world.model.requests) == MOST + 1
    assert await world.store.timers() == []
    assert (await world.runtime.explain(poisoned)).state == "idle"
    await world.close()


async def test_all_threads_with_a_problem_are_resumed_at_once(world: World) -> None:
    bad, good = InvalidModelRequest("no"), say("resumed")
    threads = []
    for error in (bad, ModelError("odd")):
        world.model.then(error)
        threads.append(await world.thread("hi"))
        await world.noted(threads[-1], "problem")
        await world.settled(threads[-1])
    world.model.then(good)
    assert await world.runtime.resume_all("invalid_model_request") == [threads[0]]
    await world.said(threads[0], "resumed")
    world.model.then(good)
    assert await world.runtime.resume_all() == [threads[1]]
    await world.said(threads[1], "resumed")


async def test_another_model_is_asked_at_once(world: World) -> None:
    (thread,) = await stopped(world, BAD_KEY, 1)
    world.model.then(say("with another one"))
    await world.runtime.control(thread, Action.MODEL, "test/model")
    await world.said(thread, "with another one")


async def test_resuming_one_thread_asks_at_once_whatever_stands(world: World) -> None:
    threads = await stopped(world, BAD_KEY)
    world.model.then(say("it works again"), *[say("here too")] * 2)
    await world.runtime.control(threads[0], Action.RESUME)
    await world.said(threads[0], "it works again")
    for thread in threads[1:]:
        await world.said(thread, "here too")


class Refused:
    """A reply that waits until the test lets it go on, and is an error then."""

    def __init__(self, error: ModelError) -> None:
        self._error, self.go_on = error, asyncio.Event()

    async def __call__(self, _: dict[str, Any]) -> AsyncIterator[Part]:
        yield Text("…")
        await self.go_on.wait()
        raise self._error


@pytest.mark.trap("L25")
async def test_the_root_says_that_a_child_waits_for_the_end_of_a_cause_until_it_goes_on(world: World) -> None:
    refused = Refused(BAD_KEY)
    world.model.when("go", call(("spawn_thread", {"instructions": "dig"}))).when("dig", refused)
    world.model.then(say("spawned"))
    root = await world.thread("go")
    await world.said(root, "spawned")
    await world.settled(root)
    assert await _of_child(world, root) == (None, [])
    (child,) = [row.id for row in await world.store.threads(parent=root)]
    refused.go_on.set()
    await world.noted(child, "problem")
    await world.settled(child)
    shown, reasons = await _of_child(world, root)
    assert shown is not None and shown.startswith(f"{child}: ") and str(BAD_KEY) in shown
    assert [(reason.thread, str(BAD_KEY) in reason.text) for reason in reasons] == [(child, True)]
    assert (await _of_child(world, child))[0] is None, "it says so itself, as its problem"
    world.model.then(say("dug"))
    await world.runtime.control(child, Action.RESUME)
    await world.said(child, "dug")
    await world.settled(child)
    assert await _of_child(world, root) == (None, [])


async def _of_child(world: World, thread: str) -> tuple[str | None, list[Any]]:
    listed = (await asked(world.runtime, list_threads))[1]["threads"]
    (shown,) = [row["child_waits"] for row in listed if row["id"] == thread]
    explanation = await world.runtime.explain(thread)
    return shown, [reason for reason in explanation.reasons if reason.kind == "child"]
