"""Summarisers that end otherwise than with a summary: their parent does not wait for them for ever (B9)."""

from __future__ import annotations

import pytest
from tests.slice.scenes import Streaming, World
from tests.slice.test_compaction import ASKED, talk

from infinity.message import Action
from infinity.testing.replies import say


@pytest.mark.trap("B9")
@pytest.mark.parametrize("action", [Action.STOP, Action.CLOSE, Action.INTERRUPT])
async def test_a_summariser_that_is_ended_by_hand_frees_its_parent(world: World, action: Action) -> None:
    thread = await world.thread()
    await talk(world, thread, 6)
    slow = Streaming("the sum", say("never finished"))
    world.model.when(ASKED, slow)
    await world.runtime.control(thread, Action.COMPACT)
    await slow.started.wait()
    (summariser,) = await world.store.threads(parent=thread)
    await world.runtime.control(summariser.id, action)
    await world.noted(thread, "compaction", state="failed")
    await world.settled(summariser.id)
    assert (await world.store.thread(summariser.id)).status == "closed"  # type: ignore[union-attr]
    assert [reason.kind for reason in (await world.runtime.explain(thread)).reasons] == []
    world.model.when(ASKED, say("the second try"))
    await world.runtime.control(thread, Action.COMPACT)
    await world.noted(thread, "compaction", state="applied")


@pytest.mark.trap("B9")
async def test_a_summariser_that_an_earlier_version_stopped_is_waited_for_no_longer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = await world.thread()
    await talk(world, thread, 6)
    slow = Streaming("the sum", say("never finished"))
    world.model.when(ASKED, slow)
    await world.runtime.control(thread, Action.COMPACT)
    await slow.started.wait()
    (summariser,) = await world.store.threads(parent=thread)
    with monkeypatch.context() as patch:
        patch.setattr("infinity.engine.compaction.is_summariser", lambda slice: False)
        await world.runtime.control(summariser.id, Action.STOP)
        await world.noted(summariser.id, "status", status="stopped")
        await world.settled(summariser.id)
    world.model.when(ASKED, say("the second try"))
    await world.runtime.control(thread, Action.COMPACT)
    await world.noted(thread, "compaction", state="failed")
    await world.noted(thread, "compaction", state="applied")
