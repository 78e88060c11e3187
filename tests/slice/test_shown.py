"""What the model was shown for a turn can be read afterwards, as it was sent (``GET /v1/threads/{id}/entries/{position}/request``)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from tests.asking import asked
from tests.pictures import PNG, image
from tests.slice.scenes import World
from tests.slice.test_compaction import ASKED, talk
from tests.slice.test_fallback import LOOK, about, picky

from infinity.abc import read_entry
from infinity.api.errors import Refused
from infinity.api.shown import get_shown
from infinity.engine.slice import complete
from infinity.message import Action
from infinity.testing.replies import call, say


async def shown(world: World, thread: str) -> list[dict[str, Any]]:
    """For each turn of the thread, what the model was shown."""
    found = []
    for position, record in await world.store.entries(thread):
        if read_entry(record).kind == "turn":
            found.append((await asked(world.runtime, get_shown, id=thread, position=str(position)))[1])
    return found


def sent(world: World) -> list[Any]:
    """The messages of every request, in order; without those of summarisers."""
    return [
        request["messages"] for request in world.model.requests if ASKED not in str(request["messages"][-1])
    ]


async def test_every_turn_tells_what_was_sent_for_it(tooled: World, server: Any) -> None:
    tooled.model.then(call(("a", {"x": 1})), say("done"), say("more"))
    thread = await tooled.thread("go")
    await server.answer((await server.invoked()).id, "it is so")
    await tooled.said(thread, "done")
    await tooled.runtime.send(thread, "and now?")
    await tooled.said(thread, "more")
    found = await shown(tooled, thread)
    assert [each["messages"] for each in found] == sent(tooled) and len(found) == 3
    request = tooled.model.requests[-1]
    assert found[-1]["system"] == request["system"]
    assert found[-1]["tools"] == request["tools"] and "a" in {tool["name"] for tool in request["tools"]}
    assert found[-1]["parameters"]["max_tokens"] == request["max_tokens"]
    assert [each["exact"] for each in found] == [True, True, True]
    assert found[-1]["model_id"] == "model"


async def test_what_was_summarised_since_is_shown_as_it_was(world: World) -> None:
    thread = await world.thread()
    for round in range(2):
        await talk(world, thread, 10, first=10 * round)
        world.model.when(ASKED, say(f"summary {round}"))
        await world.runtime.control(thread, Action.COMPACT)
        await world.until(partial(applied, world, thread, round + 1))
    await talk(world, thread, 1, first=20)
    found = await shown(world, thread)
    assert [each["messages"] for each in found] == sent(world) and len(found) == 21
    assert all(each["exact"] for each in found)
    assert "summary 1" in str(found[-1]["messages"]) and "summary" not in str(found[9]["messages"])


async def applied(world: World, thread: str, times: int) -> bool:
    return (await world.kinds(thread)).count("summary") == times


async def test_a_child_tells_what_it_inherited(world: World) -> None:
    world.model.then(call(("spawn_thread", {"instructions": "count"})))
    world.model.when("Do only the following", say("one two three"))
    world.model.then(say("it counts"))
    thread = await world.thread("let somebody count")
    await world.said(thread, "it counts")
    (child,) = await world.store.threads(parent=thread)
    await world.said(child.id, "one two three")
    (found,) = await shown(world, child.id)
    assert found["exact"] and found["messages"] in sent(world)
    assert "let somebody count" in str(found["messages"][0])


async def test_a_simpler_form_is_shown_as_it_was_sent(world: World) -> None:
    world.model.then(*[picky(about("image.source.base64", PNG), say(text)) for text in ("first", "first")])
    thread = await world.thread()
    await world.runtime.send(thread, [LOOK, image(PNG)])
    await world.said(thread, "first")
    (found,) = await shown(world, thread)
    assert found["exact"] and found["messages"] == world.model.requests[-1]["messages"]
    assert "image left out" in str(found["messages"])


async def test_a_model_without_images_is_shown_to_have_seen_none(world: World) -> None:
    world.model.info = replace(world.model.info, images=False)
    world.model.then(say("first"))
    thread = await world.thread()
    await world.runtime.send(thread, [LOOK, image(PNG)])
    await world.said(thread, "first")
    world.model.info = replace(world.model.info, images=True)
    (found,) = await shown(world, thread)
    assert found["exact"] and found["messages"] == world.model.requests[-1]["messages"]


async def test_of_a_turn_of_an_earlier_version_the_messages_are_rendered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(complete, "_on_record", lambda *_: None)
    world.model.then(say("first"))
    thread = await world.thread("hello")
    await world.said(thread, "first")
    (found,) = await shown(world, thread)
    assert (found["exact"], found["system"], found["tools"], found["parameters"]) == (False, None, None, None)
    assert found["messages"] == world.model.requests[-1]["messages"]


async def test_what_is_no_turn_has_no_request(world: World) -> None:
    world.model.then(say("first"))
    thread = await world.thread("hello")
    await world.said(thread, "first")
    for position in ("0", "99", "x"):
        with pytest.raises(Refused):
            await asked(world.runtime, get_shown, id=thread, position=position)


async def test_what_turns_begin_with_is_kept_once_and_the_turn_names_it(world: World) -> None:
    world.model.then(say("one"), say("two"))
    threads = [await world.thread("go")]
    await world.said(threads[0], "one")
    await world.restart()
    threads.append(await world.thread("go"))
    await world.said(threads[1], "two")
    metas = [entry["meta"] for thread in threads for entry in await world.history(thread)]
    (name,) = {meta["prefix"] for meta in metas if "prefix" in meta}
    kept = await world.store.meta(f"prefix.{name}")
    assert b"You run inside Infinity" in kept and b"spawn_thread" in kept
    assert all(len(str(meta)) < 1_000 for meta in metas)
