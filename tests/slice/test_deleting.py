"""Deleting a conversation while it is at work: it ends at once, its servers are told, nothing comes back, whatever fails in between."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from tests.patience import PATIENCE
from tests.slice.scenes import Streaming, World
from tests.slice.test_subscriptions import subscribed

from infinity._core import Message
from infinity.abc import Expect, Status
from infinity.engine import deletions
from infinity.errors import BadRequest, StoreError, ThreadDeleted, UnknownThread
from infinity.stores.sqlite.store import JournalStore
from infinity.testing.replies import call, say
from infinity.testing.tool_server import ToolServer, tool

pytestmark = pytest.mark.trap("G7")

SECRET = "the word that nobody may find"


def remains(world: World) -> int:
    """How often the word is in the journal's files."""
    files = [file for file in world.path.parent.glob(f"{world.path.name}*") if file.is_file()]
    return sum(file.read_bytes().count(SECRET.encode()) for file in files)


@pytest.mark.rap("CAN-1", "THR-2")
async def test_a_conversation_that_is_at_work_is_gone_and_its_servers_were_told(
    tooled: World, server: ToolServer
) -> None:
    thread, subscription = await subscribed(tooled, server)
    other = await tooled.thread()
    slow = Streaming("looking", say("never said"))
    tooled.model.when("created for the event", slow)
    await server.event(subscription, text=SECRET)
    await slow.started.wait()
    (child,) = [row.id for row in await tooled.store.threads(parent=thread)]
    tooled.model.when(SECRET, call(("a", {"word": SECRET})))
    await tooled.runtime.send(thread, f"look for {SECRET}")
    invocation = await server.invoked(2)
    asking = asyncio.create_task(tooled.runtime.ask(thread, "are you there?"))
    tooled.model.then(say("yes"))
    watching = [asyncio.create_task(_drain(tooled, id)) for id in (thread, child)]
    assert remains(tooled) > 3 or not isinstance(tooled.store, JournalStore)

    stone = await tooled.runtime.delete(thread)

    assert (stone.id, stone.root, stone.at) == (thread, thread, tooled.clock.now())
    assert remains(tooled) == 0
    await asyncio.wait_for(asyncio.gather(*watching), PATIENCE)
    with pytest.raises(ThreadDeleted):
        await asyncio.wait_for(asking, PATIENCE)
    told = {(path, body["thread_id"], body.get("tool_call_id")) for path, body in server.notices}
    assert told >= {
        ("/cancel_tool_call", thread, subscription),
        ("/cancel_tool_call", thread, invocation.id),
        ("/close_thread", thread, None),
        ("/close_thread", child, None),
    }
    assert [row.id for row in await tooled.store.threads()] == [other]
    asked = len(tooled.model.requests)
    for id in (thread, child):
        assert not tooled.runtime.busy(id) and not tooled.mailbox.queued(id)
        for refused in (tooled.runtime.send(id, "again"), tooled.runtime.create(id=id)):
            with pytest.raises(ThreadDeleted, match=id):
                await refused
    before = stone.discarded
    assert await server.answer(invocation.id, text="late") == 410
    assert await server.event(subscription, text="late") == 410
    late = await tooled.store.tombstone(thread)
    assert late is not None and late.discarded == before + 3, "what came late is not on record"
    with pytest.raises(ThreadDeleted):
        await tooled.runtime.delete(thread)
    slow.go_on.set()
    await tooled.restart()
    assert (await tooled.store.deletions(), remains(tooled)) == ([], 0)
    assert len(tooled.model.requests) == asked, "something was bought for it"


async def _drain(world: World, thread: str) -> None:
    async for _ in world.runtime.watch(thread):
        pass


async def test_what_is_in_a_mailbox_of_a_deleted_thread_is_dropped_and_does_not_come_again(
    world: World,
) -> None:
    thread = await world.thread()
    await world.runtime.delete(thread)
    world.mailbox.put([Message(thread, "stale", "user", b"{}", seq=99, accepted_at=1)])
    world.model.then(say("others go on"))
    other = await world.thread("hello")
    await world.said(other, "others go on")
    await world.until(lambda: not world.mailbox.queued(thread) and thread not in world.runtime.running)
    assert world.runtime.failing(thread) is None and not world.clock.sleeping()


async def test_what_is_no_conversation_is_refused_in_words(world: World) -> None:
    with pytest.raises(UnknownThread) as unknown:
        await world.runtime.delete("nobody")
    assert not isinstance(unknown.value, ThreadDeleted)
    world.model.then(call(("spawn_thread", {"instructions": "work"})), say("started")).when(
        "You are now in the child", say("working")
    )
    root = await world.thread("spawn one")
    child = (await world.noted(root, "child"))["id"]
    with pytest.raises(BadRequest, match=f"delete {root}"):
        await world.runtime.delete(child)
    await world.runtime.delete(root)


async def test_two_who_delete_at_once_delete_once_and_both_hear_when_it_is_done(world: World) -> None:
    thread = await world.thread()
    first, second = await asyncio.gather(world.runtime.delete(thread), world.runtime.delete(thread))
    assert first == second and await world.store.deletions() == []


@pytest.mark.trap("L26")
async def test_a_deletion_goes_on_when_its_caller_leaves(world: World) -> None:
    thread = await world.thread()
    leaving = asyncio.create_task(world.runtime.delete(thread))
    await asyncio.sleep(0)
    leaving.cancel()
    await world.until(lambda: leaving.done())

    async def over() -> bool:
        return await world.store.tombstone(thread) is not None and not await world.store.deletions()

    await world.until(over)


@pytest.mark.trap("L15")
async def test_a_deletion_that_was_marked_goes_on_at_the_next_start(
    tooled: World, server: ToolServer
) -> None:
    thread, subscription = await subscribed(tooled, server)
    await tooled.store.mark_deleted(thread, tooled.clock.now())
    await tooled.restart()

    async def over() -> bool:
        return not await tooled.store.deletions()

    await tooled.until(over)
    assert ("/cancel_tool_call", {"thread_id": thread, "tool_call_id": subscription}) in server.notices
    counts = await tooled.store.counts()
    assert (counts["threads"], counts["entries"]) == (0, 0)


async def test_a_failure_is_told_and_the_deletion_is_tried_again_by_itself(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = await world.thread()
    compact, tried = world.store.compact, []

    async def full() -> None:
        tried.append(None)
        if len(tried) <= 2:
            raise StoreError("no space left")
        await compact()

    monkeypatch.setattr(world.store, "compact", full)
    with pytest.raises(StoreError, match=rf"{thread} is deleted and cannot be reached.*no space left"):
        await world.runtime.delete(thread)
    with pytest.raises(ThreadDeleted):
        await world.runtime.send(thread, "still there?")
    for count in (2, 3):
        await world.until(lambda: world.clock.sleeping() == 1)
        world.clock.advance(deletions.BACKOFF.longest)
        await world.until(lambda count=count: len(tried) == count)
    await world.until(lambda: not world.runtime.deletions._at_work)
    assert await world.store.deletions() == [] and not world.clock.sleeping()
    with pytest.raises(ThreadDeleted):
        await world.runtime.delete(thread)


@pytest.mark.trap("B1", "B2")
async def test_a_server_that_hangs_does_not_keep_what_is_to_go(
    open_world: Callable[..., World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletions, "TELL_SECONDS", 0.05)
    hanging, heard = asyncio.Event(), asyncio.Event()

    class Hanging(ToolServer):
        async def _notice(self, request: web.Request) -> web.Response:
            heard.set()
            await hanging.wait()
            return await super()._notice(request)

    async with Hanging([tool("a")]) as server:
        world = await open_world(servers=[server]).start()
        thread = await world.thread()
        await asyncio.wait_for(world.runtime.delete(thread), PATIENCE)
        assert heard.is_set() and await world.store.deletions() == []
        await world.close()
        hanging.set()


async def test_a_late_result_of_a_function_is_dropped(open_world: Callable[..., World]) -> None:
    from infinity import tool as function

    began, go_on = asyncio.Event(), asyncio.Event()

    @function
    async def work() -> str:
        """Work."""
        began.set()
        await go_on.wait()
        return "done"

    world = open_world()
    world.agent = replace(world.agent, tools=[work])
    await world.start()
    world.model.then(call(("work", {})))
    thread = await world.thread("work")
    await asyncio.wait_for(began.wait(), PATIENCE)
    await world.runtime.delete(thread)
    go_on.set()
    assert await world.runtime.accept(
        Message(thread, "late", "result", b"{}", accepted_at=1), Expect.ANY, "late"
    ) == (Status.DELETED, None)
    await world.close()


@pytest.mark.trap("L16")
async def test_a_conversation_that_is_damaged_can_be_deleted(tooled: World, server: ToolServer) -> None:
    thread, subscription = await subscribed(tooled, server)
    await tooled.stop()
    # Closed before the core opens the file: closing it later would take the core's locks away.
    with closing(sqlite3.connect(tooled.path)) as file, file:
        file.execute("UPDATE calls SET record = x'0102'")
        file.execute("UPDATE threads SET header = x'0102'")
        file.execute("UPDATE entries SET record = x'0102'")
        file.execute("UPDATE feed SET crc = 0")
    file.close()
    await tooled.start()
    await tooled.runtime.delete(thread)
    assert ("/cancel_tool_call", {"thread_id": thread, "tool_call_id": subscription}) in server.notices
    assert await tooled.store.deletions() == [] and (await tooled.store.counts())["threads"] == 0


async def test_who_joins_a_deletion_of_many_waits_for_the_last_step(world: World) -> None:
    thread = await world.thread()
    of_many = asyncio.create_task(world.runtime.deletions.remove(thread, compact=False))
    await asyncio.sleep(0)
    await world.runtime.delete(thread)
    assert await world.store.deletions() == [], "something of it may still be in the file"
    await of_many
