"""Turns from chunks and events, of endpoints that copy OpenAI's API more or less."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from infinity import errors
from infinity.abc.model import ModelCall, ModelRequest, Reasoning, Text, ToolUse, Turn, Usage
from infinity.models.chat_reading import ChatTurn
from infinity.models.openai_chat import body
from infinity.models.openai_edge import Conversation
from infinity.models.openai_models import info
from infinity.models.openai_responses import ResponsesTurn
from infinity.models.openai_responses import body as responses_body


def conversation(*messages: dict[str, Any]) -> Conversation:
    said = messages or ({"role": "user", "content": "x"},)
    return Conversation(ModelRequest(info("some/model"), "", b"[]", msgspec.json.encode(said), 9), "here")


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"delta": delta, "finish_reason": finish}]}


def chat(*chunks: dict[str, Any]) -> tuple[list[Any], Turn]:
    turn = ChatTurn(conversation())
    parts = [part for each in chunks for part in turn.apply(each)]
    return parts, turn.finish()


def call(arguments: str | None = None, **fields: Any) -> dict[str, Any]:
    name = fields.pop("name", None)
    return {**fields, "function": {"name": name, "arguments": arguments}}


def test_parallel_calls_may_be_interleaved() -> None:
    parts, turn = chat(
        chunk(tool_calls=[call("", index=0, id="a", name="one"), call("", index=1, id="b", name="two")]),
        chunk(tool_calls=[call('{"n":', index=1)]),
        chunk(tool_calls=[call("{}", index=0), call("2}", index=1)]),
        chunk("tool_calls"),
    )
    assert parts == [ToolUse("a", "one"), ToolUse("b", "two")]
    assert turn.calls == (ModelCall("a", "one", {}), ModelCall("b", "two", {"n": 2}))


def test_calls_without_index_are_told_apart_by_their_ids() -> None:
    _, turn = chat(
        chunk(tool_calls=[call("{}", id="a", name="one")]),
        chunk(tool_calls=[call("{}", id="b", name="two")]),
        chunk("stop"),
    )
    assert [(each.id, each.tool) for each in turn.calls] == [("a", "one"), ("b", "two")]
    assert turn.stop_reason == "tool_use"


def test_calls_without_ids_get_some() -> None:
    _, turn = chat(
        chunk(tool_calls=[call("{}", index=0, name="one"), call("{}", index=1, id="", name="two")]),
        chunk("tool_calls"),
    )
    assert len({each.id for each in turn.calls}) == 2


def test_a_call_that_was_whole_when_the_answer_was_cut_was_made() -> None:
    _, turn = chat(chunk(tool_calls=[call("{}", index=0, id="a", name="one")]), chunk("length"))
    assert [each.id for each in turn.calls] == ["a"]


@pytest.mark.trap("M8")
@pytest.mark.parametrize("reason", ["error", "abort", "insufficient_system_resource", "Unknown"])
def test_only_the_known_good_ends_make_a_turn(reason: str) -> None:
    with pytest.raises(errors.ModelUnavailable, match=reason):
        chat(chunk(content="half"), chunk(reason))


@pytest.mark.parametrize("broken", [[], [chunk(content="half")], [{"choices": []}]])
def test_an_answer_without_an_end_is_no_turn(broken: list[dict[str, Any]]) -> None:
    with pytest.raises(errors.ModelUnavailable, match="broke off"):
        chat(*broken)


def test_a_call_without_a_name_is_an_error() -> None:
    with pytest.raises(errors.ModelUnavailable, match="without a name"):
        chat(chunk(tool_calls=[call("{}", index=0, id="a")]), chunk("tool_calls"))


def test_a_refusal_is_shown_and_told() -> None:
    parts, turn = chat(chunk(refusal="I will not."), chunk("stop"))
    assert parts == [Text("I will not.")] and turn.stop_reason == "refusal"
    assert turn.blocks == [{"type": "text", "text": "I will not."}]


@pytest.mark.trap("M3")
@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_goes_back_under_the_name_it_came_by(field: str) -> None:
    parts, turn = chat(chunk(**{field: "hm "}), chunk(**{field: "ok"}), chunk(content="x"), chunk("stop"))
    assert parts == [Reasoning("hm "), Reasoning("ok"), Text("x")]
    back = body(conversation({"role": "assistant", "content": turn.blocks}))["messages"][0]
    assert back == {"role": "assistant", "content": "x", field: "hm ok"}


@pytest.mark.trap("M3")
def test_details_of_reasoning_go_back_as_they_came() -> None:
    _, turn = chat(
        chunk(reasoning="h", reasoning_details=[{"type": "reasoning.text", "index": 0, "text": "h"}]),
        chunk(reasoning_details=[{"type": "reasoning.text", "index": 0, "text": "m", "signature": "s=="}]),
        chunk(reasoning_details=[{"type": "reasoning.encrypted", "index": 1, "data": "e"}]),
        chunk(content="x"),
        chunk("stop"),
    )
    back = body(conversation({"role": "assistant", "content": turn.blocks}))["messages"][0]
    assert back["reasoning_details"] == [
        {"type": "reasoning.text", "index": 0, "text": "hm", "signature": "s=="},
        {"type": "reasoning.encrypted", "index": 1, "data": "e"},
    ]


@pytest.mark.trap("M3")
def test_what_came_with_a_call_goes_back_with_it() -> None:
    extra = {"google": {"thought_signature": "sig"}}
    _, turn = chat(
        chunk(tool_calls=[call("{}", index=0, id="a", name="one"), call("{}", index=1, id="b", name="two")]),
        chunk(tool_calls=[{"index": 1, "extra_content": extra}]),
        chunk("tool_calls"),
    )
    back = body(conversation({"role": "assistant", "content": turn.blocks}))["messages"][0]["tool_calls"]
    assert [each.get("extra_content") for each in back] == [None, extra]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": "rate_limit_exceeded", "message": "slow"}, errors.RateLimited),
        ({"code": 503, "message": "busy"}, errors.ModelUnavailable),
        ({"type": "overloaded_error"}, errors.Overloaded),
        ({"code": "context_length_exceeded"}, errors.ContextTooLong),
        ({"code": "content_filter"}, errors.ModelRefused),
        ("nonsense", errors.ModelUnavailable),
        ({"code": 402, "message": "no credits"}, errors.ModelAuthentication),
        ({"code": "429"}, errors.RateLimited),
        ({"code": 400, "message": "the maximum context length is 32768 tokens"}, errors.ContextTooLong),
        ({"code": 7}, errors.ModelUnavailable),
        ([{"code": 401}], errors.ModelAuthentication),
    ],
)
def test_an_error_in_a_chunk_is_typed(error: Any, expected: type[errors.ModelError]) -> None:
    with pytest.raises(errors.ModelError) as caught:
        chat({"error": error})
    assert type(caught.value) is expected


def responses(*events: dict[str, Any]) -> tuple[list[Any], Turn]:
    turn = ResponsesTurn(conversation())
    parts = [part for each in events for part in turn.apply(each)]
    return parts, turn.finish()


def test_items_of_the_end_are_those_that_count() -> None:
    message = {"type": "message", "content": [{"type": "output_text", "text": "whole"}]}
    done = {"type": "response.output_item.done", "output_index": 0, "item": message}
    for output in ([message], []):
        end = {"type": "response.completed", "response": {"output": output}}
        assert responses(done, end)[1] == Turn([{"type": "text", "text": "whole"}], (), "end_turn", Usage())


def test_parts_of_a_summary_are_paragraphs() -> None:
    summary = [{"type": "summary_text", "text": "one"}, {"type": "summary_text", "text": "two"}]
    item = {"type": "reasoning", "id": "rs", "summary": summary, "encrypted_content": "e"}
    message = {"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}
    parts, turn = responses(
        {"type": "response.reasoning_summary_part.added", "summary_index": 0},
        {"type": "response.reasoning_summary_text.delta", "delta": "one"},
        {"type": "response.reasoning_summary_part.added", "summary_index": 1},
        {"type": "response.reasoning_summary_text.delta", "delta": "two"},
        {"type": "response.something_new", "whatever": 1},
        {"type": "response.completed", "response": {"output": [item, message, {"type": "something_new"}]}},
    )
    assert "".join(part.text for part in parts) == "one\n\ntwo" == turn.blocks[0]["thinking"]
    assert turn.stop_reason == "refusal"


@pytest.mark.trap("L8")
@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"type": "error", "code": "server_error", "message": "m"}, errors.ModelUnavailable),
        ({"type": "response.failed", "response": {"error": {"code": "invalid_prompt"}}}, errors.ModelRefused),
        ({"type": "response.failed", "response": {"error": None}}, errors.ModelUnavailable),
        ({"type": "response.created", "response": {}}, errors.ModelUnavailable),
    ],
)
def test_a_response_that_fails_is_no_turn(event: dict[str, Any], expected: type[errors.ModelError]) -> None:
    with pytest.raises(errors.ModelError) as caught:
        responses(event)
    assert type(caught.value) is expected


@pytest.mark.trap("M3")
def test_the_phase_of_a_message_goes_back_with_it() -> None:
    def message(phase: str | None, *texts: str) -> dict[str, Any]:
        parts = [{"type": "output_text", "text": text} for text in texts]
        return {"type": "message", "content": parts} | ({"phase": phase} if phase else {})

    output = [message("commentary", "I look", "first."), message(None, "Hm."), message("final_answer", "So.")]
    _, turn = responses({"type": "response.completed", "response": {"output": output}})
    back = responses_body(conversation({"role": "assistant", "content": turn.blocks}))["input"]
    assert [(item["content"], item.get("phase")) for item in back] == [
        ("I look", "commentary"),
        ("first.", "commentary"),
        ("Hm.", None),
        ("So.", "final_answer"),
    ]


@pytest.mark.trap("M3")
def test_reasoning_without_encrypted_content_stays_behind() -> None:
    items = [
        {"type": "reasoning", "id": "rs", "summary": []},
        {"type": "message", "content": [{"type": "output_text", "text": "x"}]},
    ]
    _, turn = responses({"type": "response.completed", "response": {"output": items}})
    back = responses_body(conversation({"role": "assistant", "content": turn.blocks}))["input"]
    assert [item["type"] for item in back] == ["message"]
