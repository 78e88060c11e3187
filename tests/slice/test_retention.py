"""Closed conversations go by themselves after ``retention.closed_days``, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.slice.scenes import World

from infinity import Agent
from infinity.engine.retention import DAY
from infinity.errors import StoreError, ThreadDeleted
from infinity.message import Action
from infinity.settings import Retention
from infinity.testing.replies import say

pytestmark = pytest.mark.trap("G7")

KEPT = Agent(retention=Retention(closed_days=30))


async def closed(world: World) -> str:
    world.model.then(say("goodbye"))
    thread = await world.thread("hello")
    await world.said(thread, "goodbye")
    await world.runtime.control(thread, Action.CLOSE)
    await world.noted(thread, "status", status="closed")
    return thread


async def pass_days(world: World, days: int) -> None:
    """One after the other; anyone who is due has done its work before the next begins."""
    for _ in range(days):
        await world.until(lambda: world.clock.sleeping() == 1)
        world.clock.advance(DAY)
    await world.until(lambda: world.clock.sleeping() == 1)


async def there(world: World) -> set[str]:
    return {row.id for row in await world.store.threads()}


async def test_closed_conversations_go_after_their_time_and_others_stay(
    open_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await open_world(agent=KEPT).start()
    compact, compactions = world.store.compact, []

    async def counted() -> None:
        compactions.append(world.clock.now())
        await compact()

    monkeypatch.setattr(world.store, "compact", counted)
    still_open = await world.thread()
    first = [await closed(world) for _ in range(3)]
    await pass_days(world, 10)
    later = await closed(world)
    await pass_days(world, 19)
    assert await there(world) == {still_open, *first, later} and not compactions
    await pass_days(world, 2)
    assert await there(world) == {still_open, later}
    assert len(compactions) == 1, "the file is written once for all that go together"
    for thread in first:
        with pytest.raises(ThreadDeleted):
            await world.runtime.send(thread, "still there?")
    await pass_days(world, 11)
    assert await there(world) == {still_open}
    assert len(compactions) == 2
    await world.close()


async def test_what_fell_due_while_nobody_ran_goes_at_the_next_start(
    open_world: Callable[..., World],
) -> None:
    world = await open_world(agent=KEPT).start()
    thread = await closed(world)
    await world.stop()
    world.clock.advance(31 * DAY)
    await world.start()

    async def gone() -> bool:
        return await there(world) == set() and not await world.store.deletions()

    await world.until(gone)
    assert await world.store.tombstone(thread) is not None
    await world.close()


@pytest.mark.trap("B11")
async def test_a_store_that_fails_is_asked_again_and_what_is_half_done_is_finished(
    open_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await open_world(agent=KEPT).start()
    await closed(world)
    compact, failures = world.store.compact, []

    async def full() -> None:
        if len(failures) < 2:
            failures.append(None)
            raise StoreError("no space left")
        await compact()

    monkeypatch.setattr(world.store, "compact", full)
    await pass_days(world, 31)
    assert len(failures) >= 1
    await pass_days(world, 3)
    assert await world.store.deletions() == []
    await world.close()


async def test_without_the_setting_nothing_waits_and_nothing_goes(world: World) -> None:
    thread = await closed(world)
    assert world.clock.sleeping() == 0
    world.clock.advance(1_000 * DAY)
    await world.restart()
    assert await there(world) == {thread}
