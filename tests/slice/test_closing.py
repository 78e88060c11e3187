"""Closing: a thread with more children than one page of a listing, and a thread that is the summariser of another."""

from __future__ import annotations

from typing import Any

import pytest
from tests.slice.scenes import Streaming, World
from tests.slice.test_compaction import ASKED, talk
from tests.slice.test_subscriptions import subscribed

from infinity.message import Action
from infinity.testing.replies import say
from infinity.testing.tool_server import ToolServer

PAGE = 100
"""Threads that a store lists at once."""


@pytest.mark.rap("THR-2")
@pytest.mark.trap("B2")
async def test_closing_a_parent_closes_all_of_its_children_however_many(
    tooled: World, server: ToolServer
) -> None:
    thread, call_id = await subscribed(tooled, server)
    count = PAGE + 30
    tooled.model.then(*(say("seen") for _ in range(count)))
    for number in range(count):
        assert await server.event(call_id, text=f"event {number}") == 200
    await tooled.until(lambda: len(tooled.model.requests) == 2 + count)
    await tooled.until(lambda: not tooled.runtime.running)
    await tooled.runtime.control(thread, Action.CLOSE)

    async def all_closed() -> bool:
        rows = await tooled.store.threads(parent=thread, limit=1000)
        return len(rows) == count and all(row.status == "closed" for row in rows)

    await tooled.until(all_closed)
    await server.until(lambda: len(server.notices) >= count + 2, "notices of all threads")
    told = [body["thread_id"] for path, body in server.notices if path == "/close_thread"]
    assert len(told) == len(set(told)) == count + 1, "each once"


@pytest.mark.trap("B9")
async def test_a_summariser_that_is_closed_has_failed_and_another_one_may_start(world: World) -> None:
    thread = await world.thread()
    await talk(world, thread, 6)
    slow = Streaming("the sum", say("never finished"))
    world.model.when(ASKED, slow)
    await world.runtime.control(thread, Action.COMPACT)
    await slow.started.wait()
    (summariser,) = await world.store.threads(parent=thread)
    await world.runtime.control(summariser.id, Action.CLOSE)
    await world.noted(thread, "compaction", state="failed")
    await world.noted(summariser.id, "status", status="closed")
    assert [reason.kind for reason in (await world.runtime.explain(thread)).reasons] == []
    world.model.when("go on", say("nothing was replaced"))
    await world.runtime.send(thread, "go on")
    await world.said(thread, "nothing was replaced")
    assert "question 0." in str(world.model.requests[-1])
    world.model.when(ASKED, say("the second try"))
    await world.runtime.control(thread, Action.COMPACT)
    await world.noted(thread, "compaction", state="applied")


@pytest.mark.rap("SUB-8")
async def test_a_closed_thread_is_not_woken_by_its_children(tooled: World, server: ToolServer) -> None:
    thread, call_id = await subscribed(tooled, server)
    slow = Streaming("looking", say("done"))
    tooled.model.when("created for the event", slow)
    await server.event(call_id, text="push")
    await slow.started.wait()
    await tooled.runtime.control(thread, Action.CLOSE)
    await tooled.noted(thread, "status", status="closed")
    slow.go_on.set()
    (child,) = await tooled.store.threads(parent=thread)
    await tooled.noted(child.id, "status", status="closed")
    await tooled.settled(thread)
    requests: list[dict[str, Any]] = tooled.model.requests
    assert len(requests) == 3
