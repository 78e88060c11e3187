"""The agent function and its queue: what people and strangers put there, failures group by group, dead letters, interrupts, time limits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.cloud.world import CloudWorld
from tests.contract.dsql_rules import Conflicts
from tests.slice.scenes import Streaming

from infinity import Agent
from infinity._core import Message
from infinity.abc import Status
from infinity.cloud import envelope
from infinity.cloud.batch import run_batch
from infinity.cloud.dead_letters import keep
from infinity.emulator.sqs import Queue
from infinity.engine.attempts import bound
from infinity.errors import StoreError
from infinity.message import Action, Kind, UserText, encode, text_blocks
from infinity.settings import Retries
from infinity.stamps import is_stamp
from infinity.testing.replies import call, say, texts
from infinity.testing.tool_server import ToolServer


def inbox(world: CloudWorld) -> Queue:
    return world.deployment.aws.sqs.queue(world.deployment.inbox)


async def put(world: CloudWorld, thread: str, body: str, id: str) -> None:
    await world.client.inbox_queue.send(body, group=thread, deduplication_id=id)


async def told(world: CloudWorld) -> list[dict[str, Any]]:
    """What is on the output queue, in order of each thread."""
    queue = world.deployment.aws.sqs.queue(world.deployment.output)
    return [json.loads(message.body) for message in queue.messages()]


def plain(thread: str, text: str) -> str:
    return json.dumps({"content": {"type": "text", "text": text}, "group_id": thread})


# -- people and strangers


async def test_a_person_begins_a_conversation_with_plain_json_and_the_reply_is_on_the_output_queue_once(
    world: CloudWorld,
) -> None:
    world.model.then(say("hello to you"))
    await put(world, "from-a-person", plain("from-a-person", "hello"), "1")
    await world.said("from-a-person", "hello to you")
    await world.settled("from-a-person")
    replies = [row for row in await told(world) if row["kind"] == "reply"]
    assert [(row["thread"], row["data"]["text"]) for row in replies] == [("from-a-person", "hello to you")]
    assert replies[0]["id"] == f"from-a-person.{replies[0]['data']['cursor']}"
    assert (await world.store.unsent("from-a-person")) == ([], [])  # type: ignore[attr-defined]


@pytest.mark.trap("L10")
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("not json", "JSON"),
        ('{"content": {"type": "text", "text": "hi"}, "group_id": "another"}', "group"),
        ('{"content": {"type": "image"}, "group_id": "poisoned"}', "content"),
        ('{"infinity": 1, "thread": "poisoned", "id": "m", "kind": "nonsense", "body": {}}', "kind"),
        ('{"content": ' * 50_000, "JSON"),
    ],
)
async def test_a_message_that_nobody_can_read_is_told_and_dropped_and_holds_up_nobody(
    world: CloudWorld, body: str, reason: str
) -> None:
    world.model.then(say("still here"))
    await world.runtime.create(id="poisoned")
    await put(world, "poisoned", body, "bad")
    await put(world, "poisoned", plain("poisoned", "good"), "good")
    await world.said("poisoned", "still here")
    await world.settled("poisoned")
    (problem,) = [row for row in await told(world) if row["kind"] == "problem"]
    assert reason in problem["data"]["text"]
    assert [why for _, why, _ in await world.store.discards("poisoned")], "on record (I2)"


@pytest.mark.trap("R1")
async def test_what_a_newer_version_wrote_stays_queued_and_what_came_before_it_is_done(
    world: CloudWorld,
) -> None:
    world.model.then(say("first"))
    await world.runtime.create(id="t")
    await put(world, "t", plain("t", "one"), "1")
    await put(world, "t", json.dumps({"infinity": 99, "thread": "t", "id": "m", "new": True}), "2")
    await put(world, "t", plain("t", "three"), "3")
    await world.said("t", "first")

    async def failing() -> bool:
        return "newer" in (await world.client.hints.failing("t") or "")

    await world.until(failing)
    await world.until(lambda: not world.deployment.aws.lambdas.busy)
    left = [json.loads(message.body) for message in inbox(world).messages()]
    assert [body.get("infinity") for body in left] == [99, None], "order is kept behind it"


async def test_a_message_too_large_for_the_queue_goes_by_the_bucket(tmp_path: Path) -> None:
    from infinity.settings import Limits

    world = CloudWorld(tmp_path / "world", agent=Agent(limits=Limits(message_bytes=8 << 20)))
    await world.start()
    world.model.info = replace(world.model.info, context_window=10_000_000)
    world.model.then(say("that was long"))
    thread = await world.thread()
    text = "long " * (1 << 19)
    await world.runtime.send(thread, text)
    await world.said(thread, "that was long")
    assert text in texts(world.model.requests[0]["messages"][-1])
    # The entry is above what a column takes, too, and comes back whole in another process.
    await world.restart()
    world.model.then(say("still know it"))
    await world.runtime.send(thread, "do you remember?")
    await world.said(thread, "still know it")
    assert text in texts(world.model.requests[1]["messages"][-3])
    await world.close()


# -- failures


class _Broken:
    """A store that cannot load some threads."""

    def __init__(self, world: CloudWorld, *threads: str) -> None:
        self.threads = set(threads)
        self._world = world

    def apply(self) -> None:
        for host in self._world.deployment.agents:
            whole = host.store.load

            async def load(thread: str, *how: Any, whole: Any = whole) -> Any:
                if thread in self.threads:
                    raise OSError("the disk is on fire")
                return await whole(thread, *how)

            host.store.load = load  # type: ignore[method-assign]


@pytest.fixture
async def calm(tmp_path: Path) -> AsyncIterator[CloudWorld]:
    """One environment of the agent function, which has run once."""
    world = CloudWorld(tmp_path / "world", conflicts=Conflicts(0))
    await world.start()
    world.model.then(say("warm"))
    thread = await world.thread("warm up")
    await world.said(thread, "warm")
    await world.settled(thread)
    yield world
    await world.close()


def record(world: CloudWorld, thread: str, body: str, *, receives: int = 1) -> dict[str, Any]:
    """As an event source mapping gives it, of a message that was received just now."""
    return {
        "messageId": f"{thread}-{abs(hash(body))}",
        "receiptHandle": "unknown",
        "body": body,
        "attributes": {
            "MessageGroupId": thread,
            "ApproximateReceiveCount": str(receives),
            "SentTimestamp": str(world.clock.now()),
        },
    }


@pytest.mark.trap("B6")
async def test_a_group_that_fails_is_reported_from_its_first_message_on_and_others_go_through(
    calm: CloudWorld,
) -> None:
    await calm.runtime.create(id="sound")
    await calm.runtime.create(id="broken")
    _Broken(calm, "broken").apply()
    calm.model.then(say("fine"))
    (host,) = calm.deployment.agents
    records = [
        record(calm, "broken", plain("broken", "one")),
        record(calm, "sound", plain("sound", "two")),
        record(calm, "broken", plain("broken", "three")),
    ]
    answer = await run_batch(host, {"Records": records}, lambda: 60.0)
    failed = [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]
    assert failed == [records[0]["messageId"], records[2]["messageId"]]
    await calm.said("sound", "fine")
    assert "on fire" in (await calm.client.hints.failing("broken") or "")


@pytest.mark.trap("L10", "L18")
async def test_a_thread_that_cannot_be_loaded_rests_longer_each_time_and_recovers_by_itself(
    calm: CloudWorld,
) -> None:
    broken = _Broken(calm, "t")
    broken.apply()
    await calm.runtime.create(id="t")
    await calm.runtime.send("t", "hello?")
    rests = []
    for _ in range(4):
        await calm.until(lambda: not calm.deployment.aws.lambdas.busy)
        (message,) = inbox(calm).messages()
        rests.append((message.visible_at - calm.clock.now()) // 1000)
        calm.clock.pass_time(rests[-1] + 0.001)
        await calm.until(lambda receives=message.receives: inbox(calm).messages()[0].receives > receives)
    assert rests == [2, 4, 8, 16]
    told_of = [row for row in await told(calm) if row["data"].get("code") == "failing"]
    assert len(told_of) == 1, "said once, not at every try"
    await calm.until(lambda: not calm.deployment.aws.lambdas.busy)
    broken.threads.clear()
    calm.model.then(say("here I am"))
    calm.clock.pass_time(60)
    await calm.said("t", "here I am")


@pytest.mark.trap("L10")
async def test_a_dead_letter_is_kept_told_and_tried_again_by_the_sweep(calm: CloudWorld) -> None:
    broken = _Broken(calm, "t")
    broken.apply()
    await calm.runtime.create(id="t")
    await calm.runtime.send("t", "hello?", key="one")
    await calm.until(lambda: _given_up(calm))
    await calm.until(lambda: any(row["data"].get("code") == "dead_letter" for row in _told(calm)))
    assert [message.id for message in await calm.store.inbox()] == ["message.one"], (
        "kept in the database (I2)"
    )
    broken.threads.clear()
    calm.model.then(say("here I am"))
    calm.clock.pass_time(901)
    assert (await calm.deployment.sweep())["woken"] == 1
    await calm.said("t", "here I am")
    assert await calm.store.inbox() == []


def _given_up(world: CloudWorld) -> bool:
    """Whether the message is no more in the queue; else its next visit is near, unless one is under way."""
    if inbox(world).messages() and not world.deployment.aws.lambdas.busy:
        world.clock.pass_time(901)
    return not inbox(world).messages()


def _told(world: CloudWorld) -> list[dict[str, Any]]:
    queue = world.deployment.aws.sqs.queue(world.deployment.output)
    return [json.loads(message.body) for message in queue.messages()]


def _younger(id: str) -> Message:
    """For a conversation that is younger than the copy from which the database was put back."""
    return Message("younger", id, Kind.USER, encode(UserText(content=text_blocks("hello"))), accepted_at=1)


@pytest.mark.trap("L10")
async def test_a_message_for_a_thread_that_the_database_does_not_know_is_refused_and_told(
    world: CloudWorld,
) -> None:
    await put(world, "younger", envelope.seal(_younger("m")), "1")
    await world.settled("younger")
    await _refused_on_record(world)


@pytest.mark.trap("L10")
async def test_a_dead_letter_for_a_thread_that_the_database_does_not_know_is_refused_and_told(
    world: CloudWorld,
) -> None:
    event = {"Records": [record(world, "younger", envelope.seal(_younger("m")))]}
    assert await keep(world.client, event) == {"batchItemFailures": []}
    await _refused_on_record(world)


async def _refused_on_record(world: CloudWorld) -> None:
    assert [row[:2] for row in await world.store.discards("younger")] == [("m", "there is no such thread")]
    (problem,) = [row for row in _told(world) if row["kind"] == "problem"]
    assert problem["thread"] == "younger" and problem["data"]["code"] == "unreadable"
    assert "m was dropped: there is no such thread" in problem["data"]["text"]


# -- once


@pytest.mark.rap("CB-4")
async def test_a_message_that_comes_again_after_the_queue_has_forgotten_it_changes_nothing(
    world: CloudWorld,
) -> None:
    world.model.then(say("once"))
    thread = await world.thread()
    await world.runtime.send(thread, "hello", key="k")
    await world.said(thread, "once")
    await world.settled(thread)
    message = Message(
        thread, "message.k", Kind.USER, encode(UserText(content=text_blocks("hello"))), accepted_at=1
    )
    world.clock.pass_time(301)
    await put(world, thread, envelope.seal(message), "another")
    await world.settled(thread)
    assert await world.kinds(thread) == ["user", "user", "turn"]
    assert len(world.model.requests) == 1
    assert (await world.runtime.send(thread, "hello", key="k")).status is Status.DUPLICATE


@pytest.mark.rap("THR-1")
async def test_twins_that_have_the_same_messages_commit_them_once(calm: CloudWorld) -> None:
    """The second environment gets what the first still works on: as when a visibility time-out ends too early (I1)."""
    slow = Streaming("thinking", say("the first is late"))
    calm.model.then(slow, say("the second was faster"))
    await calm.runtime.create(id="t")
    first, second = calm.deployment.agents[0], await calm.deployment.host()
    event = {"Records": [record(calm, "t", plain("t", "hello"))]}
    again = {"Records": [record(calm, "t", plain("t", "hello"), receives=2)]}
    running = asyncio.create_task(run_batch(first, event, lambda: 60.0))
    await slow.started.wait()
    assert (await run_batch(second, again, lambda: 60.0))["batchItemFailures"] == []
    slow.go_on.set()
    assert (await running)["batchItemFailures"] == [], "what it was to do is done"
    history = await calm.history("t")
    assert [entry["kind"] for entry in history] == ["user", "user", "turn"]
    assert "the second was faster" in str(history[-1])
    replies = [row["data"]["text"] for row in _told(calm) if row["kind"] == "reply" and row["thread"] == "t"]
    assert replies == ["the second was faster"], "what was not committed is told to nobody"


@pytest.mark.trap("L10")
async def test_receives_that_an_outage_of_the_store_has_ended_do_not_count_against_the_thread(
    calm: CloudWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an outage of hours its messages have come often; the thread has bought nothing, and is answered (I12)."""
    calm.model.then(say("here I am"))
    await calm.runtime.create(id="t")
    host = calm.deployment.agents[0]
    most = bound(host.runtime.settings.retries) + 5

    async def away(*_: Any) -> None:
        raise StoreError("the database cannot be reached")

    with monkeypatch.context() as outage:
        outage.setattr(host.store, "load", away)
        for receives in range(1, most):
            event = {"Records": [record(calm, "t", plain("t", "hello"), receives=receives)]}
            assert len((await run_batch(host, event, lambda: 60.0))["batchItemFailures"]) == 1
    event = {"Records": [record(calm, "t", plain("t", "hello"), receives=most)]}
    assert (await run_batch(host, event, lambda: 60.0))["batchItemFailures"] == []
    assert [entry["kind"] for entry in await calm.history("t")] == ["user", "user", "turn"]


# -- interrupts and time limits


async def test_an_interrupt_reaches_the_slice_that_runs_in_another_process(world: CloudWorld) -> None:
    slow = Streaming("I was about to", say("never said"))
    world.model.then(slow, say("what now?"))
    thread = await world.thread("talk")
    await slow.started.wait()
    await world.runtime.control(thread, Action.INTERRUPT)
    await world.said(thread, "I was about to")
    await world.settled(thread)
    assert len(world.model.requests) == 1
    await world.runtime.send(thread, "go on")
    await world.said(thread, "what now?")


@pytest.mark.trap("B8")
async def test_an_interrupt_that_comes_before_anything_is_said_ends_the_slice_for_good(
    world: CloudWorld,
) -> None:
    slow = Streaming("", say("never said"))
    world.model.then(slow)
    thread = await world.thread("talk")
    await slow.started.wait()
    await world.runtime.control(thread, Action.INTERRUPT)
    await world.noted(thread, "status", status="interrupted")
    await world.settled(thread)
    assert len(world.model.requests) == 1
    assert (await world.runtime.explain(thread)).state == "idle"


@pytest.mark.trap("L14", "M5")
async def test_a_completion_that_outlasts_the_function_is_ended_before_and_asked_for_again(
    calm: CloudWorld,
) -> None:
    cut = Streaming("half of", say("never"))
    calm.model.then(cut, say("all of it"))
    await calm.runtime.create(id="t")
    (host,) = calm.deployment.agents
    answer = await run_batch(host, {"Records": [record(calm, "t", plain("t", "hi"))]}, lambda: 5.2)
    assert answer["batchItemFailures"] == []
    await calm.said("t", "all of it")
    assert await calm.kinds("t") == ["user", "user", "turn"]


@pytest.mark.trap("R5", "L18")
async def test_a_completion_that_never_fits_is_given_up_and_told(tmp_path: Path) -> None:
    world = CloudWorld(tmp_path / "world", agent=Agent(retries=Retries(slices=1)))
    await world.start()
    await world.runtime.create(id="t")
    world.model.then(*(Streaming("half of", say("never")) for _ in range(2)))
    host = await world.deployment.host(world.deployment.observe)
    await world.deployment.aws.lambdas.mappings[0].disable()
    await run_batch(host, {"Records": [record(world, "t", plain("t", "hi"))]}, lambda: 5.2)
    (wake,) = inbox(world).messages()
    await run_batch(host, {"Records": [record(world, "t", wake.body)]}, lambda: 5.2)
    problem = await world.noted("t", "problem", code="time_limit")
    assert "2 times in a row" in problem["text"]
    await world.close()


async def test_a_function_of_the_agents_own_process_has_the_whole_time_of_the_invocation(
    tmp_path: Path,
) -> None:
    from infinity import tool

    started = asyncio.Event()

    @tool
    async def ponder(question: str) -> str:
        """Takes its time."""
        started.set()
        await asyncio.sleep(0.3)
        return "42"

    world = CloudWorld(tmp_path / "world")
    world.agent = replace(world.agent, tools=[ponder])
    await world.start()
    world.model.then(call(("ponder", {"question": "why?"})), say("now I know"))
    thread = await world.thread("think")
    await world.said(thread, "now I know")
    await world.close()


# -- many


async def test_forty_threads_at_once_are_all_answered_and_told(world: CloudWorld) -> None:
    count = 40
    world.model.then(*[say("hello")] * count)
    threads = [await world.thread("hi") for _ in range(count)]
    for thread in threads:
        await world.said(thread, "hello")
    await world.until(world.deployment.idle)
    assert {row["thread"] for row in _told(world) if row["kind"] == "reply"} == set(threads)


@pytest.mark.trap("L5")
async def test_a_result_and_text_in_one_batch_answer_the_call_first(
    tooled: CloudWorld, server: ToolServer
) -> None:
    tooled.model.then(call(("a", {})), say("both seen"))
    thread = await tooled.thread("go")
    invocation = await server.invoked()
    await tooled.settled(thread)
    mapping = tooled.deployment.aws.lambdas.mappings[0]
    await mapping.disable()
    await tooled.runtime.send(thread, "and?")
    await server.answer(invocation.id, text="42")
    mapping.enable()
    await tooled.said(thread, "both seen")
    last = tooled.model.requests[-1]["messages"][-1]
    said = [block["type"] for block in last["content"] if not is_stamp(block)]
    assert said == ["tool_result", "text"]
    assert "still running" not in texts(last)


async def test_messages_are_folded_in_the_order_of_their_arrival_over_several_batches(
    world: CloudWorld,
) -> None:
    slow = Streaming("thinking", say("done"))
    world.model.then(slow, say("some"), say("the rest"))
    thread = await world.thread("0")
    await slow.started.wait()
    for number in range(1, 20):
        await world.runtime.send(thread, f"message {number}.")
    slow.go_on.set()
    await world.said(thread, "the rest")
    said = "\n".join(texts(message) for message in world.model.requests[-1]["messages"])
    places = [said.index(f"message {number}.") for number in range(1, 20)]
    assert places == sorted(places)
