"""Subscriptions as a user sees and ends them; toolsets with what keeps their tools from being offered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.boundary.daemons import Running, running

from infinity.testing.tool_server import ToolServer, tool


@asynccontextmanager
async def watching(path: Path) -> AsyncIterator[tuple[Running, ToolServer]]:
    """A daemon with a tool server, whose tool ``watch`` subscribes."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ToolServer([tool("watch")]))
        config = f"[toolsets.ci]\nurl = '{server.base_url}'\n"
        yield await stack.enter_async_context(running(path / "home", config)), server


async def subscribed(daemon: Running, server: ToolServer, number: int) -> tuple[str, str]:
    """A thread that watches, and its subscription."""
    thread = await daemon.thread(f'/call watch {{"number": {number}}}')
    invocation = await server.invoked(number)
    assert invocation.group_id == thread
    assert await server.answer(invocation.id, "watching", subscription=True) == 200
    await daemon.until(thread, lambda event: event.kind == "subscription")
    return thread, invocation.id


async def listed(daemon: Running, **query: Any) -> list[dict[str, Any]]:
    answer = await daemon.get("/v1/subscriptions", params=query)
    assert answer.status == 200
    return list(answer.body["subscriptions"])


async def test_subscriptions_are_listed_with_what_subscribed_and_since_when(tmp_path: Path) -> None:
    async with watching(tmp_path) as (daemon, server):
        assert await listed(daemon) == []
        thread, call = await subscribed(daemon, server, 1)
        [found] = await listed(daemon)
        entries = (await daemon.get(f"/v1/threads/{thread}/entries")).body["entries"]
        turn = next(entry for entry in entries if entry["kind"] == "turn" and call in str(entry["assistant"]))
        assert found == {
            "thread": thread,
            "title": "",
            "status": "waiting",
            "tool": "watch",
            "toolset": "test-tools",
            "call_id": call,
            "arguments": {"number": 1},
            "since": turn["at"],
        }
        assert await listed(daemon, thread=thread) == await listed(daemon, call_id=call) == [found]
        assert (await daemon.get("/v1/subscriptions?thread=nobody")).status == 404


async def test_the_list_goes_on_where_its_cursor_says(tmp_path: Path) -> None:
    async with watching(tmp_path) as (daemon, server):
        made = {await subscribed(daemon, server, number + 1) for number in range(3)}
        await daemon.post(f"/v1/threads/{min(made)[0]}/stop")
        await daemon.until(min(made)[0], lambda event: event.data.get("status") == "stopped")
        seen, after = set(), ""
        while True:
            page = (await daemon.get("/v1/subscriptions", params={"limit": "1", "after": after})).body
            seen |= {(each["thread"], each["call_id"]) for each in page["subscriptions"]}
            if (after := page["next"]) is None:
                break
        assert seen == made
        assert (await daemon.get("/v1/subscriptions?after=nonsense")).status == 400


@pytest.mark.rap("SUB-7", "CAN-1")
async def test_a_user_ends_a_subscription_and_the_server_is_told(tmp_path: Path) -> None:
    async with watching(tmp_path) as (daemon, server):
        thread, call = await subscribed(daemon, server, 1)
        path = f"/v1/threads/{thread}/subscriptions/{call}"
        assert (await daemon.ask("DELETE", path)).body["status"] == "accepted"
        await daemon.until(
            thread, lambda event: event.kind == "subscription" and event.data["active"] is False
        )
        told = ("/cancel_tool_call", {"thread_id": thread, "tool_call_id": call})
        await server.until(lambda: told in server.notices, "notice of the cancellation")
        assert await listed(daemon) == []
        assert await server.event(call, "too late") == 409
        assert (await daemon.ask("DELETE", path)).status == 404


async def test_only_an_active_subscription_of_the_thread_can_be_ended(tmp_path: Path) -> None:
    async with watching(tmp_path) as (daemon, server):
        thread, call = await subscribed(daemon, server, 1)
        other = await daemon.thread()
        for path in (f"{other}/subscriptions/{call}", f"{thread}/subscriptions/call_nobody"):
            assert (await daemon.ask("DELETE", f"/v1/threads/{path}")).status == 404
        assert len(await listed(daemon)) == 1


@pytest.mark.rap("DISC-4")
async def test_name_clashes_and_bad_manifests_are_told_with_the_toolsets(tmp_path: Path) -> None:
    first = ToolServer([tool("build"), tool("lint"), tool("sleep")], name="one")
    second = ToolServer([tool("build")], name="two")
    broken = ToolServer(manifest={"name": "three"})
    async with first, second, broken:
        config = "".join(
            f"[toolsets.{name}]\nurl = '{server.base_url}'\n"
            for name, server in (("a", first), ("b", second), ("c", broken))
        )
        async with running(tmp_path / "home", config) as daemon:
            found = (await daemon.get("/v1/toolsets")).body
    offered = {
        (server["name"], each["name"]): each["offered"]
        for server in found["toolsets"]
        for each in server["tools"]
    }
    assert offered == {
        ("a", "build"): False,
        ("a", "lint"): True,
        ("a", "sleep"): False,
        ("b", "build"): False,
    }
    text = "\n".join(found["problems"])
    assert len(found["problems"]) == 4
    assert (
        "'build' is defined more than once (one, two)" in text
        and "'sleep' has the name of a built-in" in text
    )
    assert "tool server c: " in text and "is refused" in text
