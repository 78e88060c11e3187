"""What a thread does with text: answers, keeps order, runs each message once."""

from __future__ import annotations

import asyncio

import pytest
from tests.slice.scenes import Streaming, World

from infinity.abc import Status
from infinity.errors import BadRequest, UnknownThread
from infinity.testing.replies import say, texts


async def test_user_text_is_answered(world: World) -> None:
    world.model.then(say("hello"))
    thread = await world.thread("hi")
    await world.said(thread, "hello")
    assert await world.kinds(thread) == ["user", "user", "turn"]


async def test_a_thread_learns_its_id_from_its_seed_and_not_from_the_system_prompt(world: World) -> None:
    world.model.then(say("hello"), say("hello"))
    for _ in range(2):
        thread = await world.thread("hi")
        await world.said(thread, "hello")
        assert thread in texts(world.model.requests[-1]["messages"][0])
    first, second = world.model.requests
    assert (first["system"], first["tools"]) == (second["system"], second["tools"])


@pytest.mark.trap("R1")
async def test_a_message_sent_twice_under_one_key_is_answered_once(world: World) -> None:
    world.model.then(say("hello"))
    thread = await world.thread()
    first = await world.runtime.send(thread, "hi", key="k")
    again = await world.runtime.send(thread, "hi", key="k")
    await world.said(thread, "hello")
    late = await world.runtime.send(thread, "hi", key="k")
    assert [first.status, again.status, late.status] == [Status.ACCEPTED, Status.DUPLICATE, Status.DUPLICATE]
    await world.settled(thread)
    assert len(world.model.requests) == 1


@pytest.mark.rap("THR-1")
async def test_messages_of_a_thread_are_folded_in_the_order_of_their_arrival(world: World) -> None:
    slow = Streaming("thinking", say("done"))
    world.model.then(slow, say("all"))
    thread = await world.thread("0")
    await slow.started.wait()
    for number in range(1, 20):
        await world.runtime.send(thread, f"message {number}.")
    slow.go_on.set()
    request = await world.model.request(2)
    said = texts(request["messages"][-1])
    assert [said.index(f"message {number}.") for number in range(1, 20)] == sorted(
        said.index(f"message {number}.") for number in range(1, 20)
    )


@pytest.mark.rap("THR-1")
async def test_a_slow_thread_does_not_hold_up_another(world: World) -> None:
    slow = Streaming("thinking", say("slow"))
    world.model.when("be slow", slow).when("be quick", say("quick"))
    held = await world.thread("be slow")
    await slow.started.wait()
    other = await world.thread("be quick")
    await world.said(other, "quick")
    slow.go_on.set()
    await world.said(held, "slow")


@pytest.mark.trap("L2", "L15")
async def test_a_message_survives_the_end_of_the_process_while_the_model_runs(world: World) -> None:
    slow = Streaming("half a sent", say("never heard"))
    world.model.then(slow, say("after the restart"))
    thread = await world.thread("hi")
    await slow.started.wait()
    await world.restart()
    await world.said(thread, "after the restart")
    assert await world.kinds(thread) == ["user", "user", "turn"]


async def test_an_empty_answer_of_the_model_ends_the_slice(world: World) -> None:
    from infinity.abc import Turn

    world.model.then(Turn([]), say("hello"))
    thread = await world.thread("hi")
    await world.noted(thread, "slice")
    await world.settled(thread)
    assert len(world.model.requests) == 1
    await world.runtime.send(thread, "again")
    await world.said(thread, "hello")


async def test_content_that_no_model_would_take_is_refused_and_changes_nothing(world: World) -> None:
    thread = await world.thread()
    wrong = (
        [],
        [{"type": "text", "text": "  "}],
        [{"type": "text", "text": 3}],
        [{"type": "tool_result", "tool_use_id": "x"}],
        [{"type": "image", "source": {"type": "url", "url": "http://127.0.0.1"}}],
    )
    for content in wrong:
        with pytest.raises(BadRequest, match="content"):
            await world.runtime.send(thread, content)
    assert await world.kinds(thread) == ["user"]


async def test_text_for_an_unknown_thread_is_refused(world: World) -> None:
    with pytest.raises(UnknownThread, match="thread_none"):
        await world.runtime.send("thread_none", "hi")


async def test_creating_a_thread_twice_under_one_id_makes_one(world: World) -> None:
    world.model.then(say("hello"))
    for _ in range(2):
        assert await world.runtime.create(id="mine") == "mine"
    await world.runtime.send("mine", "hi")
    await world.said("mine", "hello")


async def test_two_hundred_threads_at_once_are_all_answered(world: World) -> None:
    count = 200
    for number in range(count):
        world.model.when(f"number {number}.", say(f"answer {number}"))
    threads = await asyncio.gather(*(world.thread(f"number {number}.") for number in range(count)))
    await asyncio.gather(*(world.said(thread, f"answer {number}") for number, thread in enumerate(threads)))
