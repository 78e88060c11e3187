"""The kit for tool servers: subscriptions, webhooks and generators."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from infinity.rap.server import (
    Event,
    Subscription,
    ToolError,
    Toolset,
    ToolsetServer,
    Webhook,
)
from infinity.rap.wire import read_callback

from .conftest import FakeRuntime, served


def watching(on_setup: Callable[[Subscription], None] = lambda _: None) -> Toolset:
    tools = Toolset("builds")

    @tools.subscription
    async def watch(repo: str, subscription: Subscription) -> str:
        """Tells when a build ends."""
        on_setup(subscription)
        if repo == "unknown":
            raise ToolError("no such repository")
        return f"Watching {repo}."

    @tools.webhook("/hook")
    async def hook(request: Webhook) -> int | None:
        if request.headers.get("x-secret") != "s":
            return 401
        for subscription in await tools.subscriptions(watch):
            event = json.loads(request.body)
            if subscription.arguments["repo"] == event["repo"]:
                await subscription.send(Event(event["text"], id=event["id"], final=event.get("final", False)))
        return None

    return tools


async def hook(runtime: FakeRuntime, server: ToolsetServer, id: str, **more: Any) -> None:
    body = {"repo": "a", "text": f"built {id}", "id": id, **more}
    assert await runtime.post(f"{server.base_url}/hook", body, **{"X-Secret": "s"}) == 200


@pytest.mark.rap("SRV-4", "RES-4")
async def test_a_subscription_is_confirmed_and_then_sends_events(runtime: FakeRuntime, state: Path) -> None:
    async with served(watching(), state) as server:
        await runtime.invoke(server.base_url, "watch", arguments={"repo": "a"})
        confirmation = await runtime.called_back()
        assert (confirmation["text"], confirmation["subscription"]) == (
            "Watching a.\n\nThe subscription's tool_call_id is call_1.",
            True,
        )
        await hook(runtime, server, "d1")
        await hook(runtime, server, "d2", repo="b")
        await hook(runtime, server, "d3")
        assert await runtime.called_back(3)
    for callback in runtime.callbacks:
        read_callback(json.dumps(callback).encode(), 1 << 20)
    assert runtime.callbacks[1:] == [
        {
            "type": "subscription_event",
            "group_id": "thread_1",
            "tool_call_id": "call_1",
            "text": f"built {id}",
            "associative": False,
            "final": False,
            "event_id": id,
            "seq": seq,
        }
        for seq, id in [(1, "d1"), (2, "d3")]
    ]


@pytest.mark.rap("SRV-4")
async def test_a_subscription_goes_on_after_a_restart(runtime: FakeRuntime, state: Path) -> None:
    async with served(watching(), state) as server:
        await runtime.invoke(server.base_url, "watch", arguments={"repo": "a"})
        await runtime.called_back()
    async with served(watching(), state) as server:
        await hook(runtime, server, "d1")
        assert (await runtime.called_back(2))["text"] == "built d1"


@pytest.mark.rap("SRV-4")
async def test_nothing_is_sent_after_the_final_event(runtime: FakeRuntime, state: Path) -> None:
    async with served(watching(), state) as server:
        await runtime.invoke(server.base_url, "watch", arguments={"repo": "a"})
        await runtime.called_back()
        await hook(runtime, server, "last", final=True)
        await hook(runtime, server, "late")
        await runtime.invoke(server.base_url, "watch", "call_2", arguments={"repo": "b"})
        await runtime.until(lambda: any(each.get("id") == "call_2" for each in runtime.callbacks))
    events = [each["event_id"] for each in runtime.callbacks if each["type"] == "subscription_event"]
    assert events == ["last"]


@pytest.mark.rap("SRV-4", "SRV-5")
@pytest.mark.trap("S6")
@pytest.mark.parametrize("path", ["/cancel_tool_call", "/close_thread"])
async def test_nothing_is_sent_after_a_cancellation_or_a_close(
    runtime: FakeRuntime, state: Path, path: str
) -> None:
    async with served(watching(), state) as server:
        await runtime.invoke(server.base_url, "watch", arguments={"repo": "a"})
        await runtime.called_back()
        body = {"thread_id": "thread_1", "tool_call_id": "call_1"}
        assert await runtime.post(server.base_url + path, body) == 200
        await hook(runtime, server, "late")
        await runtime.invoke(server.base_url, "watch", "call_2", group_id="thread_2", arguments={"repo": "b"})
        assert (await runtime.called_back(2))["id"] == "call_2"


@pytest.mark.rap("SRV-4")
async def test_events_that_wait_for_the_runtime_are_dropped_by_a_cancellation(
    runtime: FakeRuntime, state: Path
) -> None:
    async with served(watching(), state) as server:
        await runtime.invoke(server.base_url, "watch", arguments={"repo": "a"})
        await runtime.called_back()
        runtime.answers = [503] * 1000
        await hook(runtime, server, "d1")
        await runtime.called_back(2)
        body = {"thread_id": "thread_1", "tool_call_id": "call_1"}
        assert await runtime.post(f"{server.base_url}/cancel_tool_call", body) == 200
        runtime.answers = []
        sent = len(runtime.callbacks)
        await runtime.invoke(server.base_url, "watch", "call_2", arguments={"repo": "b"})
        await runtime.until(lambda: any(each.get("id") == "call_2" for each in runtime.callbacks))
        # One may have been under way when the notice came; it is the same event.
        assert len(runtime.callbacks) <= sent + 2


async def test_a_subscription_that_is_refused_is_none(runtime: FakeRuntime, state: Path) -> None:
    async with served(watching(), state) as server:
        await runtime.invoke(server.base_url, "watch", arguments={"repo": "unknown"})
        answer = await runtime.called_back()
    assert answer["text"] == "Error: no such repository"
    assert "subscription" not in answer


@pytest.mark.trap("R3")
async def test_a_webhook_that_is_delivered_twice_is_one_event(runtime: FakeRuntime, state: Path) -> None:
    async with served(watching(), state) as server:
        await runtime.invoke(server.base_url, "watch", arguments={"repo": "a"})
        await runtime.called_back()
        await hook(runtime, server, "d1")
        await hook(runtime, server, "d1")
        await hook(runtime, server, "d2")
        await runtime.called_back(3)
    assert [each["seq"] for each in runtime.callbacks[1:]] == [1, 2]


@pytest.mark.trap("S8")
async def test_a_webhook_answers_with_the_status_its_function_returns(
    runtime: FakeRuntime, state: Path
) -> None:
    async with served(watching(), state) as server:
        assert await runtime.post(f"{server.base_url}/hook", {}) == 401


@pytest.mark.rap("SRV-4")
@pytest.mark.parametrize("status", [403, 404, 409, 410])
async def test_a_subscription_whose_events_are_refused_ends(
    runtime: FakeRuntime, state: Path, status: int
) -> None:
    async with served(watching(), state) as server:
        await runtime.invoke(server.base_url, "watch", arguments={"repo": "a"})
        await runtime.called_back()
        runtime.answers = [status]
        await hook(runtime, server, "d1")
        await runtime.called_back(2)
        await runtime.invoke(server.base_url, "watch", "call_2", arguments={"repo": "b"})
        await runtime.called_back(3)
        await hook(runtime, server, "d2")
        await runtime.invoke(server.base_url, "watch", "call_3", arguments={"repo": "b"})
        assert (await runtime.called_back(4))["id"] == "call_3"


async def test_a_generator_is_a_subscription_that_ends_with_it(runtime: FakeRuntime, state: Path) -> None:
    tools = Toolset("ticks")

    @tools.subscription
    async def tick(count: int) -> AsyncIterator[str | Event]:
        """Ticks."""
        for number in range(count):
            yield f"tick {number}"

    async with served(tools, state) as server:
        await runtime.invoke(server.base_url, "tick", arguments={"count": 2})
        await runtime.called_back(4)
    assert runtime.callbacks[0]["subscription"] is True
    assert [(each["text"], each["final"]) for each in runtime.callbacks[1:]] == [
        ("tick 0", False),
        ("tick 1", False),
        ("The subscription has ended.", True),
    ]


@pytest.mark.rap("SRV-2")
async def test_a_generator_that_breaks_says_so_in_its_final_event(runtime: FakeRuntime, state: Path) -> None:
    tools = Toolset("ticks")

    @tools.subscription
    async def tick() -> AsyncIterator[str]:
        """Ticks."""
        yield "tick"
        raise OSError("the sensor is gone")

    async with served(tools, state) as server:
        await runtime.invoke(server.base_url, "tick")
        last = await runtime.called_back(3)
    assert last["final"] is True
    assert last["text"] == "Error: tick failed: OSError: the sensor is gone"


@pytest.mark.rap("SRV-4")
async def test_a_generator_runs_again_after_a_restart_and_knows_it(runtime: FakeRuntime, state: Path) -> None:
    tools = Toolset("ticks")

    @tools.subscription
    async def tick(subscription: Subscription) -> AsyncIterator[str]:
        """Ticks."""
        yield f"resumed: {subscription.resumed}"
        await asyncio.Event().wait()

    async with served(tools, state) as server:
        await runtime.invoke(server.base_url, "tick")
        await runtime.called_back(2)
    async with served(tools, state):
        await runtime.called_back(3)
    assert [each["text"] for each in runtime.callbacks[1:]] == ["resumed: False", "resumed: True"]
    assert [each["seq"] for each in runtime.callbacks[1:]] == [1, 2]
