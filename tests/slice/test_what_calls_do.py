"""What calls have been doing is told by the API: when they were planned, sent and ended, in how many tries, and where their results are."""

from __future__ import annotations

from typing import Any

import pytest
from tests.asking import asked
from tests.slice.scenes import World

from infinity.api.calls import get_call, list_calls
from infinity.api.errors import Refused
from infinity.errors import UnknownThread
from infinity.testing.replies import call, say
from infinity.testing.tool_server import ToolServer, failing


async def _calls(world: World, thread: str) -> list[dict[str, Any]]:
    _, found = await asked(world.runtime, list_calls, id=thread)
    assert found["next"] is None
    return list(found["calls"])


async def test_a_call_that_is_not_taken_says_why_and_when_it_is_tried_again(
    tooled: World, server: ToolServer
) -> None:
    server.behaviours["a"] = failing(503)
    tooled.model.then(call(("a", {"n": 1})), say("done"), say("x"))
    began = tooled.clock.now()
    thread = await tooled.thread("go")
    await server.invoked()

    async def tried() -> bool:
        return any(row.attempts == 1 for row in await tooled.store.outbox())

    await tooled.until(tried)
    [one] = await _calls(tooled, thread)
    assert (one["tool"], one["arguments"], one["state"], one["attempts"]) == ("a", {"n": 1}, "planned", 1)
    assert "HTTP 503" in one["trouble"] and one["next_at"] > began == one["planned_at"]
    assert (one["sent_at"], one["ended_at"], one["result"], one["child"]) == (None, None, None, None)
    del server.behaviours["a"]
    tooled.clock.advance((one["next_at"] - tooled.clock.now()) / 1000)
    invocation = await server.invoked()

    async def sent() -> bool:
        return (await _calls(tooled, thread))[0]["state"] == "sent"

    await tooled.until(sent)
    await server.answer(invocation.id, text="fine")
    await tooled.said(thread, "done")
    await tooled.settled(thread)
    _, ended = await asked(tooled.runtime, get_call, id=thread, call_id=one["id"])
    assert (ended["state"], ended["attempts"], ended["trouble"], ended["next_at"]) == (
        "answered",
        2,
        None,
        None,
    )
    assert ended["planned_at"] < ended["sent_at"] <= ended["ended_at"]
    history = await tooled.history(thread)
    results = [at for at, each in enumerate(history) if each["meta"].get("call_id") == one["id"]]
    assert [ended["result"]] == results


async def test_a_call_that_made_a_child_names_it(world: World) -> None:
    world.model.then(call(("spawn_thread", {"instructions": "look"})), say("one"), say("two"), say("three"))
    thread = await world.thread("go")
    child = (await world.noted(thread, "child"))["id"]
    await world.settled(thread)
    [one] = await _calls(world, thread)
    assert (one["child"], one["state"], one["attempts"], one["sent_at"]) == (child, "answered", 0, None)


async def test_calls_that_are_not_there_are_refused(world: World) -> None:
    world.model.then(say("one"))
    thread = await world.thread("go")
    await world.settled(thread)
    assert await _calls(world, thread) == []
    with pytest.raises(Refused, match="has no call call_1"):
        await asked(world.runtime, get_call, id=thread, call_id="call_1")
    with pytest.raises(UnknownThread):
        await asked(world.runtime, list_calls, id="thread_none")
