"""An examination finds everything that somebody may have to do something about, and says what it looked at (I14)."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec
from tests.slice.world import World, call, say

from infinity.answers import threads
from infinity.answers.examination import PAGE, examine
from infinity.errors import ModelRefused
from infinity.testing.tool_server import ToolServer


async def _examined(world: World, *servers: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode((await examine(world.runtime, world.store, servers, [])).body)
    return found


async def test_an_old_thread_with_a_problem_is_found_among_many(world: World) -> None:
    world.model.then(ModelRefused("never"))
    bad = await world.thread("go")
    await world.noted(bad, "problem")
    await world.settled(bad)
    for _ in range(PAGE + 1):
        await world.runtime.create()
    found = await _examined(world)
    assert [problem["thread"] for problem in found["problems"]] == [bad]
    assert found["looked_at"]["threads"] == PAGE + 2


async def test_nothing_is_found_where_nothing_is_wrong(world: World) -> None:
    world.model.then(say("fine"))
    await world.said(await world.thread("go"), "fine")
    found = await _examined(world)
    assert (found["problems"], found["start"], found["calls"]) == ([], [], [])


async def test_a_damaged_header_is_a_row_of_its_own_and_is_named(world: World) -> None:
    good, bad = await world.thread(), await world.thread()
    file = sqlite3.connect(world.path)
    (header,) = file.execute("select header from threads where id = ?", (bad,)).fetchone()
    damaged = bytearray(header)
    damaged[len(damaged) // 2] ^= 0xFF
    with file:
        file.execute("update threads set header = ? where id = ?", (bytes(damaged), bad))
    file.close()
    listed = msgspec.json.decode((await threads.listing(world.runtime, world.store, {})).body)["threads"]
    assert {row["id"]: row["status"] for row in listed} == {good: "idle", bad: "damaged"}
    found = await _examined(world)
    assert [(problem["thread"], problem["kind"]) for problem in found["problems"]] == [(bad, "damaged")]


async def test_calls_of_a_server_that_is_not_configured_and_the_oldest_are_named(
    tooled: World, server: ToolServer
) -> None:
    tooled.model.then(call(("a", {})), call(("a", {})))
    older = await tooled.thread("go")
    await server.invoked(1)
    tooled.clock.advance(5)
    newer = await tooled.thread("go")
    await server.invoked(2)
    name = (await tooled.store.calls(older))[0][0].toolset
    found = await _examined(tooled, {"toolset": name})
    assert [each["thread"] for each in found["calls"]] == [older, newer] and found["problems"] == []
    found = await _examined(tooled, {"toolset": "another"})
    assert {problem["thread"] for problem in found["problems"]} == {older, newer}
    assert all("not configured" in problem["text"] for problem in found["problems"])
    # A server that was never reached may be the one.
    assert (await _examined(tooled, {"toolset": None}))["problems"] == []
