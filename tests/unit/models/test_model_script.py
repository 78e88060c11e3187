"""Scripts: rules over the last user message, and nothing else."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from infinity.abc.model import ModelRequest, Part, Text, Turn
from infinity.errors import InvalidModelRequest
from infinity.models.default_script import default_script
from infinity.models.scripted import DEFAULT, ScriptedModel
from infinity.testing.script import PromptView, Reply, Script, read_prompt

SLEEP = {
    "name": "sleep_until_event_or_input",
    "input_schema": {
        "type": "object",
        "properties": {"reason": {"type": "string"}, "seconds": {"type": "number"}},
    },
}
RUN = {"name": "run_suite", "input_schema": {"type": "object"}}


def user(*blocks: str | dict[str, Any]) -> dict[str, Any]:
    return {
        "role": "user",
        "content": [{"type": "text", "text": block} if isinstance(block, str) else block for block in blocks],
    }


def turn(*calls: tuple[str, str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": [
            {"type": "tool_use", "id": id, "name": name, "input": arguments} for id, name, arguments in calls
        ],
    }


def result(id: str, text: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id, "content": [{"type": "text", "text": text}]}


def heard(*messages: dict[str, Any], tools: tuple[dict[str, Any], ...] = ()) -> PromptView:
    return read_prompt({"messages": list(messages), "tools": list(tools)})


def said(reply: Reply) -> str:
    return "".join(step.text for step in reply.steps if hasattr(step, "text") and isinstance(step.text, str))


EVENT = (
    "toolu_9",
    "receive_event__injected",
    {"original_tool_name": "watch", "original_tool_call_id": "c1", "original_args": {"path": "."}},
)


async def answer(script: Script | None, *messages: dict[str, Any]) -> list[Part]:
    request = ModelRequest(DEFAULT, "", b"[]", msgspec.json.encode(list(messages)), 100)
    return [part async for part in ScriptedModel(script).stream(request)]


def test_a_script_reads_like_the_conversation() -> None:
    script = (
        Script()
        .when("run the tests")
        .say("Starting.")
        .call("run_suite", path=".")
        .then()
        .say("All green.")
        .when_event("watch", "changed")
        .say("It changed.")
        .when_result("deploy", re.compile(r"^ok"))
        .say("Deployed.")
        .otherwise()
        .say("What?")
    )
    call = ("t1", "run_suite", {"path": "."})
    assert said(script.reply_to(heard(user("Please RUN THE TESTS now")))) == "Starting."
    assert (
        said(script.reply_to(heard(user("x"), turn(call), user(result("t1", "12 passed"))))) == "All green."
    )
    assert (
        said(script.reply_to(heard(user("x"), turn(EVENT), user(result("toolu_9", "it changed")))))
        == "It changed."
    )
    deployed: tuple[str, str, dict[str, Any]] = ("t2", "deploy", {})
    assert (
        said(script.reply_to(heard(user("x"), turn(deployed), user(result("t2", "ok: live"))))) == "Deployed."
    )
    assert said(script.reply_to(heard(user("x"), turn(deployed), user(result("t2", "no"))))) == "What?"


def test_then_is_for_these_calls_and_nothing_else() -> None:
    script = Script().when("go").call("run", n=1).then().say("done").otherwise().say("else")
    results = user(result("t1", "ok"))
    assert said(script.reply_to(heard(user("go"), turn(("t1", "run", {"n": 1})), results))) == "done"
    assert said(script.reply_to(heard(user("go"), turn(("t1", "run", {"n": 2})), results))) == "else"
    assert said(script.reply_to(heard(user("go"), turn(("t1", "walk", {"n": 1})), results))) == "else"
    spoken = user(result("t1", "ok"), "wait")
    assert said(script.reply_to(heard(user("go"), turn(("t1", "run", {"n": 1})), spoken))) == "else"


def test_then_needs_a_call_before_it() -> None:
    with pytest.raises(ValueError, match="call"):
        Script().when("x").say("y").then()
    with pytest.raises(ValueError, match="when"):
        Script().say("y")


async def test_the_same_request_gets_the_same_answer_from_a_new_script() -> None:
    def script() -> Script:
        return Script().otherwise().think("hm").say(lambda prompt: f"you said {prompt.text}").call("run")

    first = await answer(script(), user("a"))
    assert first == await answer(script(), user("a"))
    assert first[-1] != (await answer(script(), user("b")))[-1]


async def test_call_ids_differ_from_turn_to_turn() -> None:
    script = Script().otherwise().call("run").call("run")
    first = (await answer(script, user("a")))[-1]
    assert isinstance(first, Turn)
    ids = [call.id for call in first.calls]
    history = (user("a"), turn(*((id, "run", {}) for id in ids)), user(*(result(id, "x") for id in ids)))
    second = (await answer(script, *history))[-1]
    assert isinstance(second, Turn)
    assert len({*ids, *(call.id for call in second.calls)}) == 4


async def test_a_sequence_answers_once_each_and_then_fails() -> None:
    script = Script.sequence("one", Reply().say("two"))
    assert (await answer(script, user("x")))[0] == Text("one")
    assert (await answer(script, user("x")))[0] == Text("two")
    with pytest.raises(InvalidModelRequest, match="used up"):
        await answer(script, user("x"))


async def test_a_script_without_an_answer_says_so_without_repeating_what_was_said() -> None:
    with pytest.raises(InvalidModelRequest, match="no answer to 13 characters of text"):
        await answer(Script().when("other"), user("secret words!"))


async def test_the_default_script_says_that_it_is_one() -> None:
    (final,) = [part for part in await answer(None, user("hello")) if isinstance(part, Turn)]
    assert "You said: hello" in final.blocks[0]["text"] and "scripted model" in final.blocks[0]["text"]
    (final,) = [part for part in await answer(None, user("/help")) if isinstance(part, Turn)]
    assert "ANTHROPIC_API_KEY" in final.blocks[0]["text"]


def test_the_default_script_calls_tools_in_parallel() -> None:
    reply = default_script().reply_to(
        heard(user('/call run_suite {"path": "."}\n/call run_suite'), tools=(RUN,))
    )
    assert [(call.tool, call.arguments) for call in reply.calls] == [
        ("run_suite", {"path": "."}),
        ("run_suite", {}),
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/call deploy", "There is no tool 'deploy'. Tools on offer: run_suite, sleep_until_event_or_input."),
        ("/call run_suite {bad", "I did not call run_suite: the arguments are not valid JSON"),
        ("/call run_suite [1]", "the arguments are not a JSON object"),
        ("/long 3", "word1 word2 word3"),
        ("/think of it", "I thought about it."),
    ],
)
def test_the_default_script_explains_what_it_cannot_do(line: str, expected: str) -> None:
    reply = default_script().reply_to(heard(user(line), tools=(RUN, SLEEP)))
    assert expected in said(reply)


PARCELS = {
    "name": "parcels",
    "input_schema": {
        "type": "object",
        "properties": {"day": {"type": "string"}, "most": {"type": "integer"}, "fast": {"type": "boolean"}},
    },
}


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("Call parcels with day=monday.", {"day": "monday"}),
        (
            "please call parcels with day=monday, most=3, fast=true",
            {"day": "monday", "most": 3, "fast": True},
        ),
        ('Call parcels with day="next monday", most=many', {"day": "next monday", "most": "many"}),
        ("Call parcels with day=7, other=1.5!", {"day": "7", "other": "1.5"}),
        ("call parcels", {}),
    ],
)
def test_the_default_script_calls_a_tool_that_it_is_asked_to_call_in_words(
    line: str, arguments: dict[str, Any]
) -> None:
    reply = default_script().reply_to(heard(user(line), tools=(PARCELS, SLEEP)))
    assert reply == Reply().call_raw("parcels", arguments)


def test_the_default_script_calls_nothing_that_it_was_not_shown() -> None:
    reply = default_script().reply_to(heard(user("Call parcels with day=monday."), tools=(SLEEP,)))
    assert "You said" in said(reply)


def test_the_default_script_sleeps_with_the_tool_on_offer() -> None:
    reply = default_script().reply_to(heard(user("sleep 3"), tools=(RUN, SLEEP)))
    assert [(call.tool, call.arguments) for call in reply.calls] == [
        ("sleep_until_event_or_input", {"seconds": 3.0})
    ]
    assert "You said" in said(default_script().reply_to(heard(user("sleep 3"), tools=(RUN,))))


def test_the_default_script_reports_results_and_events() -> None:
    results = heard(user("x"), turn(("t1", "run_suite", {})), user(result("t1", "12 passed")))
    assert said(default_script().reply_to(results)) == "run_suite answered: 12 passed"
    event = heard(user("x"), turn(EVENT), user(result("toolu_9", "it changed")))
    assert said(default_script().reply_to(event)) == "Event from watch: it changed"


def test_the_default_script_fails_on_demand() -> None:
    assert default_script().reply_to(heard(user("/fail 429"))) == Reply().fail(429)


def test_what_is_heard_is_the_last_message_and_its_calls() -> None:
    listened = heard(
        user("old"),
        turn(("t1", "run", {"n": 1}), EVENT),
        user(result("t1", "one"), result("toolu_9", "two"), "new", {"type": "image", "source": {}}),
        tools=(RUN,),
    )
    assert listened.text == "new" and listened.images == 1
    assert [(each.tool, each.arguments, each.text) for each in listened.results] == [("run", {"n": 1}, "one")]
    assert [(each.tool, each.call_id, each.arguments, each.text) for each in listened.events] == [
        ("watch", "c1", {"path": "."}, "two")
    ]
    assert list(listened.tools) == ["run_suite"]
