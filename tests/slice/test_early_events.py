"""An event of a subscription comes before the result that confirms it: it waits, and comes in order (SUB-9)."""

from __future__ import annotations

import pytest
from tests.slice.scenes import Streaming, World

from infinity.testing.replies import call, say
from infinity.testing.tool_server import ToolServer


@pytest.mark.rap("SUB-9")
@pytest.mark.trap("L22")
async def test_events_that_come_before_their_confirmation_follow_it_in_order(
    tooled: World, server: ToolServer
) -> None:
    tooled.model.then(call(("watch", {})), say("subscribed"), say("they changed"))
    thread = await tooled.thread("go")
    invocation = await server.invoked()
    for number in ("1", "2"):
        status = await server.event(
            invocation.id, text=f"change {number}", event_id=f"e{number}", associative=True
        )
        assert status == 200
        await tooled.settled(thread)
    assert "a new commit" not in str(tooled.model.requests[-1])
    assert await server.event(invocation.id, text="change 1", event_id="e1", associative=True) == 200
    await server.answer(invocation.id, text="watching", subscription=True)
    await tooled.said(thread, "they changed")
    assert [kind for kind in await tooled.kinds(thread) if kind in ("result", "event")] == [
        "result",
        "event",
        "event",
    ]
    assert await tooled.store.discards(thread) == [] and await tooled.store.inbox() == []


@pytest.mark.rap("SUB-9")
async def test_an_event_that_comes_with_its_confirmation_does_not_overtake_what_was_kept(
    tooled: World, server: ToolServer
) -> None:
    # As many answers as there may be slices.
    tooled.model.then(call(("watch", {})), say("subscribed"), say("one changed"), say("two changed"))
    thread = await tooled.thread("go")
    invocation = await server.invoked()
    await server.event(invocation.id, text="change 1", event_id="e1", associative=True)
    await tooled.settled(thread)
    await server.answer(invocation.id, text="watching", subscription=True)
    await server.event(invocation.id, text="change 2", event_id="e2", associative=True)
    await tooled.until(lambda: "change 2" in str(tooled.model.requests[-1]))
    request = str(tooled.model.requests[-1])
    assert 0 < request.find("change 1") < request.index("change 2")


@pytest.mark.rap("SUB-9")
async def test_an_early_event_of_a_call_that_is_no_subscription_is_discarded_on_record(
    tooled: World, server: ToolServer
) -> None:
    tooled.model.then(call(("watch", {})), say("done"))
    thread = await tooled.thread("go")
    invocation = await server.invoked()
    await server.event(invocation.id, text="change", event_id="e1", associative=True)
    await tooled.settled(thread)
    await server.answer(invocation.id, text="nothing to watch")
    await tooled.said(thread, "done")
    [(_, reason, _)] = await tooled.store.discards(thread)
    assert reason == "the call ended without a subscription"


@pytest.mark.rap("SUB-1")
async def test_an_event_that_comes_together_with_a_plain_result_is_discarded_on_record(
    tooled: World, server: ToolServer
) -> None:
    slow = Streaming("...", say("one moment"))
    tooled.model.then(call(("watch", {})), slow, say("done"))
    thread = await tooled.thread("go")
    invocation = await server.invoked()
    await tooled.runtime.send(thread, "are you there?")
    await slow.started.wait()
    await server.answer(invocation.id, text="nothing to watch")
    await server.event(invocation.id, text="a new commit", event_id="e1", associative=True)
    slow.go_on.set()
    await tooled.until(lambda: "nothing to watch" in str(tooled.model.requests[-1]))
    await tooled.settled(thread)
    [(_, reason, _)] = await tooled.store.discards(thread)
    assert reason == "not an active subscription"
    assert "a new commit" not in str(tooled.model.requests[-1])
