"""A person who is asked about a call may change its arguments: the call leaves with theirs, and the model is told (DISC-9)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from tests.asking import asked
from tests.slice.scenes import World

from infinity import Agent
from infinity.api.messages import answer_prompt
from infinity.api.prompts import list_prompts
from infinity.engine import consent
from infinity.engine.slice import state
from infinity.errors import AlreadyAnswered, BadRequest
from infinity.settings import Policy
from infinity.testing.replies import call, say
from infinity.testing.tool_server import ToolServer, tool

SCHEMA = {
    "type": "object",
    "properties": {"loaves": {"type": "integer", "maximum": 10}},
    "required": ["loaves"],
    "additionalProperties": False,
}
TOOLS = [tool("bake", schema=SCHEMA), tool("pay", schema=SCHEMA)]
POLICY = Policy(default="ask", edit={"pay": False})


@asynccontextmanager
async def _baking(open_world: Any) -> AsyncIterator[tuple[World, ToolServer]]:
    async with ToolServer(TOOLS) as server:
        world: World = await open_world(servers=[server], agent=Agent(policy=POLICY)).start()
        yield world, server
        await world.close()


async def _asks(world: World, name: str = "bake") -> tuple[str, dict[str, Any]]:
    world.model.then(call((name, {"loaves": 9})), say("done"))
    thread = await world.thread("go")
    await world.noted(thread, "prompt")
    await world.settled(thread)
    _, found = await asked(world.runtime, list_prompts)
    return thread, found["prompts"][0]


def _results(history: list[dict[str, Any]]) -> list[str]:
    return [
        "".join(part["text"] for part in block["content"])
        for entry in history
        if entry["kind"] == "result"
        for block in entry["user"]
        if block["type"] == "tool_result"
    ]


async def test_a_call_leaves_with_the_arguments_of_the_person_and_its_turn_stays(open_world: Any) -> None:
    async with _baking(open_world) as (world, server):
        thread, prompt = await _asks(world)
        assert prompt["editable"] is True and prompt["arguments"] == {"loaves": 9}
        body = {"selected": 0, "arguments": {"loaves": 3}, "user_id": "ada"}
        status, _ = await asked(world.runtime, answer_prompt, body=body, id=thread, choice_id=prompt["id"])
        assert status == 200
        invocation = await server.invoked()
        assert invocation.arguments == {"loaves": 3}
        found = await world.store.find_call(prompt["call_id"])
        assert found is not None and msgspec.json.decode(found[0].arguments) == {"loaves": 3}
        closed = await world.noted(thread, "prompt_closed")
        assert closed["user_id"] == "ada" and set(closed["edited"]) == {"before", "after"}
        assert closed["edited"]["before"] != closed["edited"]["after"]
        await server.answer(invocation.id, text="three loaves")
        await world.said(thread, "done")
        await world.settled(thread)
        history = await world.history(thread)
        assert _results(history) == [
            'The user changed the arguments to {"loaves":3} before allowing it.three loaves'
        ]
        turn = next(entry for entry in history if entry["kind"] == "turn")
        assert [block["input"] for block in turn["assistant"] if block["type"] == "tool_use"] == [
            {"loaves": 9}
        ]


async def test_what_is_allowed_as_it_is_says_nothing_of_changes(open_world: Any) -> None:
    async with _baking(open_world) as (world, server):
        thread, prompt = await _asks(world)
        await world.runtime.choose(thread, prompt["id"], 0)
        invocation = await server.invoked()
        assert "edited" not in await world.noted(thread, "prompt_closed")
        await server.answer(invocation.id, text="many loaves")
        await world.said(thread, "done")
        await world.settled(thread)
        assert _results(await world.history(thread)) == ["many loaves"]


@pytest.mark.parametrize(
    ("given", "selected", "why"),
    [
        ({"loaves": 11}, 0, "does not take these arguments"),
        ({"loafs": 1}, 0, "does not take these arguments"),
        ({"loaves": 3}, 1, "leave them out"),
        ({"loaves": 3}, None, "leave them out"),
    ],
)
async def test_arguments_that_cannot_be_are_refused_with_the_reason(
    open_world: Any, given: dict[str, Any], selected: int | None, why: str
) -> None:
    async with _baking(open_world) as (world, _):
        thread, prompt = await _asks(world)
        with pytest.raises(BadRequest, match=why):
            await world.runtime.choose(thread, prompt["id"], selected, arguments=given)
        assert [row.id for row in await world.store.prompts(thread)] == [prompt["id"]]


async def test_the_policy_says_of_which_tools_arguments_may_be_changed(open_world: Any) -> None:
    async with _baking(open_world) as (world, server):
        thread, prompt = await _asks(world, "pay")
        assert prompt["editable"] is False
        with pytest.raises(BadRequest, match="cannot be changed"):
            await world.runtime.choose(thread, prompt["id"], 0, arguments={"loaves": 3})
        assert server.invocations == []


async def test_of_two_answers_with_different_arguments_one_counts_and_the_other_is_refused(
    open_world: Any,
) -> None:
    async with _baking(open_world) as (world, server):
        thread, prompt = await _asks(world)
        given = [{"loaves": 3}, {"loaves": 4}]
        outcomes = await asyncio.gather(
            *(world.runtime.choose(thread, prompt["id"], 0, arguments=each) for each in given),
            return_exceptions=True,
        )
        refused = [isinstance(outcome, AlreadyAnswered) for outcome in outcomes]
        assert sorted(refused) == [False, True]
        assert (await server.invoked()).arguments == given[refused.index(False)]


@pytest.mark.parametrize("what", ["gone", "another", "forbidden"])
async def test_what_has_changed_since_the_answer_never_lets_the_call_leave_with_other_arguments(
    open_world: Any, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The answer was good when it was accepted; its slice finds another catalog, or another policy."""
    async with _baking(open_world) as (world, server):
        thread, prompt = await _asks(world)
        if what == "gone":
            monkeypatch.setattr(state.Slice, "offer", lambda *_: None)
        elif what == "another":
            kept = state.Slice.offer

            def other(current: state.Slice, name: str) -> Any:
                offer = kept(current, name)
                return _Refusing(offer) if offer is not None else None

            monkeypatch.setattr(state.Slice, "offer", other)
        else:
            monkeypatch.setattr(consent, "editable", lambda *_: False)
        body = {"selected": 0, "arguments": {"loaves": 3}}
        status, _ = await asked(world.runtime, answer_prompt, body=body, id=thread, choice_id=prompt["id"])
        assert status == 200
        await world.said(thread, "done")
        (told,) = _results(await world.history(thread))
        words = {"gone": "no tool server offers it", "another": "stale", "forbidden": "policy"}[what]
        assert told.startswith("Error:") and words in told
        assert server.invocations == []


class _Refusing:
    """A tool that takes other arguments now."""

    def __init__(self, offer: Any) -> None:
        self._offer = offer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._offer, name)

    def problems(self, _: Any) -> list[str]:
        return ["loaves are stale"]
