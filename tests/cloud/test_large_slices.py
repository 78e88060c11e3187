"""What one commit has no room for goes on in another one, which is another invocation's here (B15)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.cloud.world import CloudWorld
from tests.contract.dsql_rules import BYTES, ROWS, Conflicts

from infinity import Agent
from infinity.cloud.store import CloudStore
from infinity.engine import endings
from infinity.engine.slice import state
from infinity.message import Action
from infinity.settings import Limits
from infinity.testing.replies import call, say
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
async def test_what_has_left_while_the_record_was_read_does_not_leave_again(
    tooled: CloudWorld, server: ToolServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An invocation that was woken reads what is unsent, beside the rows of its own commit that are leaving."""
    monkeypatch.setattr(endings, "MOST_ROWS", 1)
    read = CloudStore.unsent

    async def slowly(store: CloudStore, thread: str) -> Any:
        rows = await read(store, thread)
        outboxes = [host.runtime.outbox for host in tooled.deployment.agents if host.store is store]
        await tooled.until(lambda: not any(len(outbox) for outbox in outboxes))
        return rows

    monkeypatch.setattr(CloudStore, "unsent", slowly)
    tooled.model.then(call(*[("a", {})] * 5))
    thread = await tooled.thread("go")
    await server.invoked(5)
    await tooled.settled(thread)
    await tooled.runtime.control(thread, Action.CLOSE)
    await tooled.noted(thread, "status", status="closed")
    await tooled.settled(thread)
    cancelled = [body["tool_call_id"] for path, body in server.notices if path == "/cancel_tool_call"]
    assert len(cancelled) == len(set(cancelled)) == 5


@pytest.mark.trap("B15")
async def test_a_batch_of_the_queue_goes_on_in_the_next_commit(
    world: CloudWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "FULL_ROWS", 1)
    world.model.then(*[say("read")] * 8)
    thread = await world.runtime.create()
    for n in range(8):
        await world.runtime.send(thread, f"message {n}")
    await world.settled(thread)
    said = [str(entry["user"]) for entry in await world.history(thread) if entry["kind"] == "user"]
    assert [n for n in range(8) if any(f"message {n}" in text for text in said)] == [*range(8)]
    assert "message 7" in str(world.model.requests[-1]["messages"][-1])


PARTS = 64
"""Calls of one turn: as many as ``limits.calls_per_turn`` lets through."""
LARGE = 1_000_000


async def _children(world: CloudWorld, server: ToolServer) -> None:
    """One turn spawns as many as it may."""
    spawn = call(*[("spawn_thread", {"instructions": f"part {n}"}) for n in range(PARTS)])
    world.model.when("all of it", spawn).then(*[say("done")] * (3 * PARTS))
    thread = await world.thread("all of it")
    await world.noted(thread, "child")
    assert len(await world.store.threads(parent=thread, limit=100)) == PARTS


async def _closing(world: CloudWorld, server: ToolServer) -> None:
    """A thread with hundreds of open calls, those of all but the last turn detached, is closed."""
    thread = await world.runtime.create()
    turns = [PARTS] * 6 + [16]
    for number, calls in enumerate(turns, 1):
        world.model.then(call(*[("a", {"n": n}) for n in range(calls)]))
        await world.runtime.send(thread, f"turn {number}")
        await world.until(lambda number=number: len(server.invocations) >= sum(turns[:number]))
        await world.settled(thread)
    assert len(await world.store.calls(thread)) == 400
    assert world.conflicts is not None
    world.conflicts.rows = world.conflicts.bytes = 0
    await world.runtime.control(thread, Action.CLOSE)
    await world.noted(thread, "status", status="closed")
    await world.settled(thread)
    assert await world.store.calls(thread) == []


async def _results(world: CloudWorld, server: ToolServer) -> None:
    """Ten results, each nearly as large as a column, come in one batch."""
    world.model.then(call(*[("a", {})] * 10), *[say("noted")] * 10)
    thread = await world.thread("go")
    await server.invoked(10)
    await world.settled(thread)
    await world.deployment.pause()
    for invocation in server.invocations:
        assert await server.answer(invocation.id, text=invocation.id[-1] * LARGE) == 200
    world.deployment.resume()
    await world.said(thread, "noted")
    await world.settled(thread)


Work = Callable[[CloudWorld, ToolServer], Awaitable[None]]
_LARGEST: dict[str, tuple[Work, tuple[int, int]]] = {
    "64 children of one turn": (_children, (PARTS, 0)),
    "400 open calls closed": (_closing, (400, 0)),
    "ten large results": (_results, (10, LARGE)),
}
"""With the rows and bytes that are the least that such a transaction has."""


@pytest.mark.trap("B15")
@pytest.mark.parametrize("name", _LARGEST)
async def test_the_largest_slices_fit_into_one_transaction(
    name: str, open_world: Callable[..., CloudWorld], server: ToolServer
) -> None:
    """Counted at the database, which refuses what is larger: rows that are written, and bytes of their values."""
    work, (rows, size) = _LARGEST[name]
    limits = Limits(result_chars=1 << 20, message_bytes=2 << 20)
    how: dict[str, Any] = {"agent": Agent(limits=limits), "servers": [server]}
    world = open_world(conflicts=Conflicts(0), **how)
    await world.start()
    try:
        await work(world, server)
        assert world.conflicts is not None
        found = world.conflicts
        print(f"{name}: {found.rows:,} of {ROWS:,} rows, {found.bytes:,} of {BYTES:,} bytes")
        assert rows <= found.rows <= ROWS
        assert size <= found.bytes <= BYTES
    finally:
        await world.close()
