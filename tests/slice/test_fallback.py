"""What a model API refuses although it was checked is sent again in a simpler form, and the thread goes on (I11, DESIGN 5.7)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.pictures import JPEG, PNG, image
from tests.slice.scenes import World

from infinity.abc import Part, Turn
from infinity.errors import ContextTooLong, InvalidModelRequest, ModelError
from infinity.message import Action
from infinity.testing.replies import Reply, call, say, texts

LOOK = {"type": "text", "text": "look"}


def picky(refuse: Callable[[dict[str, Any]], ModelError | None], turn: Turn) -> Reply:
    """The turn, unless the request holds what this API does not take."""

    async def reply(request: dict[str, Any]) -> AsyncIterator[Part]:
        if (error := refuse(request)) is not None:
            raise error
        yield turn

    return reply


def about(name: str, data: bytes) -> Callable[[dict[str, Any]], ModelError | None]:
    """Refuses this image, and names its block as the Messages API does."""
    needle = image(data)["source"]["data"]

    def refuse(request: dict[str, Any]) -> ModelError | None:
        for number, message in enumerate(request["messages"]):
            for place, block in enumerate(message["content"]):
                if needle in json.dumps(block):
                    text = f"messages.{number}.content.{place}.{name}: Could not process image"
                    return InvalidModelRequest(text, status=400)
        return None

    return refuse


def attached(request: dict[str, Any]) -> int:
    return json.dumps(request["messages"]).count('"type": "image"')


@pytest.mark.trap("L20")
async def test_a_block_that_the_api_names_is_told_in_words_from_then_on(world: World) -> None:
    refuse = about("image.source.base64", PNG)
    world.model.then(*[picky(refuse, say(text)) for text in ("first", "first", "second")])
    thread = await world.thread()
    await world.runtime.send(thread, [LOOK, image(JPEG, "image/jpeg"), image(PNG)])
    await world.said(thread, "first")
    told = await world.noted(thread, "simplified")
    assert "without the block it named" in told["text"]
    assert (await world.runtime.explain(thread)).state == "idle"
    await world.restart()
    await world.runtime.send(thread, "and now?")
    await world.said(thread, "second")
    assert [attached(request) for request in world.model.requests] == [2, 1, 1], (
        "remembered, and the other image stays"
    )
    assert "[image left out: the model API refused it]" in texts(world.model.requests[-1]["messages"][0])
    assert json.dumps(await world.history(thread)).count('"type": "image"') == 2, (
        "entries are never rewritten"
    )


@pytest.mark.trap("L20")
async def test_a_result_that_the_api_names_keeps_its_call(tooled: World, server: Any) -> None:
    refuse = about("tool_result.content.0.image", PNG)
    tooled.model.then(call(("a", {})), *[picky(refuse, say(text)) for text in ("seen", "seen")])
    thread = await tooled.thread("go")
    invocation = await server.invoked()
    data = image(PNG)["source"]["data"]
    picture = {"type": "image", "data": data, "mediaType": "image/png"}
    await server.answer(invocation.id, None, content=[picture, {"type": "text", "text": "below"}])
    await tooled.said(thread, "seen")
    heard = texts(tooled.model.requests[-1]["messages"][-1])
    assert heard == "[image left out: the model API refused it]\nbelow"


async def test_images_go_when_a_refusal_names_nothing(world: World) -> None:
    def refuse(request: dict[str, Any]) -> ModelError | None:
        return InvalidModelRequest("invalid input", status=400) if attached(request) else None

    world.model.then(*[picky(refuse, say(text)) for text in ("first", "first", "second", "second")])
    thread = await world.thread()
    await world.runtime.send(thread, [LOOK, image(PNG)])
    await world.said(thread, "first")
    await world.runtime.send(thread, [LOOK, image(JPEG, "image/jpeg")])
    await world.said(thread, "second")
    assert [attached(request) for request in world.model.requests] == [1, 0, 1, 0], (
        "a new image has its own chance"
    )


async def test_reasoning_goes_when_it_may_be_the_cause(world: World) -> None:
    def refuse(request: dict[str, Any]) -> ModelError | None:
        held = '"type": "thinking"' in json.dumps(request["messages"])
        return InvalidModelRequest("Invalid `signature` in `thinking` block", status=400) if held else None

    reasoning = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
    world.model.then(Turn([reasoning, {"type": "text", "text": "first"}]))
    thread = await world.thread("think")
    await world.said(thread, "first")
    world.model.then(*[picky(refuse, say("second")) for _ in range(2)])
    await world.runtime.send(thread, "and now?")
    await world.said(thread, "second")
    assert "without the reasoning" in (await world.noted(thread, "simplified"))["text"]


async def test_a_child_knows_what_its_parent_has_learnt(world: World) -> None:
    refuse = about("image", PNG)
    world.model.then(*[picky(refuse, say("first")) for _ in range(2)])
    thread = await world.thread()
    await world.runtime.send(thread, [LOOK, image(PNG)])
    await world.said(thread, "first")
    world.model.when("delegate", call(("spawn_thread", {"instructions": "count the pixels"})))
    world.model.when("count the pixels", picky(refuse, say("one")))
    world.model.then(say("delegated"))
    await world.runtime.send(thread, "delegate")
    await world.said(thread, "delegated")
    await world.model.request(5)
    assert [attached(request) for request in world.model.requests] == [1, 0, 0, 0, 0]


async def test_a_few_blocks_that_are_refused_one_after_the_other_are_all_left_out(world: World) -> None:
    def refuse(request: dict[str, Any]) -> ModelError | None:
        return about("image", PNG)(request) or about("image", JPEG)(request)

    world.model.then(*[picky(refuse, say("first")) for _ in range(3)])
    thread = await world.thread()
    await world.runtime.send(thread, [LOOK, image(PNG), image(JPEG, "image/jpeg")])
    await world.said(thread, "first")
    assert [attached(request) for request in world.model.requests] == [2, 1, 0]


async def test_when_nothing_in_history_is_the_cause_the_problem_names_what_to_change(world: World) -> None:
    world.model.then(InvalidModelRequest("tools.3: unknown keyword", status=400))
    thread = await world.thread("hi")
    problem = await world.noted(thread, "problem", code="invalid_model_request")
    assert "tools.3" in problem["text"] and "the instructions and the tools' schemas" in problem["text"]
    await world.settled(thread)
    assert len(world.model.requests) == 1, "the same request is not sent again"


@pytest.mark.parametrize("status", [401, 404])
async def test_a_refusal_that_is_about_no_content_is_not_answered_with_a_simpler_request(
    world: World, status: int
) -> None:
    world.model.then(InvalidModelRequest("no such model", status=status))
    thread = await world.thread()
    await world.runtime.send(thread, [LOOK, image(PNG)])
    await world.noted(thread, "problem")
    await world.settled(thread)
    assert len(world.model.requests) == 1


def longer_than(characters: int) -> Callable[[dict[str, Any]], ModelError | None]:
    def refuse(request: dict[str, Any]) -> ModelError | None:
        size = sum(len(texts(message)) for message in request["messages"])
        return ContextTooLong(f"{size} > {characters}", status=400) if size > characters else None

    return refuse


async def test_texts_that_the_window_does_not_hold_are_shortened(world: World) -> None:
    """The window is smaller than it is configured: the runtime's own budget lets pass what the API does not take."""
    refuse = longer_than(30_000)
    world.model.info = replace(world.model.info, context_window=40_000)
    world.model.then(*[picky(refuse, say(text)) for text in ("first", "first", "first", "second")])
    thread = await world.thread("head " + "x" * 50_000 + " tail")
    await world.said(thread, "first")
    heard = texts(world.model.requests[-1]["messages"][0])
    assert "head xxx" in heard and "xxx tail" in heard and "characters left out" in heard
    await world.runtime.send(thread, "and now?")
    await world.said(thread, "second")


async def test_a_tiny_window_is_named(world: World) -> None:
    world.model.info = replace(world.model.info, context_window=1_000)
    world.model.then(*[ContextTooLong("too long", status=400)] * 4)
    thread = await world.thread("hi")
    problem = await world.noted(thread, "problem", code="context_too_long")
    assert "the instructions and tools alone" in problem["text"]


async def test_compaction_is_a_way_out_although_the_last_entries_are_too_long(world: World) -> None:
    """Few entries, the longest last: fewer are kept, and what is summarised is shortened."""
    refuse = longer_than(30_000)
    world.model.info = replace(world.model.info, context_window=12_000)
    thread = await world.thread()
    for number in range(2):
        world.model.then(say(f"answer {number}"))
        await world.runtime.send(thread, f"{number} " + "x" * 14_000)
        await world.said(thread, f"answer {number}")
    world.model.info = replace(world.model.info, context_window=9_000)
    world.model.when("Summarise the conversation", picky(refuse, say("they sent much")))
    await world.runtime.control(thread, Action.COMPACT)
    world.model.when("and now?", picky(refuse, say("short again")))
    world.model.when("and now?", picky(refuse, say("short again")))
    await world.runtime.send(thread, "and now?")
    await world.said(thread, "short again")


async def test_a_summary_is_made_without_images_and_within_the_window(world: World) -> None:
    thread = await world.thread()
    for number in range(6):
        world.model.then(say(f"answer {number}"))
        await world.runtime.send(thread, [{"type": "text", "text": f"{number} " + "x" * 3_000}, image(PNG)])
        await world.said(thread, f"answer {number}")
    world.model.info = replace(world.model.info, context_window=5_000)
    world.model.when("Summarise the conversation", say("six pictures"))
    await world.runtime.control(thread, Action.COMPACT)
    await world.noted(thread, "compaction", state="applied")
    request = world.model.requests[-1]
    assert attached(request) == 0
    assert sum(len(texts(message)) for message in request["messages"]) < 5_000 * 3
