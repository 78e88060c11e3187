"""Lists of what will happen by itself, and of what came to nothing, over all threads."""

from __future__ import annotations

from typing import Any

import pytest
from tests.asking import asked
from tests.slice.scenes import World

from infinity.api.errors import Refused
from infinity.api.waits import list_discards, list_outbox, list_timers, retry_delivery
from infinity.errors import BadRequest
from infinity.message import Action
from infinity.testing.replies import call, say
from infinity.testing.tool_server import ToolServer, failing


async def test_timers_are_listed_by_when_they_are_due(world: World) -> None:
    threads = []
    for seconds in (300, 60):
        world.model.then(call(("sleep", {"seconds": seconds})))
        threads.append(await world.thread("go"))
        await world.noted(threads[-1], "slice")
        await world.settled(threads[-1])
    _, first = await asked(world.runtime, list_timers, {"limit": "1"})
    _, second = await asked(world.runtime, list_timers, {"limit": "1", "after": first["next"]})
    found = [*first["timers"], *second["timers"]]
    assert [(each["thread"], each["purpose"]) for each in found] == [
        (threads[1], "sleep"),
        (threads[0], "sleep"),
    ]
    assert found[0]["due_at"] < found[1]["due_at"]
    _, end = await asked(world.runtime, list_timers, {"limit": "1", "after": second["next"]})
    assert end == {"timers": [], "next": None}


async def test_a_delivery_that_rests_is_listed_and_tried_at_once_when_a_person_wants_it(
    tooled: World, server: ToolServer
) -> None:
    server.behaviours["a"] = failing(503)
    tooled.model.then(call(("a", {})), say("done"), say("x"))
    thread = await tooled.thread("go")
    await server.invoked()

    async def rests() -> list[dict[str, Any]]:
        _, found = await asked(tooled.runtime, list_outbox)
        return [each for each in found["deliveries"] if each["attempts"] == 1 and tooled.clock.sleeping()]

    await tooled.until(rests)
    [one] = await rests()
    assert (one["kind"], one["thread"], one["next_at"] > tooled.clock.now()) == ("invoke", thread, True)
    assert "HTTP 503" in one["trouble"] and one["key"] == f"invoke.{one['call_id']}"
    assert one["target"].startswith(server.base_url)
    del server.behaviours["a"]
    status, answer = await asked(tooled.runtime, retry_delivery, body={}, key=one["key"])
    assert (status, answer) == (200, {"status": "now", "key": one["key"]})
    invocation = await server.invoked(2)
    await server.answer(invocation.id, text="fine")
    await tooled.said(thread, "done")
    await tooled.settled(thread)
    with pytest.raises(Refused, match="no delivery"):
        await asked(tooled.runtime, retry_delivery, body={}, key=one["key"])


async def test_what_came_to_nothing_is_listed_the_newest_first(world: World) -> None:
    world.model.then(say("one"))
    thread = await world.thread("go")
    await world.settled(thread)
    await world.runtime.control(thread, Action.CLOSE)
    await world.noted(thread, "status", status="closed")
    await world.settled(thread)
    for text in ("first", "second"):
        await world.runtime.control(thread, Action.STOP, key=text)
    _, newest = await asked(world.runtime, list_discards, {"limit": "1"})
    _, older = await asked(world.runtime, list_discards, {"after": newest["next"]})
    found = [*newest["discards"], *older["discards"]]
    assert [(each["thread"], each["message"]) for each in found] == [
        (thread, "control.stop.second"),
        (thread, "control.stop.first"),
    ]
    assert all(each["reason"] and each["at"] for each in found) and older["next"] is None


@pytest.mark.parametrize("after", ["x", "1 2", "12:", "-1:thread_a:x", "12:a b:x"])
async def test_a_place_in_a_list_that_is_none_is_refused(world: World, after: str) -> None:
    with pytest.raises(BadRequest):
        await asked(world.runtime, list_timers, {"after": after})
    with pytest.raises(BadRequest):
        await asked(world.runtime, list_discards, {"after": after})
