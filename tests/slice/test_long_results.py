"""Long results: the model gets head and tail, anyone who reads the history gets all of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.slice.scenes import World
from tests.slice.test_subscriptions import subscribed

from infinity import Agent
from infinity.engine.content import shortened
from infinity.settings import Limits
from infinity.testing.replies import call, say, texts
from infinity.testing.tool_server import ToolServer, tool

LONG = "head " + "x" * 5_000 + " tail"


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "eA=="}}
blocks = st.lists(st.one_of(st.text(min_size=1, max_size=60).map(_text), st.just(IMAGE)), max_size=8)


@given(content=blocks, limit=st.integers(4, 200))
def test_what_is_left_of_any_content_is_its_head_and_tail_and_all_of_its_images(
    content: list[dict[str, Any]], limit: int
) -> None:
    whole = "".join(block.get("text", "") for block in content)
    short, cut = shortened(content, limit)
    left = "".join(block.get("text", "") for block in short)
    assert cut is (len(whole) > limit)
    if not cut:
        assert short == content
        return
    gap = f"\n\n[… {len(whole) - limit * 3 // 4 - limit // 4} characters left out …]\n\n"
    assert left == whole[: limit * 3 // 4] + gap + whole[len(whole) - limit // 4 :]
    assert short.count(IMAGE) == content.count(IMAGE)
    assert all(block.get("text", "-") for block in short), "no block is empty (I4)"


async def _world(open_world: Any, server: ToolServer) -> World:
    world: World = await open_world(servers=[server], agent=Agent(limits=Limits(result_chars=1_000))).start()
    return world


@pytest.mark.rap("RES-1", "RES-3")
@pytest.mark.parametrize("blocks", [1, 10])
async def test_the_model_gets_head_and_tail_and_the_user_the_whole(open_world: Any, blocks: int) -> None:
    async with ToolServer([tool("a")]) as server:
        world = await _world(open_world, server)
        world.model.then(call(("a", {})), say("that was long"))
        thread = await world.thread("go")
        invocation = await server.invoked()
        size = len(LONG) // blocks
        content = [_text(LONG[at : at + size]) for at in range(0, len(LONG), size)]
        assert await server.answer(invocation.id, None, content=content) == 200
        await world.said(thread, "that was long")
        heard = texts(world.model.requests[1]["messages"][-1])
        assert heard.startswith("head xxx") and heard.endswith("xxx tail")
        assert "characters left out" in heard and len(heard) < 1_100
        (result,) = [entry for entry in await world.history(thread) if entry["kind"] == "result"]
        assert "".join(block["text"] for block in result["meta"]["whole"]) == LONG
        await world.close()


@pytest.mark.rap("SUB-4")
async def test_a_long_event_and_a_late_result_are_kept_whole_too(open_world: Any) -> None:
    async with ToolServer([tool("watch"), tool("a")]) as server:
        world = await _world(open_world, server)
        thread, call_id = await subscribed(world, server)
        world.model.then(say("an event"), call(("a", {})), say("meanwhile"), say("and the result"))
        await server.event(call_id, text=LONG, associative=True)
        await world.said(thread, "an event")
        await world.runtime.send(thread, "call it")
        late = await server.invoked(2)
        await world.runtime.send(thread, "well?")
        await world.said(thread, "meanwhile")
        await server.answer(late.id, LONG)
        await world.said(thread, "and the result")
        events = [entry for entry in await world.history(thread) if entry["kind"] == "event"]
        assert [entry["meta"]["whole"][0]["text"] for entry in events] == [LONG, LONG]
        assert all(len(str(entry["user"])) < 1_300 for entry in events)
        await world.close()
