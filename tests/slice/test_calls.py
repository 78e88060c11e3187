"""Tool calls: parallel, detached by whatever else concerns the model, answered exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import permutations
from typing import Any

import pytest
from tests.slice.scenes import World

from infinity.message import Action
from infinity.testing.replies import call, say, texts
from infinity.testing.tool_server import HANG, ToolServer, failing, tool

INJECTED = "receive_event__injected"


def _results(request: dict[str, Any]) -> list[str]:
    """Texts of the results in a request's last message, in order."""
    return [
        "".join(part.get("text", "") for part in block["content"])
        for block in request["messages"][-1]["content"]
        if block["type"] == "tool_result"
    ]


@pytest.mark.rap("INV-1", "INV-3", "INV-4")
async def test_a_call_goes_out_and_its_result_wakes_the_thread(tooled: World, server: ToolServer) -> None:
    tooled.model.then(call(("a", {"x": 1})), say("got it"))
    thread = await tooled.runtime.create()
    await tooled.runtime.send(thread, "go", user_id="user_42")
    invocation = await server.invoked()
    assert invocation.operation == "a"
    assert invocation.arguments == {"x": 1}
    assert invocation.body["group_id"] == thread
    assert invocation.body["user_id"] == "user_42"
    assert invocation.body.get("thread_ancestors") is None
    await tooled.settled(thread)
    assert len(tooled.model.requests) == 1
    assert await server.answer(invocation.id, text="42") == 200
    await tooled.said(thread, "got it")
    assert _results(tooled.model.requests[1]) == ["42"]


@pytest.mark.trap("L6", "L9")
@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_three_parallel_calls_are_answered_in_every_order(
    tooled: World, server: ToolServer, order: tuple[int, ...]
) -> None:
    tooled.model.then(call(("a", {}), ("b", {}), ("c", {})), say("all three"))
    thread = await tooled.thread("go")
    await server.invoked(3)
    ids = {each.operation: each.id for each in server.invocations}
    for index in order:
        name = "abc"[index]
        await server.answer(ids[name], text=f"result {name}")
    await tooled.said(thread, "all three")
    assert sorted(_results(tooled.model.requests[1])) == ["result a", "result b", "result c"]
    assert len(tooled.model.requests) == 2


@pytest.mark.rap("RUN-4")
@pytest.mark.trap("L4")
@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("talk_after", range(4))
async def test_talk_in_between_detaches_what_is_open_and_its_result_comes_as_an_event(
    tooled: World, server: ToolServer, order: tuple[int, ...], talk_after: int
) -> None:
    """Three calls answered in every order, the user talking at every point in between."""
    tooled.model.then(call(("a", {}), ("b", {}), ("c", {})))
    late = max(0, 3 - talk_after)
    tooled.model.then(*(say(f"reply {number}") for number in range(late + 2)))
    thread = await tooled.thread("go")
    await server.invoked(3)
    ids = {each.operation: each.id for each in server.invocations}
    for place, index in enumerate(order):
        if place == talk_after:
            await tooled.runtime.send(thread, "how is it going?")
            await tooled.said(thread, "reply 0")
        await server.answer(ids["abc"[index]], text=f"result {'abc'[index]}")
        await tooled.noted(thread, "call_ended", id=ids["abc"[index]])
        await tooled.settled(thread)
    if talk_after == 3:
        await tooled.said(thread, "reply 0")
        await tooled.runtime.send(thread, "how is it going?")
        await tooled.said(thread, "reply 1")
    final = tooled.model.requests[-1]["messages"]
    everything = "\n".join(texts(message) for message in final if message["role"] == "user")
    assert [everything.count(f"result {name}") for name in "abc"] == [1, 1, 1]
    assert everything.count("still running") == late
    events = [block for message in final for block in message["content"] if block.get("name") == INJECTED]
    assert len(events) == late
    for event in events:
        assert event["input"]["original_tool_call_id"] in ids.values()


@pytest.mark.trap("L5")
async def test_a_result_and_text_in_one_batch_answer_the_call_first(
    tooled: World, server: ToolServer
) -> None:
    tooled.model.then(call(("a", {})), say("both seen"))
    thread = await tooled.thread("go")
    invocation = await server.invoked()
    await tooled.settled(thread)
    async with _held(tooled):
        await tooled.runtime.send(thread, "and?")
        await server.answer(invocation.id, text="42")
    await tooled.said(thread, "both seen")
    last = tooled.model.requests[-1]["messages"][-1]
    assert [block["type"] for block in last["content"]] == ["tool_result", "text", "text"], (
        "the result, the time, the text"
    )
    assert "still running" not in texts(last)


@asynccontextmanager
async def _held(world: World) -> AsyncIterator[None]:
    """Nothing is taken meanwhile, so that what arrives becomes one batch."""
    taking = world.runtime.loop._taking
    assert taking is not None
    taking.cancel()
    await asyncio.wait([taking])
    yield
    world.runtime.loop.start()


@pytest.mark.rap("CB-4", "CAN-2")
@pytest.mark.trap("S6")
async def test_a_result_that_arrives_twice_is_applied_once(tooled: World, server: ToolServer) -> None:
    tooled.model.then(call(("a", {})), say("done"))
    thread = await tooled.thread("go")
    invocation = await server.invoked()
    statuses = [await server.answer(invocation.id, text="42") for _ in range(3)]
    await tooled.said(thread, "done")
    statuses.append(await server.answer(invocation.id, text="43"))
    await tooled.settled(thread)
    assert statuses == [200, 200, 200, 200]
    assert (await tooled.kinds(thread)).count("result") == 1


@pytest.mark.rap("CB-2")
async def test_a_result_for_another_threads_call_is_refused(tooled: World, server: ToolServer) -> None:
    tooled.model.then(call(("a", {})))
    thread = await tooled.thread("go")
    invocation = await server.invoked()
    other = await tooled.runtime.create()
    url = tooled.runtime.capabilities.url(other, invocation.id)
    body = b'{"type":"tool_result","group_id":"%s","id":"%s","text":"x"}' % (
        other.encode(),
        invocation.id.encode(),
    )
    assert await server.send(url, body) == 404
    assert await tooled.kinds(other) == ["user"]
    assert (await tooled.kinds(thread)).count("result") == 0


@pytest.mark.rap("INV-2")
@pytest.mark.trap("M1", "M2")
async def test_wrong_arguments_are_answered_to_the_model_and_nothing_is_sent(open_world: Any) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    async with ToolServer([tool("strict", schema=schema)]) as server:
        world = await open_world(servers=[server]).start()
        world.model.then(call(("strict", {"n": "three"})), call(("nothing_like_it", {})), say("I see"))
        thread = await world.thread("go")
        await world.said(thread, "I see")
        wrong, unknown = _results(world.model.requests[1])[0], _results(world.model.requests[2])[0]
        assert wrong.startswith("Error: ") and "n" in wrong
        assert unknown.startswith("Error: ") and "strict" in unknown
        assert server.invocations == []
        await world.close()


@pytest.mark.rap("SUB-3")
async def test_the_reserved_name_is_not_offered_and_cannot_be_called(tooled: World) -> None:
    tooled.model.then(call((INJECTED, {})), say("sorry"))
    thread = await tooled.thread("go")
    await tooled.said(thread, "sorry")
    assert INJECTED not in [each["name"] for each in tooled.model.requests[0]["tools"]]
    assert _results(tooled.model.requests[1])[0].startswith("Error: ")


@pytest.mark.rap("INV-6", "INV-7")
async def test_a_refused_invocation_is_not_repeated_and_the_model_hears_of_it(
    tooled: World, server: ToolServer
) -> None:
    server.behaviours["a"] = failing(422)
    tooled.model.then(call(("a", {})), say("it refused"))
    thread = await tooled.thread("go")
    await tooled.said(thread, "it refused")
    assert len(server.invocations) == 1
    assert "422" in _results(tooled.model.requests[1])[0]


@pytest.mark.rap("INV-5", "INV-7", "INV-8")
async def test_a_failing_server_is_tried_again_under_the_same_id_until_the_budget_is_spent(
    tooled: World, server: ToolServer
) -> None:
    server.behaviours["a"] = failing(503)
    tooled.model.then(call(("a", {})), say("it is down"))
    thread = await tooled.thread("go")
    tries = tooled.settings.retries.dispatch
    for number in range(1, tries + 1):
        await server.invoked(number)
        await tooled.until(lambda last=number == tries: last or tooled.clock.sleeping() > 0)
        tooled.clock.advance(61)
    await tooled.said(thread, "it is down")
    assert len({each.id for each in server.invocations}) == 1
    assert len(server.invocations) == tries


@pytest.mark.trap("B1")
async def test_a_server_that_never_answers_delays_nobody_else(open_world: Any) -> None:
    async with (
        ToolServer([tool("stuck")], behaviour=HANG, name="stuck") as bad,
        ToolServer([tool("fine")]) as good,
    ):
        world = await open_world(servers=[bad, good]).start()
        world.model.then(call(("stuck", {}), ("fine", {})), say("fine answered"), say("bye"))
        thread = await world.thread("go")
        fine = await good.invoked()
        await good.answer(fine.id, text="ok")
        await world.runtime.send(thread, "and now?")
        await world.said(thread, "fine answered")
        await world.close()


@pytest.mark.rap("RUN-5")
@pytest.mark.trap("B3")
async def test_a_call_past_its_deadline_is_answered_with_an_error(tooled: World, server: ToolServer) -> None:
    tooled.model.then(call(("a", {})), say("too late"))
    thread = await tooled.thread("go")
    invocation = await server.invoked()
    await tooled.settled(thread)
    tooled.clock.advance(tooled.settings.timeouts.call + 1)
    await tooled.said(thread, "too late")
    assert "3600 seconds" in _results(tooled.model.requests[1])[0]
    assert await server.answer(invocation.id, text="finally") == 409
    await tooled.settled(thread)
    assert len(tooled.model.requests) == 2


@pytest.mark.rap("INV-8")
@pytest.mark.trap("L3", "L14")
async def test_a_restart_sends_what_had_not_left_under_the_same_id(tooled: World, server: ToolServer) -> None:
    server.behaviours["a"] = failing(503)
    tooled.model.then(call(("a", {})), say("done"))
    thread = await tooled.thread("go")
    await server.invoked()
    await tooled.until(lambda: tooled.clock.sleeping() > 0)
    del server.behaviours["a"]
    tooled.clock.advance(1)
    await tooled.restart()
    await server.invoked(2)
    assert len({each.id for each in server.invocations}) == 1
    await server.answer(server.invocations[0].id, text="42")
    await tooled.said(thread, "done")


@pytest.mark.rap("CAN-1", "CAN-2")
async def test_an_interrupt_cancels_open_calls_and_their_late_results_are_dropped(
    tooled: World, server: ToolServer
) -> None:
    tooled.model.then(call(("a", {})), say("what now?"))
    thread = await tooled.thread("go")
    invocation = await server.invoked()
    await tooled.settled(thread)
    await tooled.runtime.control(thread, Action.INTERRUPT)
    await tooled.noted(thread, "call_ended", id=invocation.id, state="cancelled")
    await server.until(lambda: len(server.notices) == 1, "a cancel notice")
    assert server.notices == [("/cancel_tool_call", {"thread_id": thread, "tool_call_id": invocation.id})]
    assert await server.answer(invocation.id, text="LATE") == 200
    await tooled.settled(thread)
    assert len(tooled.model.requests) == 1
    await tooled.runtime.send(thread, "go on")
    await tooled.said(thread, "what now?")
    assert "LATE" not in str(tooled.model.requests[-1])
    assert ("LATE" not in str(await tooled.history(thread))) and await tooled.store.discards(thread)


@pytest.mark.rap("RES-1", "RES-3")
async def test_content_reaches_the_model_and_display_only_the_user(tooled: World, server: ToolServer) -> None:
    tooled.model.then(call(("a", {})), say("seen"))
    thread = await tooled.thread("go")
    invocation = await server.invoked()
    await server.answer(
        invocation.id,
        text="for nobody",
        content=[{"type": "text", "text": "for the model"}],
        display_as=[{"type": "diff", "content": {"path": "a.py", "patch": "…"}}],
    )
    await tooled.said(thread, "seen")
    assert _results(tooled.model.requests[1]) == ["for the model"]
    assert "a.py" not in str(tooled.model.requests[1])
    result = next(entry for entry in await tooled.history(thread) if entry["kind"] == "result")
    assert result["meta"]["display"][0]["content"]["path"] == "a.py"


@pytest.mark.rap("DISC-4", "DISC-3")
@pytest.mark.trap("S10")
async def test_tools_whose_names_clash_are_not_offered_and_the_user_of_the_thread_is_told(
    open_world: Any,
) -> None:
    first = ToolServer([tool("deploy"), tool("mine")], name="first")
    second = ToolServer([tool("deploy"), tool("sleep")], name="second")
    async with first, second, ToolServer(manifest={"name": "broken"}) as broken:
        world = await open_world(servers=[first, second, broken]).start()
        world.model.then(say("hello"))
        thread = await world.thread("hi")
        told = await world.noted(thread, "problem", code="toolset")
        assert "'deploy'" in told["text"] and "'sleep'" in told["text"] and "$" in told["text"]
        offered = [each["name"] for each in (await world.model.request(1))["tools"]]
        assert "deploy" not in offered and "mine" in offered and offered.count("sleep") == 1
        await world.close()


@pytest.mark.trap("S3")
async def test_a_choice_may_not_send_its_answer_to_another_configured_server(open_world: Any) -> None:
    async with ToolServer([tool("a")], name="one") as one, ToolServer([tool("b")], name="two") as two:
        world = await open_world(servers=[one, two]).start()
        world.model.then(call(("a", {})))
        await world.thread("go")
        invocation = await one.invoked()
        status = await one.say(
            invocation.id,
            "user_choice",
            id=invocation.id,
            prompt="?",
            choices=["a"],
            default=0,
            response_url=f"{two.base_url}/choice",
        )
        assert status == 400
        await world.close()


@pytest.mark.rap("DISC-5", "DISC-1")
async def test_a_tree_keeps_its_tools_until_they_are_reloaded_and_a_new_one_gets_fresh_ones(
    tooled: World, server: ToolServer
) -> None:
    tooled.model.then(*[say("hello")] * 4)
    thread = await tooled.thread("hi")
    await tooled.said(thread, "hello")
    server.tools = [tool("brand_new")]
    await tooled.restart()
    await tooled.runtime.send(thread, "again")
    await tooled.model.request(2)
    other = await tooled.thread("hi")
    await tooled.said(other, "hello")
    reloaded = await tooled.runtime.reload_tools(thread)
    assert "brand_new" in reloaded.names()
    await tooled.settled(thread)
    await tooled.runtime.send(thread, "and now?")
    await tooled.model.request(4)
    offered = [{each["name"] for each in request["tools"]} for request in tooled.model.requests]
    assert ["brand_new" in names for names in offered] == [False, False, True, True]
    assert offered[0] == offered[1]
