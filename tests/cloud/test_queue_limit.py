"""``limits.queued_messages`` on this host: anyone who says too much to a thread is told to wait; other threads, controls and results are not concerned (G2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.cloud.crash.host import CloudHost
from tests.cloud.world import CloudWorld
from tests.crash.scenarios import ROOT
from tests.slice.scenes import Streaming

from infinity import Agent
from infinity.emulator.faults import refused
from infinity.errors import LimitReached, StoreError
from infinity.message import Action
from infinity.models.script import Reply
from infinity.settings import Limits
from infinity.testing.replies import call, say
from infinity.testing.tool_server import ToolServer

MOST = 4
FEW = Agent(limits=Limits(queued_messages=MOST))


async def _say(world: CloudWorld, thread: str, count: int) -> None:
    for _ in range(count):
        assert (await world.runtime.send(thread, "more")).status == "accepted"


async def _full(world: CloudWorld, thread: str) -> None:
    for _ in range(MOST):
        with pytest.raises(
            LimitReached, match=rf"{thread} has {MOST} messages waiting \(limits.queued_messages\)"
        ):
            await world.runtime.send(thread, "too much")


@pytest.mark.trap("G2")
async def test_messages_beyond_the_limit_are_refused_until_the_thread_has_read_some(open_world: Any) -> None:
    world = open_world(agent=FEW)
    await world.start()
    thread = await world.runtime.create(id="flooded")
    for _ in range(2):
        await world.deployment.pause()
        await _say(world, thread, MOST)
        await _full(world, thread)
        assert (await world.runtime.control(thread, Action.COMPACT)).status == "accepted"
        world.model.then(*[say("I see")] * MOST)
        world.deployment.resume()
        await world.settled(thread)
    await world.close()


@pytest.mark.trap("G2")
async def test_a_thread_that_is_flooded_stops_no_other_and_gets_its_results(
    open_world: Any, server: ToolServer
) -> None:
    world = open_world(agent=FEW, servers=[server])
    await world.start()
    world.model.then(call(("a", {})), say("it runs"), streaming := Streaming("thinking", say("I see")))
    thread = await world.thread("go")
    invocation = await server.invoked()
    await world.runtime.send(thread, "and?")
    await world.said(thread, "it runs")
    await world.settled(thread)
    await world.runtime.send(thread, "begin")
    await streaming.started.wait()
    await _say(world, thread, MOST - 1)
    await _full(world, thread)
    world.model.then(say("hello"), *[say("that was all")] * 3)
    other = await world.thread("hi")
    await world.said(other, "hello")
    await server.answer(invocation.id, text="42")
    streaming.go_on.set()
    await world.said(thread, "that was all")
    await world.settled(thread)
    assert "42" in str(world.model.requests[-1]["messages"])
    await world.close()


async def test_without_the_count_nobody_is_refused(open_world: Any) -> None:
    world = open_world(agent=FEW)
    await world.start()
    await world.deployment.pause()
    thread = await world.runtime.create(id="flooded")
    world.deployment.aws.faults.add("dynamodb", "UpdateItem", refused("AccessDeniedException"))
    await _say(world, thread, 2 * MOST)
    await world.close()


@pytest.mark.trap("G2")
async def test_a_message_that_could_not_be_queued_does_not_count(open_world: Any) -> None:
    world = open_world(agent=FEW)
    await world.start()
    await world.deployment.pause()
    thread = await world.runtime.create(id="flooded")
    fault = world.deployment.aws.faults.add("sqs", "*", refused("AccessDeniedException"))
    for _ in range(2 * MOST):
        with pytest.raises(StoreError):
            await world.runtime.send(thread, "lost")
    fault.remove()
    await _say(world, thread, MOST)
    await _full(world, thread)
    await world.close()


async def test_why_a_message_could_not_be_queued_is_said_though_the_count_is_away_too(
    open_world: Any,
) -> None:
    world = open_world(agent=FEW)
    await world.start()
    await world.deployment.pause()
    thread = await world.runtime.create(id="flooded")
    world.deployment.aws.faults.add("sqs", "*", refused("AccessDeniedException"))
    world.deployment.aws.faults.add("dynamodb", "UpdateItem", refused("AccessDeniedException"))
    with pytest.raises(StoreError, match="sqs"):
        await world.runtime.send(thread, "lost")
    await world.close()


class _Limited(CloudHost):
    def _config(self) -> str:
        return super()._config() + f"[limits]\nqueued_messages = {MOST}\n"


@pytest.mark.trap("G2")
async def test_the_api_answers_429_with_the_permissions_of_a_deployment(tmp_path: Path) -> None:
    async with _Limited(tmp_path, lambda _: Reply().say("I see"), conflicts=0) as host:
        await host.create(ROOT)
        await host.stage.mapping.disable()
        for number in range(MOST):
            await host.say(ROOT, f"number {number}")
        async with host.talking.post(f"/v1/threads/{ROOT}/messages", json={"content": "more"}) as response:
            body = await response.json()
        assert response.status == 429 and response.headers["Retry-After"] == "1"
        assert body["error"]["code"] == "limit" and "limits.queued_messages" in body["error"]["message"]
        host.stage.mapping.enable()
        await host.settled()
        await host.say(ROOT, "and now?")
        await host.watch(ROOT).said("I see")
        await host.settled()
