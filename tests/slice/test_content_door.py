"""No content makes a thread unusable, whatever door it came by (I11): it is put right, told in words, or refused to a person."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.pictures import GIF, JPEG, PNG, UNUSABLE, image
from tests.slice.scenes import World
from tests.slice.test_subscriptions import subscribed

from infinity import Agent
from infinity._core import Message
from infinity.abc import Expect
from infinity.errors import BadRequest
from infinity.message import Kind, UserText, encode
from infinity.settings import Limits
from infinity.testing.replies import call, say, texts
from infinity.testing.tool_server import ToolServer, tool
from infinity.tools.functions import tool as function

SENT = {name: block["source"] for name, block in UNUSABLE.items() if block.get("source", {}).get("data")}


@pytest.mark.trap("L20")
@pytest.mark.parametrize("name", UNUSABLE)
async def test_a_person_hears_that_an_image_cannot_be_used_and_the_thread_goes_on(
    world: World, name: str
) -> None:
    thread = await world.thread()
    with pytest.raises(BadRequest, match=r"content\[1\]"):
        await world.runtime.send(thread, [{"type": "text", "text": "look"}, UNUSABLE[name]])
    world.model.then(say("hello"))
    await world.runtime.send(thread, "never mind")
    await world.said(thread, "hello")


@pytest.mark.trap("L20")
@pytest.mark.parametrize("name", [name for name in SENT if name not in ("no base64", "too many bytes")])
async def test_a_tools_image_that_cannot_be_used_is_a_sentence_and_the_thread_goes_on(
    open_world: Any, name: str
) -> None:
    async with ToolServer([tool("look")]) as server:
        settings = Agent(limits=Limits(message_bytes=8 << 20))
        world = await open_world(servers=[server], agent=settings).start()
        world.model.then(call(("look", {})), say("a pity"), say("hello"))
        thread = await world.thread("look")
        invocation = await server.invoked()
        source = SENT[name]
        picture = {"type": "image", "data": source["data"], "mediaType": source["media_type"]}
        await server.answer(invocation.id, None, content=[{"type": "text", "text": "here"}, picture])
        await world.said(thread, "a pity")
        heard = texts(world.model.requests[1]["messages"][-1])
        assert heard.startswith("here\n[left out: an image")
        (result,) = [entry for entry in await world.history(thread) if entry["kind"] == "result"]
        assert result["meta"]["changed"]
        await world.runtime.send(thread, "never mind")
        await world.said(thread, "hello")
        await world.close()


async def test_a_wrong_media_type_is_put_right_for_tools_and_people(open_world: Any) -> None:
    async with ToolServer([tool("look")]) as server:
        world = await open_world(servers=[server]).start()
        world.model.then(call(("look", {})), say("a python"))
        thread = await world.thread()
        await world.runtime.send(thread, [{"type": "text", "text": "look"}, image(GIF, "image/png")])
        invocation = await server.invoked()
        sent = image(JPEG, "image/jpg")["source"]
        picture = {"type": "image", "data": sent["data"], "mediaType": sent["media_type"]}
        await server.answer(invocation.id, None, content=[picture])
        await world.said(thread, "a python")
        messages = world.model.requests[1]["messages"]
        assert messages[0]["content"][-1]["source"] == image(GIF, "image/gif")["source"]
        assert messages[-1]["content"][0]["content"] == [image(JPEG, "image/jpeg")]
        await world.close()


@pytest.mark.rap("CB-8")
async def test_halves_of_characters_of_every_sender_are_repaired(open_world: Any) -> None:
    @function
    def names() -> str:
        """File names."""
        return "a\udcff.txt \ud83d\ude00 \0"

    async with ToolServer([tool("watch")]) as server:
        world: World = open_world(servers=[server])
        world.agent = replace(world.agent, tools=[names])
        await world.start()
        thread, call_id = await subscribed(world, server)
        world.model.then(say("an event"), call(("names", {})), say("that is all"))
        await server.event(call_id, text="\ud83d pushed \ud83d\ude00", associative=True)
        await world.said(thread, "an event")
        await world.runtime.send(thread, "list them \udcff")
        await world.said(thread, "that is all")
        heard = "\n".join(texts(message) for message in world.model.requests[-1]["messages"])
        assert "\ufffd pushed \U0001f600" in heard
        assert "list them \ufffd" in heard
        assert "a\ufffd.txt \U0001f600 " in heard and "\0" not in heard
        await world.close()


@pytest.mark.parametrize(
    "content",
    [[], [{"type": "text", "text": " \n"}], [{"type": "tool_use", "id": "x", "name": "y", "input": {}}]],
)
async def test_what_says_nothing_or_is_the_runtimes_to_say_is_refused_to_a_person(
    world: World, content: Any
) -> None:
    thread = await world.thread()
    with pytest.raises(BadRequest):
        await world.runtime.send(thread, content)


async def test_a_cache_breakpoint_of_a_sender_does_not_reach_history(world: World) -> None:
    world.model.then(say("hello"))
    thread = await world.thread()
    marked = [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]
    with pytest.raises(BadRequest, match="cache_control"):
        await world.runtime.send(thread, marked)
    # As an earlier version accepted it: it is queued already.
    queued = Message(thread, "message.queued", Kind.USER, encode(UserText(content=marked)), accepted_at=1)
    accepted = await world.store.accept(queued, Expect.ANY, None)
    assert accepted.message is not None
    world.mailbox.put([accepted.message])
    await world.said(thread, "hello")
    assert (await world.history(thread))[-2]["user"][1:] == [{"type": "text", "text": "hi"}]


@pytest.mark.parametrize("count", [1, 3, 9, 40])
async def test_the_results_of_one_turn_share_a_part_of_the_window(open_world: Any, count: int) -> None:
    async with ToolServer([tool("big")]) as server:
        world = await open_world(servers=[server]).start()
        world.model.info = replace(world.model.info, context_window=50_000)
        calls = [("big", {"n": number}) for number in range(count)]
        world.model.then(call(*calls, ids=[f"toolu_{n}" for n in range(count)]), say("much"), say("hello"))
        thread = await world.thread("go")
        whole = "head " + "x" * 90_000 + " tail"
        for invocation in [await server.invoked(number + 1) for number in range(count)]:
            await server.answer(invocation.id, whole)
        await world.said(thread, "much")
        heard = texts(world.model.requests[1]["messages"][-1])
        assert heard.count("head xxx") == count and heard.count("xxx tail") == count
        assert len(heard) <= 50_000 * 3 // 2 + count * 600
        results = [entry for entry in await world.history(thread) if entry["kind"] == "result"]
        assert all(entry["meta"]["whole"] == [{"type": "text", "text": whole}] for entry in results)
        await world.runtime.send(thread, "go on")
        await world.said(thread, "hello")
        await world.close()


async def test_small_results_leave_their_share_to_the_large_one(open_world: Any) -> None:
    async with ToolServer([tool("a")]) as server:
        world = await open_world(servers=[server]).start()
        world.model.info = replace(world.model.info, context_window=40_000)
        world.model.then(call(*[("a", {})] * 5, ids=list("abcde")), say("seen"))
        thread = await world.thread("go")
        invocations = [await server.invoked(number + 1) for number in range(5)]
        for invocation in invocations[:4]:
            await server.answer(invocation.id, "small")
        await server.answer(invocations[4].id, "y" * 50_000)
        await world.said(thread, "seen")
        assert "y" * 50_000 in texts(world.model.requests[1]["messages"][-1])
        await world.close()


async def test_a_persons_text_larger_than_the_window_is_shown_head_and_tail_and_kept_whole(
    world: World,
) -> None:
    world.model.info = replace(world.model.info, context_window=10_000)
    world.model.then(say("long"), say("hello"))
    thread = await world.thread()
    text = "head " + "x" * 200_000 + " tail"
    await world.runtime.send(thread, text)
    await world.said(thread, "long")
    heard = texts(world.model.requests[0]["messages"][-1])
    assert "head xxx" in heard and heard.endswith("xxx tail") and len(heard) < 20_000
    assert (await world.history(thread))[1]["meta"]["whole"] == [{"type": "text", "text": text}]
    await world.runtime.send(thread, "and now?")
    await world.said(thread, "hello")


@pytest.mark.parametrize("window", [4_096, 8_192, 32_000, 200_000])
async def test_the_answer_never_gets_more_tokens_than_the_window_leaves(world: World, window: int) -> None:
    world.model.info = replace(world.model.info, context_window=window, output_limit=64_000)
    world.model.then(say("hello"), say("again"))
    thread = await world.thread("word " * 2_000)
    await world.said(thread, "hello")
    await world.runtime.send(thread, [{"type": "text", "text": "look"}, image(PNG)])
    await world.said(thread, "again")
    for request in world.model.requests:
        size = sum(len(str(request[part])) for part in ("system", "tools", "messages"))
        assert request["max_tokens"] <= max(256, window - size // 4)
        assert request["max_tokens"] >= 256
