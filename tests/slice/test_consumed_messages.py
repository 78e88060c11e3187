"""Messages that are in a mailbox although the store does not have them queued any more: consumed here or elsewhere, or gone with their thread (R11)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.contract.databases import database_url, store_with
from tests.contract.dsql_rules import Conflicts
from tests.slice.scenes import Streaming, World

from infinity._core import Message
from infinity.local.moving.arrivals import Arrivals
from infinity.message import Action, Kind, UserText, encode, text_blocks
from infinity.stamps import is_stamp
from infinity.testing.replies import say


async def heard(world: World, thread: str) -> list[str]:
    """What people have said, without the seed."""
    users = [entry["user"] for entry in await world.history(thread) if entry["kind"] == "user"]
    return [block["text"] for user in users[1:] for block in user if not is_stamp(block)]


@pytest.mark.trap("R11")
async def test_a_message_that_was_consumed_and_comes_again_changes_nothing(world: World) -> None:
    world.model.then(say("one"), say("two"))
    thread = await world.runtime.create()
    accepted = await world.runtime.send(thread, "first", key="k1")
    assert accepted.message is not None
    await world.said(thread, "one")
    await world.settled(thread)
    world.mailbox.put([accepted.message])
    await world.settled(thread)
    assert world.runtime.failing(thread) is None
    await world.runtime.send(thread, "second")
    await world.said(thread, "two")
    world.mailbox.put([accepted.message])
    await world.runtime.control(thread, Action.STOP)
    await world.noted(thread, "status", status="stopped")
    world.mailbox.put([accepted.message])
    await world.runtime.control(thread, Action.CLOSE)
    await world.noted(thread, "status", status="closed")
    assert await heard(world, thread) == ["first", "second"] and await world.store.discards(thread) == []


@pytest.mark.trap("R11")
async def test_what_the_store_does_not_have_is_dropped_and_what_came_with_it_is_read(world: World) -> None:
    world.model.then(say("bought for nothing"), say("one"))
    thread = await world.runtime.create()
    await world.settled(thread)
    ghost = Message(
        thread,
        "ghost",
        Kind.USER,
        encode(UserText(content=text_blocks("boo"))),
        seq=1 << 40,
        accepted_at=world.clock.now(),
    )
    world.runtime.loop._suspended.add(thread)  # so that both are in one batch
    await world.runtime.send(thread, "first")
    await world.settled(thread)
    queued = await world.store.inbox()
    world.runtime.loop._suspended.clear()
    world.mailbox.put([ghost, *queued])
    await world.said(thread, "one")
    await world.settled(thread)
    assert await heard(world, thread) == ["first"]
    assert world.runtime.failing(thread) is None and len(world.model.requests) == 2


@pytest.mark.trap("R11")
async def test_a_message_of_a_thread_that_was_deleted_is_dropped(world: World) -> None:
    thread = await world.runtime.create()
    world.runtime.loop._suspended.add(thread)
    accepted = await world.runtime.send(thread, "first")
    await world.settled(thread)
    await world.store.delete_tree(thread)
    world.runtime.loop._suspended.clear()
    assert accepted.message is not None
    yielded = 0

    def gate(step: str) -> None:
        nonlocal yielded
        yielded += step == "yielded"

    world.runtime.observer.gate = gate  # type: ignore[method-assign]
    world.mailbox.put([accepted.message])
    await world.until(lambda: yielded == 1)
    assert world.runtime.failing(thread) is None and not world.runtime.busy(thread)


@pytest.mark.trap("R11")
async def test_a_message_that_is_consumed_while_an_import_reads_the_inbox_does_not_block_its_thread(
    tmp_path: Path,
) -> None:
    old = await World(tmp_path / "old.db").start()
    old.model.then(say("zero"))
    thread = await old.thread("BEFORE")
    await old.said(thread, "zero")
    await old.settled(thread)
    await old.runtime.retire(thread, "exported")
    await old.store.export_tree(thread, str(tmp_path / "tree.db"))
    await old.close()

    new = await World(tmp_path / "new.db").start()
    streaming = Streaming("one", say("one"))
    new.model.then(streaming, say("two"))
    await Arrivals(new.runtime, _nobody).take_in(tmp_path / "tree.db")
    await new.runtime.send(thread, "FIRST", key="first")
    await streaming.started.wait()
    real, first_page, next_page = new.store.inbox, asyncio.Event(), asyncio.Event()

    async def inbox(after: int = 0) -> Any:
        # As with an inbox of more than one page.
        if after > 0:
            first_page.set()
            await next_page.wait()
        return await real(after)

    new.store.inbox = inbox  # type: ignore[method-assign]
    taking = asyncio.create_task(new.runtime.take_up(thread))
    await first_page.wait()
    streaming.go_on.set()  # it commits between two pages
    await new.said(thread, "one")
    await new.settled(thread)
    next_page.set()
    await taking
    new.store.inbox = real  # type: ignore[method-assign]
    await new.settled(thread)
    await new.runtime.send(thread, "SECOND", key="second")
    await new.said(thread, "two")
    assert await heard(new, thread) == ["BEFORE", "FIRST", "SECOND"] and len(new.model.requests) == 2
    await new.close()


class Shared(World):
    """One of several on a database."""

    def __init__(self, path: Path, url: str) -> None:
        super().__init__(path)
        self._url = url
        self.sole_writer = False

    async def _open_store(self, _: Any) -> Any:
        return await store_with(self._url, Conflicts(0.0))


@pytest.mark.trap("R11")
async def test_a_message_that_another_process_consumes_meanwhile_is_dropped(tmp_path: Path) -> None:
    url = await database_url(tmp_path)
    old, new = Shared(tmp_path / "one", url), Shared(tmp_path / "two", url)
    await old.start()
    last, late = (
        Streaming("thinking", say("from the old one")),
        Streaming("thinking", say("from the new one")),
    )
    old.model.then(last)
    new.model.then(late, say("heard"))
    thread = await old.thread("FIRST")
    await last.started.wait()
    await new.start()
    await late.started.wait()
    last.go_on.set()
    await old.said(thread, "from the old one")
    await old.settled(thread)
    await old.close()
    late.go_on.set()
    await new.settled(thread)
    await new.runtime.send(thread, "SECOND")
    await new.said(thread, "heard")
    assert await heard(new, thread) == ["FIRST", "SECOND"] and new.runtime.failing(thread) is None
    await new.close()


async def _nobody(_: str) -> None:
    return
