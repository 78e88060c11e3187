"""A store that fails: the message stays queued, the error is visible, nothing is guessed (I8, L10)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.slice.scenes import World

from infinity._core import Delta, Thread
from infinity.engine.attempts import Owed
from infinity.errors import Conflict, DamagedStore, StoreError
from infinity.message import Action
from infinity.testing.replies import say


@pytest.mark.rap("RUN-1", "RUN-3")
@pytest.mark.trap("L10", "B6", "R1")
@pytest.mark.parametrize("step", ["load", "commit"])
@pytest.mark.parametrize(
    "error", [StoreError("the disk is full"), DamagedStore("entry 3 is damaged"), Conflict("too late")]
)
async def test_a_slice_whose_store_fails_is_tried_again_and_says_why(
    world: World, monkeypatch: Any, step: str, error: Exception
) -> None:
    world.model.then(say("first"), say("second"))
    thread = await world.runtime.create()
    genuine = getattr(world.store, step)
    failures = iter([error])

    async def failing(*args: Any) -> Any:
        about = args[0].thread if isinstance(args[0], Delta) else args[0]
        if about == thread and (planned := next(failures, None)) is not None:
            raise planned
        return await genuine(*args)

    monkeypatch.setattr(world.store, step, failing)
    await world.runtime.send(thread, "hi")
    await world.until(lambda: world.runtime.failing(thread) is not None)
    explanation = await world.runtime.explain(thread)
    assert str(error) in explanation.reasons[0].text
    assert explanation.state == "waiting"
    monkeypatch.undo()
    other = await world.runtime.create()
    await world.until(lambda: world.clock.sleeping() == 1)
    world.clock.advance(1)
    kept = step == "load" or type(error) is StoreError
    await world.said(thread, "first" if kept else "second")
    assert world.runtime.failing(thread) is None
    assert (await world.kinds(thread)).count("user") == 2
    del other


@pytest.mark.trap("B6")
async def test_a_bug_in_one_slice_does_not_stop_the_others(world: World, monkeypatch: Any) -> None:
    from infinity.engine import slices

    broken = await world.runtime.create()
    genuine = slices.dispatch

    async def buggy(slice: Any, turn: Any) -> None:
        if slice.thread.id == broken:
            raise ZeroDivisionError("a bug")
        await genuine(slice, turn)

    monkeypatch.setattr(slices, "dispatch", buggy)
    world.model.when("to the broken one", say("never"))
    world.model.when("to the other one", say("fine"))
    await world.runtime.send(broken, "to the broken one")
    await world.until(lambda: world.runtime.failing(broken) is not None)
    other = await world.thread("to the other one")
    await world.said(other, "fine")
    assert "a bug" in (world.runtime.failing(broken) or "")


@pytest.mark.trap("L22")
async def test_what_a_thread_owes_goes_on_record_with_a_slice_that_buys_nothing(world: World) -> None:
    """Its commit ends the messages by which a crash would be counted."""
    world.model.then(say("one"))
    thread = await world.thread("go")
    await world.said(thread, "one")
    await world.settled(thread)
    world.runtime.loop._services.attempts.owe(thread, Owed("internal"))
    await world.runtime.control(thread, Action.STOP)
    await world.noted(thread, "status", status="stopped")
    await world.settled(thread)
    assert Thread.load(await world.store.load(thread)).attempts == 1
