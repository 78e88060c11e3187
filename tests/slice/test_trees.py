"""Trees: what a child shares with its parent byte for byte, and what it does not share: being interrupted."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.slice.scenes import World
from tests.slice.test_compaction import talk
from tests.slice.test_subscriptions import subscribed

from infinity.abc import ModelRequest, Part
from infinity.message import Action
from infinity.testing.replies import call, say
from infinity.testing.tool_server import ToolServer

BREAKPOINT = re.compile(rb',"cache_control":\{[^}]*\}')


@pytest.fixture
def sent(tooled: World, monkeypatch: pytest.MonkeyPatch) -> list[ModelRequest]:
    """Every request, as the bytes that go to the provider."""
    requests: list[ModelRequest] = []
    genuine = tooled.model.stream

    async def stream(request: ModelRequest) -> AsyncIterator[Part]:
        requests.append(request)
        async for part in genuine(request):
            yield part

    monkeypatch.setattr(tooled.model, "stream", stream)
    return requests


def _messages(request: ModelRequest) -> bytes:
    """Without the marks of where to cache, which move on."""
    return BREAKPOINT.sub(b"", bytes(request.messages))


@pytest.mark.rap("SUB-5")
@pytest.mark.trap("G4")
async def test_children_send_their_parents_bytes_first_and_their_own_behind(
    tooled: World, server: ToolServer, sent: list[ModelRequest]
) -> None:
    thread, call_id = await subscribed(tooled, server)
    await talk(tooled, thread, 5)
    parent = sent[-1]
    for number in range(3):
        tooled.model.when(f"event {number}", call(("a", {}), text="looking"))
        await server.event(call_id, text=f"event {number}")
    await server.invoked(4)
    # The calls of children are answered, so that each makes a second request on top of its first.
    tooled.model.then(say("seen"), say("seen"), say("seen"))
    for invocation in list(server.invocations[1:]):
        await server.answer(invocation.id, text="42")
        await tooled.said(invocation.group_id, "seen")
    children = sent[sent.index(parent) + 1 :]
    assert len(children) == 6
    shared = _messages(parent)[:-1]  # all but the closing bracket
    for request in children:
        assert (request.system, bytes(request.tools)) == (parent.system, bytes(parent.tools))
        assert _messages(request).startswith(shared)
        assert len(_messages(request)) < len(shared) + 4_000, "what is its own is short"
    # Their own ids are behind what they share, never in it.
    assert not any(invocation.group_id.encode() in shared for invocation in server.invocations[1:])


@pytest.mark.trap("B8")
async def test_a_child_outlives_its_interrupted_parent_and_reports_to_it(
    tooled: World, server: ToolServer
) -> None:
    tooled.model.then(call(("spawn_thread", {"instructions": "build it"}), ("b", {})))
    tooled.model.when("build it", call(("a", {})))
    parent = await tooled.thread("go")
    await server.invoked(2)
    by_child = next(each for each in server.invocations if each.group_id != parent)
    await tooled.runtime.control(parent, Action.INTERRUPT)
    await tooled.noted(parent, "status", status="interrupted")
    await server.until(lambda: bool(server.notices), "the cancel notice")
    cancelled: list[dict[str, Any]] = [body for _, body in server.notices]
    assert [body["thread_id"] for body in cancelled] == [parent], "the child's call goes on"
    tooled.model.when("42", call(("close_thread", {"report": "it is built"})))
    tooled.model.when("it is built", say("my child has built it"))
    assert await server.answer(by_child.id, text="42") == 200
    await tooled.said(parent, "my child has built it")
