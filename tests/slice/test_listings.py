"""Listings for people: a row says what its thread is about, what it has cost and why it waits; a history is read from its end; a question says what it is about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.asking import asked
from tests.slice.scenes import World

from infinity import Agent
from infinity.api import finding
from infinity.api.about import get_about
from infinity.api.entries import get_entry, list_entries
from infinity.api.errors import Refused
from infinity.api.prompts import list_prompts
from infinity.api.threads import get_thread, list_threads
from infinity.errors import BadRequest, ModelAuthentication
from infinity.message import Action
from infinity.settings import Limits, Policy
from infinity.testing.replies import call, say, texts
from infinity.testing.tool_server import ToolServer, tool

DESTRUCTIVE = {"destructive": True}


async def _rows(world: World, **query: str) -> dict[str, Any]:
    _, listed = await asked(world.runtime, list_threads, query)
    return {row["id"]: row for row in listed["threads"]}


async def test_a_row_says_how_it_began_what_was_said_last_and_what_it_cost(world: World) -> None:
    world.model.then(say("It   leaves at nine."), say("x" * 500))
    thread = await world.thread("When does the train to Bergen leave? " + "y" * 100)
    await world.said(thread, "It   leaves at nine.")
    await world.settled(thread)
    row = (await _rows(world))[thread]
    assert row["opening"].startswith("When does the train to Bergen leave? y") and len(row["opening"]) == 80
    assert (row["last"]["who"], row["last"]["text"]) == ("model", "It leaves at nine.")
    _, described = await asked(world.runtime, get_thread, id=thread)
    assert described["opening"] == row["opening"]
    assert row["usage"]["input"] == 10 and row["cost"] >= 0 and row["model"] == ""
    assert "state" not in row and "reason" not in row
    await world.runtime.send(thread, "And then?")
    await world.said(thread, "x" * 500)
    await world.settled(thread)
    row = (await _rows(world))[thread]
    assert row["opening"].startswith("When does") and row["last"]["text"] == "x" * 159 + "…"


async def test_a_row_gives_the_first_reason_of_the_explanation_and_what_can_be_done(
    tooled: World, server: ToolServer
) -> None:
    tooled.model.then(call(("a", {}), ("b", {})), say("done"))
    thread = await tooled.thread("go")
    await server.invoked(2)
    await tooled.settled(thread)
    row = (await _rows(tooled, explain="1"))[thread]
    explained = await tooled.runtime.explain(thread)
    assert (row["state"], row["more"]) == (explained.state, len(explained.reasons) - 1) == ("waiting", 1)
    assert (
        row["reason"]["tool"] in ("a", "b") and row["reason"]["server"] == explained.reasons[0].server != ""
    )
    assert row["reason"]["actions"] == ["cancel_call"] and row["reason"]["text"] == explained.reasons[0].text


async def test_a_question_says_who_asks_in_which_conversation_and_with_what(open_world: Any) -> None:
    async with ToolServer([tool("drop", annotations=DESTRUCTIVE)]) as server:
        world: World = await open_world(servers=[server]).start()
        world.model.then(call(("drop", {"name": "release"}), text="I would drop it."), say("as you like"))
        thread = await world.thread("tidy up")
        await world.noted(thread, "prompt")
        await world.settled(thread)
        _, listed = await asked(world.runtime, list_prompts)
        (prompt,) = listed["prompts"]
        assert (prompt["tool"], prompt["arguments"], prompt["annotations"]) == (
            "drop",
            {"name": "release"},
            DESTRUCTIVE,
        )
        assert prompt["toolset"] and (prompt["title"], prompt["root_title"]) == ("tidy up", "tidy up")
        assert (prompt["said"]["who"], prompt["said"]["text"]) == ("model", "I would drop it.")
        assert "until" not in prompt
        with pytest.raises(BadRequest, match="reason"):
            await world.runtime.choose(thread, prompt["id"], 0, reason="why not")
        await world.runtime.choose(thread, prompt["id"], 1, reason="The release is still in use.")
        await world.said(thread, "as you like")
        assert "The release is still in use." in texts(world.model.requests[-1]["messages"][-1])
        assert server.invocations == []
        await world.close()


async def test_a_history_is_read_from_its_end_and_backwards(world: World) -> None:
    world.model.then(*(say(f"answer {number}") for number in range(4)))
    thread = await world.thread("begin")
    for number in range(4):
        await world.said(thread, f"answer {number}")
        await world.settled(thread)
        if number < 3:
            await world.runtime.send(thread, f"question {number}")
    forwards = [entry["position"] for entry in (await _page(world, thread))["entries"]]
    found: list[int] = []
    before: int | None = 1 << 40
    while before is not None:
        page = await _page(world, thread, before=str(before), limit="3")
        found = [entry["position"] for entry in page["entries"]] + found
        assert len(page["entries"]) <= 3 and page["entries"]
        before = page["next"]
    assert found == forwards and len(found) > 6
    assert (await _page(world, thread, before="0"))["entries"] == []
    with pytest.raises(BadRequest, match="not both"):
        await _page(world, thread, before="3", after="1")


async def _page(world: World, thread: str, **query: str) -> Any:
    _, page = await asked(world.runtime, list_entries, query, id=thread)
    return page


async def test_the_host_says_what_it_is_and_what_is_allowed(open_world: Any) -> None:
    agent = Agent(policy=Policy(default="ask"), limits=Limits(tree_dollars=5.0))
    world: World = await open_world(agent=agent).start()
    _, about = await asked(world.runtime, get_about)
    assert about["policy"] == "ask" and about["budget"] == {"tokens": 0, "dollars": 5.0}
    await world.close()


async def test_those_who_need_a_person_are_listed_the_longest_first(open_world: Any) -> None:
    async with ToolServer([tool("drop", annotations=DESTRUCTIVE)]) as server:
        world: World = await open_world(servers=[server]).start()
        world.model.then(call(("drop", {})), call(("drop", {})), ModelAuthentication("no key"))
        threads = []
        for text in ("first", "second", "third"):
            threads.append(await world.thread(text))
            await world.noted(threads[-1], "slice")
            await world.settled(threads[-1])
            world.clock.advance(1)
        first, second, third = threads
        assert list(await _rows(world, attention="any")) == [first, second, third]
        assert list(await _rows(world, attention="prompt")) == [first, second]
        _, asking = await asked(world.runtime, list_prompts)
        assert [prompt["thread"] for prompt in asking["prompts"]] == [first, second]
        assert list(await _rows(world, attention="problem")) == [third]
        assert list(await _rows(world, attention="any", root=second)) == [second]
        found, after = [], ""
        while True:
            _, page = await asked(
                world.runtime, list_threads, {"attention": "any", "limit": "1", "after": after}
            )
            found += [row["id"] for row in page["threads"]]
            if (after := page["next"]) is None:
                break
        assert found == [first, second, third]
        for query in (
            {"attention": "all"},
            {"attention": "any", "after": "1:2"},
            {"attention": "any", "status": "idle"},
        ):
            with pytest.raises(BadRequest):
                await asked(world.runtime, list_threads, query)
        await world.close()


async def test_long_entries_are_cut_for_a_screen_and_have_an_address_of_their_own(world: World) -> None:
    long = "x" * 100_000
    world.model.then(say(long))
    thread = await world.thread("write a lot")
    await world.noted(thread, "slice")
    await world.settled(thread)
    *before, last = (await _page(world, thread, bodies="cut"))["entries"]
    assert len(last["assistant"][0]["text"]) == 4_000 and last["size"] > 100_000
    assert all("size" not in entry for entry in before)
    assert (await _page(world, thread))["entries"][-1]["assistant"][0]["text"] == long
    _, whole = await asked(world.runtime, get_entry, id=thread, position=str(last["position"]))
    assert whole["assistant"][0]["text"] == long and "size" not in whole
    for position in (str(last["position"] + 1), "x", "9" * 30):
        with pytest.raises(Refused, match="has no entry"):
            await asked(world.runtime, get_entry, id=thread, position=position)
    with pytest.raises(BadRequest, match="bodies"):
        await _page(world, thread, bodies="short")


async def test_a_child_is_known_by_what_it_was_told_to_do(world: World) -> None:
    world.model.then(call(("spawn_thread", {"instructions": "Compare  the\ncarriers."})))
    world.model.when("was created and works by itself", say("it is under way"))
    world.model.when("Compare", say("two of them"))
    thread = await world.thread("which carrier?")
    await world.said(thread, "it is under way")
    (child,) = await world.store.threads(parent=thread)
    await world.said(child.id, "two of them")
    await world.settled(child.id)
    row = (await _rows(world))[child.id]
    assert (row["opening"], row["last"]["text"]) == ("Compare the carriers.", "two of them")
    assert "tree_cost" not in row


async def test_a_root_says_what_its_whole_conversation_has_cost(world: World) -> None:
    world.model.info = replace(world.model.info, price=(5.0, 10.0, 0.0, 0.0))
    world.model.when("two of them", say("two carriers"))
    world.model.then(call(("spawn_thread", {"instructions": "Compare the carriers."})))
    world.model.when("was created and works by itself", say("it is under way"))
    world.model.when("Compare", say("two of them"))
    thread = await world.thread("which carrier?")
    await world.said(thread, "it is under way")
    (child,) = await world.store.threads(parent=thread)
    await world.said(child.id, "two of them")
    await world.settled(child.id)
    await world.said(thread, "two carriers")
    await world.settled(thread)
    rows = await _rows(world)
    spent = (await world.store.spent(thread))[1] / 1_000_000
    assert rows[thread]["tree_cost"] == spent > rows[thread]["cost"] > 0
    assert "tree_cost" not in rows[child.id]


async def _found(world: World, **query: str) -> list[str]:
    """Ids, over all pages."""
    found: list[str] = []
    while True:
        _, page = await asked(world.runtime, list_threads, query)
        found += [row["id"] for row in page["threads"]]
        if (after := page["next"]) is None:
            return found
        query["after"] = after


async def _talked(world: World, text: str, title: str = "", id: str | None = None) -> str:
    world.model.then(say("yes"))
    thread = await world.runtime.create(title=title, id=id)
    await world.runtime.send(thread, text)
    await world.said(thread, "yes")
    await world.settled(thread)
    world.clock.advance(1)
    return thread


async def test_threads_are_found_by_words_of_their_title_or_their_beginning_and_by_their_id(
    world: World,
) -> None:
    parcels = await _talked(world, "hello", title="Parcel report for Monday")
    train = await _talked(world, "When does the train to Bergen leave on Monday?")
    own = await _talked(world, "hello", id="nightly-build.1")
    assert await _found(world, q="monday") == [train, parcels]
    assert await _found(world, q="  MONDAY  parcel ") == [parcels]
    assert await _found(world, q="nightly-b") == [own]
    assert await _found(world, q="build.1") == [] == await _found(world, q="tuesday")
    assert await _found(world, q="monday", root=train) == [train]
    assert await _found(world, q="monday", limit="1") == [train, parcels]
    with pytest.raises(BadRequest, match="'q'"):
        await _found(world, q="x" * 501)


async def test_threads_are_found_by_the_state_that_their_explanation_gives(
    tooled: World, server: ToolServer
) -> None:
    idle = await _talked(tooled, "hello")
    closed, stopped = await _talked(tooled, "bye"), await _talked(tooled, "later")
    await tooled.runtime.control(closed, Action.CLOSE)
    await tooled.runtime.control(stopped, Action.STOP)
    for ended in (closed, stopped):
        await tooled.noted(ended, "status")
        await tooled.settled(ended)
    tooled.model.then(call(("a", {})), say("done"))
    waiting = await tooled.thread("go")
    await server.invoked(1)
    await tooled.settled(waiting)
    for state, thread in (("idle", idle), ("waiting", waiting), ("closed", closed), ("stopped", stopped)):
        assert await _found(tooled, state=state) == [thread]
        assert (await _rows(tooled, state=state, explain="1"))[thread]["state"] == state
    assert sorted(await _found(tooled, state="waiting,closed")) == sorted([waiting, closed])
    assert await _found(tooled, state="running,queued") == []
    assert await _found(tooled, state="waiting", q="go") == [waiting]
    for wrong in ("busy", "idle,", ","):
        with pytest.raises(BadRequest, match="'state'"):
            await _found(tooled, state=wrong)


async def test_threads_are_found_by_their_model(world: World) -> None:
    first, second = await _talked(world, "one"), await _talked(world, "two")
    await world.runtime.control(second, Action.MODEL, "test/model")
    await world.noted(second, "status")
    await world.settled(second)
    assert await _found(world, model="test/model") == [second]
    assert await _found(world, model="nobody/none") == []
    assert sorted(await _found(world, model="")) == sorted([first, second])


async def test_one_page_of_a_search_looks_at_a_bounded_number_of_threads(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "LOOKED_AT", 2)
    oldest = await _talked(world, "the needle")
    others = [await _talked(world, "hay") for _ in range(4)]
    _, page = await asked(world.runtime, list_threads, {"q": "needle"})
    assert page["threads"] == [] and page["next"].endswith(others[-2])
    assert await _found(world, q="needle") == [oldest]
    # Without a filter a page is as long as it is asked to be.
    _, page = await asked(world.runtime, list_threads)
    assert len(page["threads"]) == 5 and page["next"] is None


async def test_those_who_need_a_person_are_found_by_words_as_well(open_world: Any) -> None:
    async with ToolServer([tool("drop", annotations=DESTRUCTIVE)]) as server:
        world: World = await open_world(servers=[server]).start()
        world.model.then(call(("drop", {})), call(("drop", {})))
        threads = []
        for text in ("tidy the attic", "tidy the cellar"):
            threads.append(await world.thread(text))
            await world.noted(threads[-1], "prompt")
            await world.settled(threads[-1])
        assert await _found(world, attention="prompt", q="cellar") == threads[1:]
        assert await _found(world, attention="prompt", q="TIDY") == threads
        await world.close()
