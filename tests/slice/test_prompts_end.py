"""How questions end that nobody answers: at their own limit, or with their call, which is interrupted, or whose thread closes; in children too."""

from __future__ import annotations

from typing import Any

import pytest
from tests.slice.scenes import Streaming, World
from tests.slice.test_subscriptions import subscribed

from infinity import Agent
from infinity._core import Message
from infinity.errors import AlreadyAnswered, BadRequest
from infinity.message import Action, Choice, encode
from infinity.settings import Timeouts
from infinity.testing.replies import call, say, texts
from infinity.testing.tool_server import ToolServer, tool

DAY = 24 * 3600


async def _asked(world: World, server: ToolServer, kind: str = "choice") -> tuple[str, str]:
    """A thread whose call waits for the user: its id and the call's."""
    world.model.then(call(("a", {})))
    thread = await world.thread("go")
    invocation = await server.invoked()
    if kind == "choice":
        assert await server.choice(invocation.id, prompt="Which?", choices=["x", "y"]) == 200
    else:
        assert await server.oauth(invocation.id) == 200
    await world.noted(thread, "prompt", id=f"{kind}.{invocation.id}")
    return thread, invocation.id


@pytest.mark.rap("CHO-1", "CHO-3", "OAU-1")
@pytest.mark.trap("L24")
@pytest.mark.parametrize("kind", ["choice", "oauth"])
async def test_a_question_outlives_the_deadline_of_its_call(open_world: Any, kind: str) -> None:
    async with ToolServer([tool("a")]) as server:
        world = await open_world(servers=[server], agent=Agent(timeouts=Timeouts(call=600))).start()
        thread, call_id = await _asked(world, server, kind)
        world.clock.advance(6 * DAY)
        await world.settled(thread)
        await world.restart()
        assert len(await world.store.prompts(thread)) == 1
        world.model.then(say("done at last"))
        await server.answer(call_id, text="42")
        await world.said(thread, "done at last")
        assert await world.store.prompts(thread) == []
        assert await world.store.timers(thread) == []
        await world.close()


@pytest.mark.rap("CHO-3")
@pytest.mark.parametrize("long_running", [False, True])
async def test_a_question_that_nobody_answers_sends_its_default_and_its_call_goes_on(
    open_world: Any, long_running: bool
) -> None:
    async with ToolServer([tool("a", annotations={"longRunning": long_running})]) as server:
        world = await open_world(servers=[server]).start()
        thread, call_id = await _asked(world, server)
        world.clock.advance(7 * DAY - 1)
        await world.settled(thread)
        assert server.choices == []
        world.clock.advance(1)
        await server.until(lambda: bool(server.choices), "the default")
        assert server.choices == [{"id": call_id, "selected": 0}]
        closed = await world.noted(thread, "prompt_closed", id=f"choice.{call_id}")
        assert (closed["selected"], closed["user_id"], closed["unanswered"]) == (0, None, True)
        with pytest.raises(AlreadyAnswered, match="'x' was chosen"):
            await world.runtime.choose(thread, f"choice.{call_id}", 1)
        world.model.then(say("done"))
        await server.answer(call_id, text="42")
        await world.said(thread, "done")
        assert await world.store.timers(thread) == []
        await world.close()


@pytest.mark.rap("CHO-3", "OAU-1", "CAN-1")
async def test_a_sign_in_that_nobody_makes_fails_its_call_in_words_and_its_server_is_told(
    tooled: World, server: ToolServer
) -> None:
    thread, call_id = await _asked(tooled, server, "oauth")
    tooled.model.then(say("nobody signed in"))
    tooled.clock.advance(7 * DAY)
    await tooled.said(thread, "nobody signed in")
    assert "asked the user to sign in, and nobody did within 7 days" in texts(
        tooled.model.requests[-1]["messages"][-1]
    )
    notice = ("/cancel_tool_call", {"thread_id": thread, "tool_call_id": call_id})
    await server.until(lambda: notice in server.notices, "the cancel notice")
    assert await tooled.store.prompts(thread) == []
    assert await tooled.store.timers(thread) == []


@pytest.mark.rap("CHO-1", "CHO-3")
async def test_an_answer_that_comes_together_with_the_limit_is_one_answer(open_world: Any) -> None:
    """Both wait for a slice that talks; the limit was first."""
    async with ToolServer([tool("a")]) as server:
        world = await open_world(servers=[server]).start()
        thread, call_id = await _asked(world, server)
        talking = Streaming("still", say("talked"))
        world.model.then(talking)
        await world.runtime.send(thread, "how is it going?")
        await talking.started.wait()
        world.clock.advance(7 * DAY)
        await world.until(lambda: _queued(world, thread, f"prompt.{call_id}"))
        await world.runtime.choose(thread, f"choice.{call_id}", 1)
        talking.go_on.set()
        await world.said(thread, "talked")
        await server.until(lambda: bool(server.choices), "the default")
        await world.settled(thread)
        assert server.choices == [{"id": call_id, "selected": 0}]
        assert [reason for _, reason, _ in await world.store.discards(thread)] == [
            "the question was answered already"
        ]
        await world.close()


async def _queued(world: World, thread: str, id: str) -> bool:
    return any(message.id.startswith(id) for message in await world.store.inbox())


@pytest.mark.rap("CHO-3")
async def test_a_limit_of_nothing_lets_a_question_wait_for_as_long_as_it_takes(open_world: Any) -> None:
    async with ToolServer([tool("a")]) as server:
        world = await open_world(servers=[server], agent=Agent(timeouts=Timeouts(prompt=0))).start()
        thread, call_id = await _asked(world, server)
        world.clock.advance(90 * DAY)
        await world.settled(thread)
        await world.restart()
        await world.runtime.choose(thread, f"choice.{call_id}", None)
        await server.until(lambda: bool(server.choices), "the choice")
        assert server.choices == [{"id": call_id, "selected": 0}], "dismissed selects the default"
        await world.close()


@pytest.mark.rap("CHO-3")
@pytest.mark.parametrize("again", ["choice", "oauth"])
async def test_later_callbacks_of_the_call_do_not_extend_the_limit(
    tooled: World, server: ToolServer, again: str
) -> None:
    thread, call_id = await _asked(tooled, server)
    tooled.clock.advance(6 * DAY)
    if again == "choice":
        assert await server.choice(call_id, prompt="Really which?", choices=["x", "y", "z"], default=2) == 200
    else:
        assert await server.oauth(call_id) == 200
        tooled.model.then(say("nobody came"))
    await tooled.until(lambda: _count(tooled, thread, "prompt", 2))
    tooled.clock.advance(1 * DAY)
    if again == "choice":
        await server.until(lambda: bool(server.choices), "the default of the last question")
        assert server.choices == [{"id": call_id, "selected": 2}]
    else:
        await tooled.said(thread, "nobody came")
        assert server.choices == []


async def _count(world: World, thread: str, kind: str, number: int) -> bool:
    return len([row for row in await world.store.feed(thread) if row.kind == kind]) >= number


@pytest.mark.rap("CHO-3", "RUN-5")
@pytest.mark.parametrize(("spent", "left"), [(100, 500), (590, 60), (0, 600)])
async def test_after_the_answer_the_deadline_runs_on_with_what_was_left_and_a_minute_at_least(
    open_world: Any, spent: int, left: int
) -> None:
    async with ToolServer([tool("a")]) as server:
        world = await open_world(servers=[server], agent=Agent(timeouts=Timeouts(call=600))).start()
        world.model.then(call(("a", {})))
        thread = await world.thread("go")
        invocation = await server.invoked()
        world.clock.advance(spent)
        for asked in range(2):
            assert await server.choice(invocation.id, prompt=f"Which {asked}?", choices=["x", "y"]) == 200
            await world.until(lambda number=asked + 1: _count(world, thread, "prompt", number))
            world.clock.advance(3 * DAY)
            await world.runtime.choose(thread, f"choice.{invocation.id}", 1)
            await server.until(lambda number=asked + 1: len(server.choices) == number, "the answer")
            await world.settled(thread)
        await world.restart()
        world.model.then(say("too late"))
        world.clock.advance(left - 1)
        await world.settled(thread)
        assert len(world.model.requests) == 1
        world.clock.advance(1)
        await world.said(thread, "too late")
        assert "gave no result" in texts(world.model.requests[-1]["messages"][-1])
        assert await world.store.timers(thread) == []
        await world.close()


@pytest.mark.rap("CHO-3")
async def test_the_deadline_stands_still_until_the_last_of_two_questions_is_over(
    tooled: World, server: ToolServer
) -> None:
    thread, call_id = await _asked(tooled, server)
    assert await server.oauth(call_id) == 200
    await tooled.noted(thread, "prompt", id=f"oauth.{call_id}")
    await tooled.runtime.choose(thread, f"choice.{call_id}", 1)
    await server.until(lambda: bool(server.choices), "the choice")
    tooled.clock.advance(6 * DAY)
    await tooled.settled(thread)
    assert [prompt.id for prompt in await tooled.store.prompts(thread)] == [f"oauth.{call_id}"]
    tooled.model.then(say("done"))
    await server.answer(call_id, text="42")
    await tooled.said(thread, "done")


@pytest.mark.rap("CHO-3")
@pytest.mark.trap("L24")
async def test_a_deadline_that_has_fired_behind_a_question_ends_nothing(
    tooled: World, server: ToolServer
) -> None:
    """The question is durable, its slice has not run, and the deadline's timer has become a message behind it."""
    tooled.model.then(call(("a", {})))
    thread = await tooled.thread("go")
    invocation = await server.invoked()
    await tooled.settled(thread)
    timers = {timer.id: timer for timer in await tooled.store.timers(thread)}
    body = timers[f"deadline.{invocation.id}"].body
    asked = Choice(
        call_id=invocation.id,
        prompt="Which?",
        choices=["x", "y"],
        default=0,
        response_url=f"{server.base_url}/choice",
    )
    put = [
        Message(thread, "choice:1", "choice", encode(asked), accepted_at=1),
        Message(thread, f"deadline.{invocation.id}", "timer", body, accepted_at=2),
    ]
    accepted = [(await tooled.store.accept(message)).message for message in put]
    tooled.mailbox.put([message for message in accepted if message is not None])
    await tooled.noted(thread, "prompt", id=f"choice.{invocation.id}")
    await tooled.settled(thread)
    assert len(await tooled.store.prompts(thread)) == 1
    tooled.model.then(say("too late"))
    await tooled.runtime.choose(thread, f"choice.{invocation.id}", 0)
    await server.until(lambda: bool(server.choices), "the choice")
    await tooled.settled(thread)
    tooled.clock.advance(3601)
    await tooled.said(thread, "too late")


@pytest.mark.rap("CHO-3")
async def test_what_is_waited_for_says_that_the_deadline_stands_still_and_when_the_question_ends(
    tooled: World, server: ToolServer
) -> None:
    thread, call_id = await _asked(tooled, server)
    asked_at = tooled.clock.now()
    reasons = {reason.kind: reason for reason in (await tooled.runtime.explain(thread)).reasons}
    assert set(reasons) == {"call", "prompt"}
    assert "stands still while the user is asked" in reasons["call"].text
    assert reasons["call"].until is None
    assert "the default is sent then" in reasons["prompt"].text
    assert reasons["prompt"].until == asked_at + int(7 * DAY * 1000)
    await tooled.runtime.choose(thread, f"choice.{call_id}", 0)
    await server.until(lambda: bool(server.choices), "the choice")
    (reason,) = (await tooled.runtime.explain(thread)).reasons
    assert reason.until is not None and "stands still" not in reason.text


@pytest.mark.rap("CHO-3")
async def test_of_two_different_answers_the_first_counts_and_the_other_hears_which_that_is(
    tooled: World, server: ToolServer
) -> None:
    thread, call_id = await _asked(tooled, server)
    id = f"choice.{call_id}"
    first = await tooled.runtime.choose(thread, id, 1, user_id="ada")
    with pytest.raises(AlreadyAnswered, match=r"'y' was chosen by ada at 20\d\d-\d\d-\d\d \d\d:"):
        await tooled.runtime.choose(thread, id, 0)
    await server.until(lambda: bool(server.choices), "the choice")
    await tooled.noted(thread, "prompt_closed", id=id)
    await tooled.restart()
    with pytest.raises(AlreadyAnswered, match=r"'y' was chosen by ada at 20\d\d-\d\d-\d\d \d\d:"):
        await tooled.runtime.choose(thread, id, 0)
    assert first.status == "accepted"
    assert server.choices == [{"id": call_id, "selected": 1}]


@pytest.mark.rap("CHO-3", "INV-6")
async def test_an_answer_that_cannot_be_delivered_ends_no_call_whose_result_may_still_come(
    tooled: World, server: ToolServer
) -> None:
    tooled.model.then(call(("a", {})), say("done"))
    thread = await tooled.thread("go")
    invocation = await server.invoked()
    away = f"{server.base_url}/nowhere"
    await server.choice(invocation.id, prompt="Which?", choices=["x", "y"], response_url=away)
    await tooled.noted(thread, "prompt")
    await tooled.runtime.choose(thread, f"choice.{invocation.id}", 0)
    problem = await tooled.noted(thread, "problem", code="undelivered")
    assert "HTTP 404" in problem["text"] and "its result may still come" in problem["text"]
    await tooled.settled(thread)
    assert len(tooled.model.requests) == 1
    await server.answer(invocation.id, text="42")
    await tooled.said(thread, "done")
    assert (await tooled.runtime.explain(thread)).reasons == []


@pytest.mark.rap("CHO-1", "CAN-1")
@pytest.mark.parametrize("action", [Action.INTERRUPT, Action.CLOSE])
async def test_a_question_ends_with_the_interrupt_or_the_thread(
    tooled: World, server: ToolServer, action: Action
) -> None:
    thread, _ = await _asked(tooled, server)
    await tooled.runtime.control(thread, action)
    await tooled.noted(thread, "call_ended", state="cancelled")
    await tooled.settled(thread)
    assert await tooled.store.prompts(thread) == []


@pytest.mark.rap("CHO-1", "CHO-2")
async def test_a_question_in_a_child_is_answered_there_after_a_restart(
    tooled: World, server: ToolServer
) -> None:
    thread, call_id = await subscribed(tooled, server)
    tooled.model.when("created for the event", call(("a", {})))
    await server.event(call_id, text="push")
    invocation = await server.invoked(2)
    child = invocation.group_id
    assert child != thread
    assert await server.choice(invocation.id, prompt="Which?", choices=["x", "y"]) == 200
    await tooled.noted(child, "prompt", id=f"choice.{invocation.id}")
    await tooled.restart()
    (row,) = await tooled.store.prompts()
    assert row.thread == child, "a listing of all questions has those of children"
    with pytest.raises(BadRequest, match="no prompt"):
        await tooled.runtime.choose(thread, f"choice.{call_id}", 1)
    await tooled.runtime.choose(child, f"choice.{invocation.id}", 1, user_id="bob")
    await server.until(lambda: bool(server.choices), "the choice")
    assert server.choices == [{"id": invocation.id, "selected": 1}]
    tooled.model.when("42", say("child is done"))
    await server.answer(invocation.id, text="42")
    await tooled.said(child, "child is done")


@pytest.mark.rap("DISC-9")
async def test_consent_waits_for_as_long_as_it_takes_and_keeps_who_gave_it(open_world: Any) -> None:
    async with ToolServer([tool("drop", annotations={"destructive": True})]) as server:
        world = await open_world(servers=[server]).start()
        world.model.then(call(("drop", {"table": "t"})), say("dropped"))
        thread = await world.thread("go")
        prompt = await world.noted(thread, "prompt", prompt_kind="consent")
        world.clock.advance(90 * 24 * 3600)
        await world.settled(thread)
        assert server.invocations == []
        await world.restart()
        await world.runtime.choose(thread, prompt["id"], 0, user_id="alice")
        closed = await world.noted(thread, "prompt_closed", id=prompt["id"])
        assert (closed["selected"], closed["user_id"], closed["at"]) == (0, "alice", world.clock.now())
        invocation = await server.invoked()
        assert invocation.arguments == {"table": "t"}
        await server.answer(invocation.id, text="ok")
        await world.said(thread, "dropped")
        await world.close()
