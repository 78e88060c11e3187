"""What a child asks is shown, and can be answered, where people look: at the root (CHO-4, I14)."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import msgspec
import pytest
from tests.asking import asked
from tests.slice.scenes import SOON, World

from infinity import Agent
from infinity.api.errors import Refused
from infinity.api.messages import answer_prompt
from infinity.api.prompts import list_prompts
from infinity.api.threads import get_thread, list_threads
from infinity.feed import FeedEvent
from infinity.settings import Policy
from infinity.testing.replies import call, say
from infinity.testing.tool_server import ToolServer

pytestmark = pytest.mark.rap("CHO-4")


@pytest.fixture
async def asking(open_world: Any, server: ToolServer) -> Any:
    world = await open_world(agent=Agent(policy=Policy(tools={"b": "ask"})), servers=[server]).start()
    yield world
    await world.close()


async def _ask_in_a_child(world: World, tool: str = "a") -> tuple[str, str]:
    """A root whose child has called the tool."""
    world.model.then(call(("spawn_thread", {"instructions": "look into it"})))
    world.model.when("look into it", call((tool, {})))
    world.model.when("was created and works by itself", say("it is looked into"))
    root = await world.thread("go")
    await world.said(root, "it is looked into")
    (row,) = await world.store.threads(parent=root)
    return root, row.id


async def _first(world: World, thread: str, kind: str, after: int | None = None) -> dict[str, Any]:
    async with asyncio.timeout(SOON), aclosing(world.runtime.watch(thread, after)) as events:
        async for event in events:
            if event.kind == kind and event.position is None:
                return dict(msgspec.json.decode(event.data))
    raise AssertionError("the stream ended")


async def _end_of_stream(world: World, thread: str) -> int:
    rows = await world.store.feed(thread)
    return rows[-1].position


async def test_a_question_of_a_child_comes_to_whoever_watches_the_root_live(
    asking: World, server: ToolServer
) -> None:
    root, child = await _ask_in_a_child(asking)
    invocation = await server.invoked()
    before = await asking.store.thread(root)
    found: asyncio.Task[dict[str, Any]] = asyncio.create_task(_first(asking, root, "prompt"))
    await asking.until(lambda: asking.runtime.feed.watching() == 1)
    await server.choice(invocation.id, prompt="May I?", choices=["yes", "no"], default=1)
    data = await found
    assert (data["thread"], data["prompt"], data["prompt_kind"]) == (child, "May I?", "choice")
    assert "response_url" not in data
    # The root itself has not been written to.
    assert await asking.store.thread(root) == before


async def test_whoever_begins_to_watch_the_root_later_is_told_as_well(
    asking: World, server: ToolServer
) -> None:
    root, child = await _ask_in_a_child(asking, "b")
    await asking.noted(child, "prompt")
    data = await _first(asking, root, "prompt", await _end_of_stream(asking, root))
    assert (data["thread"], data["prompt_kind"]) == (child, "consent")
    closed = asyncio.create_task(_first(asking, root, "prompt_closed"))
    await asking.until(lambda: asking.runtime.feed.watching() == 1)
    await asking.runtime.choose(root, data["id"], 0)
    assert (await closed)["thread"] == child
    assert (await server.invoked()).body["operation"] == "b"


async def test_the_root_says_that_a_child_asks_and_lists_the_question(
    asking: World, server: ToolServer
) -> None:
    root, child = await _ask_in_a_child(asking, "b")
    await asking.noted(child, "prompt")
    explained = await asking.runtime.explain(root)
    assert explained.state == "waiting"
    (reason,) = [reason for reason in explained.reasons if reason.kind == "prompt"]
    assert reason.thread == child and child in reason.text
    listed = (await asked(asking.runtime, list_threads))[1]["threads"]
    assert {row["id"]: row["prompts"] for row in listed} == {root: 1, child: 1}
    _, described = await asked(asking.runtime, get_thread, id=root)
    assert [prompt["thread"] for prompt in described["prompts"]] == [child]
    for query in ({}, {"root": root}, {"thread": child}):
        _, found = await asked(asking.runtime, list_prompts, query)
        assert [(each["thread"], each["root"]) for each in found["prompts"]] == [(child, root)]
    _, nothing = await asked(asking.runtime, list_prompts, {"thread": root})
    assert nothing == {"prompts": [], "more": 0}


async def test_a_second_answer_at_the_root_is_told_what_was_chosen(asking: World, server: ToolServer) -> None:
    root, child = await _ask_in_a_child(asking, "b")
    id = (await asking.noted(child, "prompt"))["id"]
    await asking.runtime.choose(root, id, 0)
    await asking.noted(child, "prompt_closed")
    with pytest.raises(Refused, match="'Allow' was chosen") as refused:
        await asked(asking.runtime, answer_prompt, body={"selected": 1}, id=root, choice_id=id)
    assert refused.value.status == 409


async def test_a_slow_watcher_of_the_root_loses_no_question(asking: World, server: ToolServer) -> None:
    root, child = await _ask_in_a_child(asking)
    invocation = await server.invoked()
    feed = asking.runtime.feed
    watcher = feed.enter(root, await _end_of_stream(asking, root))
    await feed.ready(watcher)
    for _ in range(3_000):
        feed.live(root, "text", {"text": "x"})
    await server.choice(invocation.id, prompt="May I?", choices=["yes", "no"], default=1)
    await asking.noted(child, "prompt")
    found: list[FeedEvent] = []
    async with asyncio.timeout(SOON):
        while not any(event.kind == "prompt" for event in found):
            await watcher.wait()
            found += await feed.ready(watcher)
    feed.leave(watcher)
    assert len(found) < 3_000
