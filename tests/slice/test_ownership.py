"""A process that does not know whether it owns its store begins nothing; one that knows that it does not ends everything (R12)."""

from __future__ import annotations

import pytest
from tests.slice.scenes import Streaming, World

from infinity.testing.replies import call, say
from infinity.testing.tool_server import ToolServer


async def a_while(world: World) -> None:
    """More looks at the store, one after the other, than it takes from a message to its request, or from a commit to its delivery."""
    for _ in range(100):
        await world.store.thread("nobody")


@pytest.mark.trap("R12")
async def test_in_doubt_no_slice_begins_and_no_delivery_leaves(tooled: World, server: ToolServer) -> None:
    streaming = Streaming("thinking", call(("a", {})))
    tooled.model.then(streaming, say("two"), say("three"))
    busy, idle = await tooled.thread("use the tool"), await tooled.runtime.create()
    await streaming.started.wait()
    tooled.runtime.hold()
    streaming.go_on.set()
    await tooled.noted(busy, "call")  # what ran goes on to its commit, which the store takes or refuses
    await tooled.runtime.send(idle, "hello")
    await tooled.until(lambda: idle in tooled.runtime.running)
    await a_while(tooled)
    assert len(tooled.model.requests) == 1 and server.invocations == []
    tooled.runtime.go_on()
    await tooled.said(idle, "two")
    await server.answer((await server.invoked()).id, "done")
    await tooled.said(busy, "three")


@pytest.mark.trap("R12")
async def test_what_is_lost_is_ended_at_once(tooled: World, server: ToolServer) -> None:
    first, second = Streaming("thinking", call(("a", {}))), Streaming("thinking", call(("b", {})))
    tooled.model.when("one", first).when("two", second)
    calling, thinking = await tooled.thread("one"), await tooled.thread("two")
    await first.started.wait()
    await second.started.wait()
    tooled.runtime.hold()
    first.go_on.set()
    await tooled.noted(calling, "call")
    tooled.runtime.halt()
    tooled.runtime.go_on()
    second.go_on.set()
    await tooled.until(lambda: not tooled.runtime.running)
    await a_while(tooled)
    assert server.invocations == [] and len(tooled.runtime.outbox) == 0
    assert await tooled.kinds(thinking) == ["user"], "its turn was not committed"
    assert [row.call_id for row in await tooled.store.outbox()] == [
        (await tooled.store.calls(calling))[0][0].id
    ]
