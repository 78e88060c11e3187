"""An examination finds everything that somebody may have to do something about, and says what it looked at (I14)."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import pytest
from tests.asking import asked
from tests.slice.scenes import World

from infinity.api.entries import list_entries
from infinity.api.examination import PAGE, examine
from infinity.api.prompts import list_prompts
from infinity.api.subscriptions import list_subscriptions
from infinity.api.threads import list_threads
from infinity.errors import ModelRefused, StoreError
from infinity.stores.sqlite.store import JournalStore
from infinity.testing.replies import call, say
from infinity.testing.tool_server import ToolServer, tool


async def _examined(world: World, *toolsets: str | None) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(await examine(world.runtime, world.store, toolsets, []))
    return found


async def _damage(world: World) -> list[str]:
    """What a daemon asks its store for beside the examination of threads; nothing else reads those that are idle."""
    assert isinstance(world.store, JournalStore)
    return (await world.store.examine())[0]


async def test_an_old_thread_with_a_problem_is_found_among_many(world: World) -> None:
    world.model.then(ModelRefused("never"))
    bad = await world.thread("go")
    await world.noted(bad, "problem")
    await world.settled(bad)
    for _ in range(PAGE + 1):
        await world.runtime.create()
    found = await _examined(world)
    assert [problem["thread"] for problem in found["problems"]] == [bad]
    assert [(needed["thread"], needed["reason"]) for needed in found["attention"]] == [(bad, "problem")]
    assert found["looked_at"]["threads"] == PAGE + 2


async def test_threads_without_a_problem_are_counted_and_not_read(world: World, monkeypatch: Any) -> None:
    world.model.then(ModelRefused("never"))
    bad = await world.thread("go")
    await world.noted(bad, "problem")
    await world.settled(bad)
    for _ in range(50):
        await world.runtime.create()
    read: list[str] = []
    listing = world.store.threads

    async def counted(**filters: Any) -> Any:
        rows = await listing(**filters)
        read.extend(row.id for row in rows)
        return rows

    monkeypatch.setattr(world.store, "threads", counted)
    found = await _examined(world)
    assert read == [bad] and [problem["thread"] for problem in found["problems"]] == [bad]
    assert found["looked_at"]["threads"] == 51


@pytest.mark.trap("L16")
async def test_a_thread_that_waits_and_whose_record_is_damaged_is_named_once(
    tooled: World, server: ToolServer
) -> None:
    tooled.model.then(call(("a", {})))
    bad = await tooled.thread("go")
    await server.invoked(1)
    _edit(tooled, "update threads set header = x'00', troubled = 1 where id = ?", bad)
    found = await _examined(tooled)
    assert [(problem["thread"], problem["kind"]) for problem in found["problems"]] == [(bad, "damaged")]


async def test_nothing_is_found_where_nothing_is_wrong(world: World) -> None:
    world.model.then(say("fine"))
    await world.said(await world.thread("go"), "fine")
    found = await _examined(world)
    assert (found["problems"], found["start"], found["calls"]) == ([], [], [])


async def test_a_damaged_header_is_a_row_of_its_own_and_is_named(world: World) -> None:
    good, bad = await world.thread(), await world.thread()
    middle = "length(header) / 2"
    other = f"substr(header, 1, {middle}) || x'ff00ff' || substr(header, {middle} + 4)"
    _edit(world, f"update threads set header = cast({other} as blob) where id = ?", bad)
    listed = (await asked(world.runtime, list_threads))[1]["threads"]
    assert {row["id"]: row["status"] for row in listed} == {good: "idle", bad: "damaged"}
    assert [text for text in await _damage(world) if bad in text]


_EDIT = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as file:
    assert file.execute(sys.argv[2], sys.argv[3:]).rowcount == 1
"""


def _edit(world: World, sql: str, *values: str) -> None:
    """In another process: two SQLites in one take each other's locks away."""
    subprocess.run([sys.executable, "-c", _EDIT, world.path, sql, *values], check=True)


async def _entries(world: World, thread: str, **query: str) -> tuple[int, dict[str, Any]]:
    return await asked(world.runtime, list_entries, query, id=thread)


_OF_THREAD = "thread = (select key from threads where id = ?)"
_PLACE = "(select key << 32 from threads where id = ?)"


@pytest.mark.trap("L16")
async def test_entries_that_are_damaged_or_missing_are_named_beside_the_intact_ones(world: World) -> None:
    world.model.then(say("one"), say("two"), say("three"))
    thread = await world.thread("first")
    await world.said(thread, "one")
    for text, reply in (("second", "two"), ("third", "three")):
        await world.runtime.send(thread, text)
        await world.said(thread, reply)
    status, whole = await _entries(world, thread)
    assert status == 200 and len(whole["entries"]) == 7 and "damaged" not in whole
    _edit(world, f"update entries set record = x'00' where place = {_PLACE} + 1", thread)
    for lost in (3, 6):
        _edit(world, f"delete from entries where place = {_PLACE} + {lost}", thread)
    status, found = await _entries(world, thread)
    assert (status, found["error"]["code"], found["next"]) == (503, "damaged", None)
    assert [entry["position"] for entry in found["entries"]] == [0, 2, 4, 5]
    assert found["entries"] == [entry for entry in whole["entries"] if entry["position"] in (0, 2, 4, 5)]
    assert [each["position"] for each in found["damaged"]] == [1, 3, 6]
    assert "(1, 3, 6)" in found["error"]["message"] and "infinity doctor" in found["error"]["message"]
    status, page = await _entries(world, thread, limit="1")
    assert (status, page["next"], len(page["entries"])) == (200, 0, 1), "this page is whole"
    status, page = await _entries(world, thread, after="0", limit="2")
    assert (status, page["next"]) == (503, 2)
    assert [each["position"] for each in page["damaged"]] == [1]
    status, page = await _entries(world, thread, after="3", limit="1")
    assert (status, page["next"]) == (200, 4)


@pytest.mark.trap("L16")
async def test_entries_of_a_thread_whose_record_is_damaged_are_listed_and_that_is_said(world: World) -> None:
    world.model.then(say("one"))
    thread = await world.thread("first")
    await world.said(thread, "one")
    _edit(world, "update threads set header = x'00' where id = ?", thread)
    status, found = await _entries(world, thread)
    assert status == 503 and len(found["entries"]) == 3
    assert f"the record of thread {thread} is damaged" in found["error"]["message"]


@pytest.mark.trap("L16")
async def test_subscriptions_that_cannot_be_read_are_named_beside_the_others(
    tooled: World, server: ToolServer
) -> None:
    threads = []
    for number in range(1, 4):
        tooled.model.then(call(("watch", {})), say("watching"))
        threads.append(await tooled.thread("watch it"))
        invocation = await server.invoked(number)
        await server.answer(invocation.id, text="ok", subscription=True)
        await tooled.said(threads[-1], "watching")
    whole, undated, lost = threads
    made = (await tooled.store.calls(undated))[0][0].position
    _edit(tooled, f"update entries set record = x'00' where place = {_PLACE} + {made}", undated)
    _edit(tooled, f"update calls set record = x'00' where {_OF_THREAD}", lost)
    status, found = await asked(tooled.runtime, list_subscriptions)
    assert status == 200
    since = {each["thread"]: each["since"] for each in found["subscriptions"]}
    assert set(since) == {whole, undated} and since[whole] and since[undated] is None
    assert [(each["thread"], each["kind"]) for each in found["damaged"]] == [(lost, "damaged")]
    explained = await tooled.runtime.explain(undated)
    assert [reason.kind for reason in explained.reasons] == ["subscription"]


@pytest.mark.trap("L16")
async def test_a_row_that_cannot_be_read_does_not_hide_the_others(world: World) -> None:
    good, bad = await world.thread(), await world.thread()
    _edit(world, "update threads set title = cast(x'ff' as text) where id = ?", bad)
    listed = (await asked(world.runtime, list_threads))[1]["threads"]
    assert {row["id"]: row["status"] for row in listed} == {good: "idle", bad: "damaged"}
    _, filtered = await asked(world.runtime, list_threads, {"status": "idle"})
    assert [row["id"] for row in filtered["threads"]] == [good]
    assert await _damage(world)


async def test_a_disk_that_fails_for_a_moment_is_not_called_damage(world: World, monkeypatch: Any) -> None:
    world.model.then(say("one"))
    await world.said(await world.thread("first"), "one")

    async def failing(*_: Any) -> Any:
        raise StoreError("the disk did not answer")

    monkeypatch.setattr(world.store, "inbox", failing)
    with pytest.raises(StoreError, match="did not answer"):
        await _examined(world)


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
    found = await _examined(tooled, name)
    assert [each["thread"] for each in found["calls"]] == [older, newer] and found["problems"] == []
    found = await _examined(tooled, "another")
    assert {problem["thread"] for problem in found["problems"]} == {older, newer}
    assert all("not configured" in problem["text"] for problem in found["problems"])
    # A server that was never reached may be the one.
    assert (await _examined(tooled, None))["problems"] == []


@pytest.mark.trap("L16")
async def test_a_question_that_cannot_be_read_does_not_hide_the_others(open_world: Any) -> None:
    async with ToolServer([tool("drop", annotations={"destructive": True})]) as server:
        world: World = await open_world(servers=[server]).start()
        world.model.then(*[call(("drop", {}))] * 3)
        threads = []
        for text in ("first", "second", "third"):
            threads.append(await world.thread(text))
            await world.noted(threads[-1], "slice")
            await world.settled(threads[-1])
            world.clock.advance(1)
        first, bad, third = threads
        _edit(world, f"update prompts set body = x'00' where {_OF_THREAD}", bad)
        _edit(world, f"update calls set record = x'00' where {_OF_THREAD}", third)
        status, asking = await asked(world.runtime, list_prompts)
        assert status == 200 and [prompt["thread"] for prompt in asking["prompts"]] == [first, third]
        assert [(each["thread"], each["kind"]) for each in asking["damaged"]] == [(bad, "damaged")]
        for query in ({}, {"explain": "1"}):
            status, listed = await asked(world.runtime, list_threads, query)
            assert {row["id"]: row["prompts"] for row in listed["threads"]} == dict.fromkeys(threads, 1)
        await world.close()
