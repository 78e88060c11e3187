"""What one commit has no room for goes on in another one, which is another invocation's here (B15)."""

from __future__ import annotations

import pytest
from tests.cloud.world import CloudWorld
from tests.slice.world import call, say

from infinity.engine import endings, work
from infinity.message import Action
from infinity.testing.tool_server import ToolServer


@pytest.mark.trap("B15")
@pytest.mark.parametrize("action", [Action.INTERRUPT, Action.CLOSE])
async def test_calls_are_cancelled_in_portions(
    tooled: CloudWorld, server: ToolServer, action: Action, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endings, "MOST_ROWS", 1)
    tooled.model.then(call(*[("a", {})] * 5))
    thread = await tooled.thread("go")
    await server.invoked(5)
    await tooled.settled(thread)
    before = len([row for row in await tooled.store.feed(thread) if row.kind == "slice"])
    await tooled.runtime.control(thread, action)
    await tooled.noted(thread, "status", status="interrupted" if action is Action.INTERRUPT else "closed")
    await tooled.settled(thread)
    assert await tooled.store.calls(thread) == []
    rows = await tooled.store.feed(thread)
    assert len([row for row in rows if row.kind == "slice"]) >= before + 3, "in portions"
    cancelled = [body["tool_call_id"] for path, body in server.notices if path == "/cancel_tool_call"]
    assert len(cancelled) == len(set(cancelled)) == 5
    assert len(tooled.model.requests) == 1


@pytest.mark.trap("B15")
async def test_a_batch_of_the_queue_goes_on_in_the_next_commit(
    world: CloudWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "FULL_ROWS", 1)
    world.model.then(*[say("read")] * 8)
    thread = await world.runtime.create()
    for n in range(8):
        await world.runtime.send(thread, f"message {n}")
    await world.settled(thread)
    said = [str(entry["user"]) for entry in await world.history(thread) if entry["kind"] == "user"]
    assert [n for n in range(8) if any(f"message {n}" in text for text in said)] == [*range(8)]
    assert "message 7" in str(world.model.requests[-1]["messages"][-1])
