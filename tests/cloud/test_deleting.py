"""Deleting on the cloud host: what a conversation has in the database, the table, the bucket, the schedules goes; what still comes for it is dropped on record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.cloud.deployment import BUCKET, TABLE
from tests.cloud.test_queue import plain, put
from tests.cloud.test_timers import DAYS, schedules
from tests.cloud.world import CloudWorld

from infinity import Agent
from infinity.api.backend import Part
from infinity.api.requests import Request
from infinity.api.threads import delete_thread
from infinity.cloud import erasure
from infinity.cloud.backend import FunctionBackend
from infinity.errors import BadRequest, StoreError, ThreadDeleted, UnknownThread
from infinity.message import Action
from infinity.settings import Limits, Retention
from infinity.testing.replies import call, say
from infinity.testing.tool_server import ToolServer

pytestmark = pytest.mark.trap("G7")

WORD = "the word that nobody may find"
LARGE = Agent(limits=Limits(message_bytes=8 << 20))


async def delete(world: CloudWorld, thread: str) -> int:
    asked = Request("DELETE", f"/v1/threads/{thread}", parameters={"id": thread})
    return (await delete_thread(FunctionBackend(world.client, Part.API), asked)).status


async def removed(world: CloudWorld) -> None:
    async def over() -> bool:
        return not await world.store.deletions()

    await world.until(over)
    await world.until(world.deployment.idle)


def objects(world: CloudWorld, thread: str) -> list[str]:
    digest = hashlib.sha256(thread.encode()).hexdigest()[:32]
    return [key for key in world.deployment.aws.s3.objects(BUCKET) if f"/{digest}/" in key]


def items(world: CloudWorld, thread: str) -> list[Any]:
    table = world.deployment.aws.dynamodb.table(TABLE)
    return [key for key, _ in table.items() if f"thread#{thread}" in str(key)]


async def test_nothing_of_a_deleted_conversation_is_left_anywhere(
    open_world: Callable[..., CloudWorld], server: ToolServer
) -> None:
    world = open_world(servers=[server], agent=LARGE)
    await world.start()
    world.model.info = replace(world.model.info, context_window=10_000_000)
    kept = await world.thread()
    world.model.then(say("it stays"))
    await world.runtime.send(kept, WORD * 60_000)
    await world.said(kept, "it stays")
    world.model.then(call(("watch", {"word": WORD}), ("sleep", {"seconds": 3 * DAYS})))
    thread = await world.thread()
    await world.runtime.send(thread, WORD * 60_000)
    invocation = await server.invoked()
    assert await server.view(invocation.id, "diff", {"word": WORD}) == 200
    await world.settled(thread)
    assert len(schedules(world)) >= 1 and len(objects(world, thread)) >= 2 and len(items(world, thread)) >= 2
    stays = objects(world, kept), items(world, kept)

    assert await delete(world, thread) == 202
    await removed(world)

    assert schedules(world) == []
    assert (objects(world, thread), items(world, thread)) == ([], [])
    assert (objects(world, kept), items(world, kept)) == stays
    assert ("/cancel_tool_call", {"thread_id": thread, "tool_call_id": invocation.id}) in server.notices
    assert ("/close_thread", {"thread_id": thread}) in server.notices
    assert [row.id for row in await world.store.threads()] == [kept]
    with pytest.raises(ThreadDeleted):
        await delete(world, thread)
    await world.restart()
    world.model.then(say("still here"))
    await world.runtime.send(kept, "and you?")
    await world.said(kept, "still here")
    assert WORD in str(world.model.requests[-1]), "a body of another conversation is gone"
    await world.close()


async def test_what_is_on_its_way_to_a_deleted_conversation_is_dropped_on_record(world: CloudWorld) -> None:
    world.model.then(say("hello"))
    thread = await world.thread("hello")
    await world.said(thread, "hello")
    await delete(world, thread)
    await removed(world)
    before = await world.store.tombstone(thread)
    await put(world, thread, plain(thread, "written by hand"), "by-hand")
    for refused in (world.runtime.send(thread, "again"), world.runtime.create(id=thread)):
        with pytest.raises(ThreadDeleted):
            await refused
    await world.settled(thread)
    after = await world.store.tombstone(thread)
    assert before is not None and after is not None and after.discarded == before.discarded + 2
    assert len(world.model.requests) == 1
    assert not world.deployment.aws.sqs.queue(world.deployment.inbox).messages()


async def test_what_is_no_conversation_is_refused(world: CloudWorld) -> None:
    world.model.then(call(("spawn_thread", {"instructions": "work"})), say("started")).when(
        "You are now in the child", say("working")
    )
    root = await world.thread("spawn one")
    child = (await world.noted(root, "child"))["id"]
    with pytest.raises(BadRequest, match=f"delete {root}"):
        await delete(world, child)
    with pytest.raises(UnknownThread):
        await delete(world, "nobody")
    assert await delete(world, root) == 202 and await delete(world, root) == 202
    await removed(world)


@pytest.mark.trap("L15")
async def test_an_erasure_that_was_lost_is_sent_again_by_the_sweep(world: CloudWorld) -> None:
    thread = await world.thread()
    await world.store.mark_deleted(thread, world.clock.now())
    assert (await world.deployment.sweep())["erasing"] == 1
    await removed(world)
    assert "erasing" not in await world.deployment.sweep()
    assert (await world.store.counts())["threads"] == 0


async def test_what_the_time_does_not_suffice_for_is_done_by_the_next_invocation(world: CloudWorld) -> None:
    thread = await world.thread()
    await world.store.mark_deleted(thread, world.clock.now())
    with pytest.raises(StoreError, match="next invocation"):
        await erasure.erase(world.client, thread, lambda: erasure.MARGIN - 1)
    assert await world.store.deletions() == [thread]
    await erasure.erase(world.client, thread, lambda: 60.0)
    assert await world.store.deletions() == []
    await erasure.erase(world.client, thread, lambda: 60.0)
    await erasure.erase(world.client, "nobody", lambda: 60.0)


async def test_the_sweep_deletes_what_has_been_closed_for_long_enough(
    open_world: Callable[..., CloudWorld],
) -> None:
    world = open_world(agent=Agent(retention=Retention(closed_days=30)))
    await world.start()
    threads = [await world.thread() for _ in range(2)]
    await world.runtime.control(threads[0], Action.CLOSE)
    await world.noted(threads[0], "status", status="closed")
    await world.deployment.sweep()
    assert {row.id for row in await world.store.threads()} == set(threads)
    world.clock.pass_time(31 * DAYS)
    await world.deployment.sweep()
    await removed(world)
    assert [row.id for row in await world.store.threads()] == [threads[1]]
    await world.close()
