"""Compaction: in the background, non-destructive, compare-and-swap; nothing is disconnected by it (L7, B9)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.slice.scenes import Streaming, World
from tests.slice.test_subscriptions import subscribed

from infinity._core import Message
from infinity.abc import Turn, Usage
from infinity.errors import ContextTooLong, ModelAuthentication
from infinity.message import Action, Kind, Summary, encode
from infinity.testing.replies import call, say, texts
from infinity.testing.tool_server import ToolServer

ASKED = "Summarise the conversation up to here"


async def talk(world: World, thread: str, turns: int, first: int = 0) -> None:
    for number in range(first, first + turns):
        world.model.when(f"question {number}.", say(f"answer {number}"))
        await world.runtime.send(thread, f"question {number}.")
        await world.said(thread, f"answer {number}")


def _full(text: str) -> Turn:
    """A turn after which the context fills most of the window."""
    return Turn([{"type": "text", "text": text}], usage=Usage(input=900))


def _small_window(world: World) -> None:
    world.model.info = replace(world.model.info, context_window=1000)


async def test_a_full_context_is_summarised_in_the_background_and_replaced(world: World) -> None:
    thread = await world.thread()
    await talk(world, thread, 10)
    _small_window(world)
    world.model.when("fill it", _full("it is full"))
    world.model.when(ASKED, say("they talked about ten questions"))
    await world.runtime.send(thread, "fill it")
    await world.noted(thread, "compaction", state="applied")
    world.model.when("and now?", say("now it is short"))
    await world.runtime.send(thread, "and now?")
    await world.said(thread, "now it is short")
    request = world.model.requests[-1]
    whole = "\n".join(texts(message) for message in request["messages"])
    assert "they talked about ten questions" in whole
    assert "question 0." not in whole and "answer 9" in whole and "fill it" in whole
    kept = await world.kinds(thread)
    assert kept.count("turn") == 12, "entries stay in the store"
    await world.restart()
    world.model.when("still there?", say("yes"))
    await world.runtime.send(thread, "still there?")
    await world.said(thread, "yes")
    assert "they talked about ten questions" in str(world.model.requests[-1])


async def test_the_thread_answers_while_it_is_compacted(world: World) -> None:
    thread = await world.thread()
    await talk(world, thread, 6)
    slow = Streaming("the sum", say("the summary"))
    world.model.when(ASKED, slow)
    await world.runtime.control(thread, Action.COMPACT)
    await slow.started.wait()
    await talk(world, thread, 2)
    slow.go_on.set()
    await world.noted(thread, "compaction", state="applied")
    world.model.when("go on", say("going on"))
    await world.runtime.send(thread, "go on")
    await world.said(thread, "going on")
    last = str(world.model.requests[-1])
    assert "the summary" in last and "question 1." in last


@pytest.mark.trap("B9")
async def test_only_the_child_that_was_asked_gives_the_summary(world: World) -> None:
    thread = await world.thread()
    await talk(world, thread, 6)
    slow = Streaming("the sum", say("the summary"))
    world.model.when(ASKED, slow)
    await world.runtime.control(thread, Action.COMPACT)
    await slow.started.wait()
    started = await world.noted(thread, "compaction", state="started")
    other = Summary(child="thread_other", start=started["start"], end=started["end"], text="of another one")
    await tell(world, thread, "summary.thread_other", other)
    await world.until(lambda: _discarded(world, thread, "summary.thread_other"))
    slow.go_on.set()
    applied = await world.noted(thread, "compaction", state="applied")
    assert applied["child"] == started["child"]


async def tell(world: World, thread: str, id: str, body: Summary) -> None:
    """A message that the store has, as one thread sends it to another."""
    message = Message(thread, id, Kind.SUMMARY, encode(body), accepted_at=world.clock.now())
    accepted = await world.store.accept(message)
    assert accepted.message is not None
    world.mailbox.put([accepted.message])


async def _discarded(world: World, thread: str, id: str) -> bool:
    return id in {found for found, _, _ in await world.store.discards(thread)}


@pytest.mark.trap("B9")
async def test_at_most_one_compaction_runs_and_a_failed_one_rests(world: World) -> None:
    thread = await world.thread()
    await talk(world, thread, 8)
    slow = Streaming("", say("unused"))
    world.model.when(ASKED, slow)
    await world.runtime.control(thread, Action.COMPACT)
    await slow.started.wait()
    await world.runtime.control(thread, Action.COMPACT)
    await world.noted(thread, "compaction", state="refused")
    slow._turn = Turn([])
    slow.go_on.set()
    await world.noted(thread, "compaction", state="failed")
    _small_window(world)
    world.model.when("fill it", _full("full"))
    await world.runtime.send(thread, "fill it")
    await world.said(thread, "full")
    await world.settled(thread)
    steps = [row.body for row in await world.store.feed(thread) if row.kind == "compaction"]
    assert sum(b'"started"' in step for step in steps) == 1, "none is begun while the failed one rests"
    world.clock.advance(3600)
    world.model.when("fill it again", _full("full again"))
    world.model.when(ASKED, say("second try"))
    await world.runtime.send(thread, "fill it again")
    await world.noted(thread, "compaction", state="applied")


async def test_a_context_that_is_too_long_is_compacted_and_the_question_answered(world: World) -> None:
    thread = await world.thread()
    await talk(world, thread, 12)
    world.model.when("too much", ContextTooLong("the prompt has 200001 tokens, the model takes 200000"))
    world.model.when(ASKED, say("short version"))
    world.model.when("too much", say("now it fits"))
    await world.runtime.send(thread, "this is too much")
    await world.said(thread, "now it fits")
    assert "short version" in str(world.model.requests[-1])


async def test_a_context_that_cannot_be_compacted_is_told_to_the_user(world: World) -> None:
    world.model.then(ContextTooLong("too long"), say("better"))
    thread = await world.thread("an enormous message")
    problem = await world.noted(thread, "problem", code="context_too_long")
    assert "too short" in problem["text"]
    await world.settled(thread)
    await world.runtime.send(thread, "again")
    await world.said(thread, "better")


async def test_a_compaction_whose_model_fails_changes_nothing(world: World) -> None:
    thread = await world.thread()
    await talk(world, thread, 6)
    world.model.when(ASKED, ModelAuthentication("key revoked"))
    await world.runtime.control(thread, Action.COMPACT)
    failed = await world.noted(thread, "compaction", state="failed")
    assert "key revoked" in failed["text"]
    await talk(world, thread, 1, first=6)
    assert "question 0." in str(world.model.requests[-1])


@pytest.mark.trap("L7")
async def test_subscriptions_and_late_results_survive_a_compaction(tooled: World, server: ToolServer) -> None:
    thread, subscription = await subscribed(tooled, server)
    tooled.model.then(call(("a", {"n": 1})), say("talking meanwhile"))
    await tooled.runtime.send(thread, "call it")
    late = await server.invoked(2)
    await tooled.runtime.send(thread, "and talk")
    await tooled.said(thread, "talking meanwhile")
    await talk(tooled, thread, 8)
    tooled.model.when(ASKED, say("all of it in short"))
    await tooled.runtime.control(thread, Action.COMPACT)
    await tooled.noted(thread, "compaction", state="applied")
    tooled.model.when("late result", say("it came after all"))
    await server.answer(late.id, text="late result")
    await tooled.said(thread, "it came after all")
    tooled.model.when("pushed", say("saw the push"))
    await server.event(subscription, text="pushed", associative=True)
    await tooled.said(thread, "saw the push")
    assert "all of it in short" in str(tooled.model.requests[-1])


async def test_a_summary_of_summaries(world: World) -> None:
    thread = await world.thread()
    for generation in range(3):
        await talk(world, thread, 8, first=8 * generation)
        world.model.when(ASKED, say(f"summary {generation}"))
        await world.runtime.control(thread, Action.COMPACT)
        await world.event(
            thread,
            lambda event, data, generation=generation: (
                event.kind == "entry"
                and data["kind"] == "summary"
                and f"summary {generation}" in str(data["user"])
            ),
        )
        await world.settled(thread)
    world.model.when("what now", say("fine"))
    await world.runtime.send(thread, "what now")
    await world.said(thread, "fine")
    last: Any = str(world.model.requests[-1]["messages"])
    assert "summary 2" in last and "summary 1" not in last
    asked = [request for request in world.model.requests if ASKED in str(request["messages"][-1])]
    assert "summary 1" in str(asked[-1]["messages"])
