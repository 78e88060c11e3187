"""The open turn: what a stream of events adds up to."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from infinity.abc.model import ModelCall, Part, Reasoning, Text, ToolUse, Turn, Usage
from infinity.errors import ContextTooLong, ModelUnavailable
from infinity.models import reasoning
from infinity.models.edge import checked
from infinity.models.events import decode
from infinity.models.turn import OpenTurn, parse_arguments


def start(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def end(reason: str, **usage: int) -> list[dict[str, Any]]:
    return [
        {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 7, **usage}},
        {"type": "message_stop"},
    ]


def text(index: int, *pieces: str) -> list[dict[str, Any]]:
    return [
        start(index, type="text", text=""),
        *(delta(index, "text_delta", text=piece) for piece in pieces),
        stop(index),
    ]


def call(
    index: int, *pieces: str, id: str = "toolu_1", name: str = "run", **fields: Any
) -> list[dict[str, Any]]:
    return [
        start(index, type="tool_use", id=id, name=name, input={}, **fields),
        *(delta(index, "input_json_delta", partial_json=piece) for piece in pieces),
        stop(index),
    ]


def play(events: list[dict[str, Any]]) -> tuple[list[Part], OpenTurn]:
    turn = OpenTurn()
    parts: list[Part] = []
    for event in events:
        decoded = decode(msgspec.json.encode(event))
        if decoded is not None and (part := turn.apply(decoded)) is not None:
            parts.append(part)
    return parts, turn


def finish(*events: list[dict[str, Any]]) -> Turn:
    return play([event for group in events for event in group])[1].finish()


def test_pieces_are_shown_live_and_joined_in_the_turn() -> None:
    parts, turn = play(
        [
            start(0, type="thinking", thinking="", signature=""),
            delta(0, "thinking_delta", thinking="Let me "),
            delta(0, "thinking_delta", thinking="see."),
            delta(0, "signature_delta", signature="sig=="),
            stop(0),
            *text(1, "Hel", "lo"),
            *call(2, '{"pa', 'th": "."}'),
            *end("tool_use"),
        ]
    )
    assert parts == [
        Reasoning("Let me "),
        Reasoning("see."),
        Text("Hel"),
        Text("lo"),
        ToolUse("toolu_1", "run"),
    ]
    assert turn.finish() == Turn(
        [
            {"type": "thinking", "thinking": "Let me see.", "signature": "sig=="},
            {"type": "text", "text": "Hello"},
            {"type": "tool_use", "id": "toolu_1", "name": "run", "input": {"path": "."}},
        ],
        (ModelCall("toolu_1", "run", {"path": "."}),),
        "tool_use",
        Usage(output=7),
    )


@pytest.mark.trap("M3")
def test_what_the_provider_wants_back_is_kept_as_it_came() -> None:
    citation = {"type": "char_location", "cited_text": "x", "document_index": 0}
    turn = finish(
        [
            start(0, type="redacted_thinking", data="opaque=="),
            stop(0),
            start(1, type="thinking", thinking="", signature=""),
            delta(1, "signature_delta", signature="omitted=="),
            stop(1),
            start(2, type="text", text="", citations=[]),
            delta(2, "text_delta", text="cited"),
            delta(2, "citations_delta", citation=citation),
            delta(2, "citations_delta", citation=citation),
            stop(2),
        ],
        call(3, caller={"type": "direct"}),
        end("tool_use"),
    )
    assert turn.blocks == [
        {"type": "redacted_thinking", "data": "opaque=="},
        {"type": "thinking", "thinking": "", "signature": "omitted=="},
        {"type": "text", "text": "cited", "citations": [citation, citation]},
        {"type": "tool_use", "id": "toolu_1", "name": "run", "input": {}, "caller": {"type": "direct"}},
    ]


@pytest.mark.trap("M1")
@pytest.mark.parametrize(
    "arguments",
    [
        '{"path": ',
        "[1]",
        '"text"',
        "null",
        '{"a": 1} trailing',
        "nonsense",
        '{"a": "\\ud800"}',
        "[" * 100_000,
    ],
)
def test_arguments_that_are_no_object_reach_the_model_as_a_problem(arguments: str) -> None:
    turn = finish(call(0, arguments), end("tool_use"))
    assert turn.blocks[0]["input"] == {}
    (only,) = turn.calls
    assert only.arguments is None
    assert only.problem.startswith("the arguments are not")


def test_no_arguments_are_an_empty_object() -> None:
    assert finish(call(0), end("tool_use")).calls == (ModelCall("toolu_1", "run", {}),)
    assert parse_arguments("  ") == ({}, "")


def test_arguments_that_came_with_the_start_are_kept() -> None:
    block = start(0, type="tool_use", id="toolu_1", name="run", input={"path": "."})
    assert finish([block, stop(0)], end("tool_use")).calls[0].arguments == {"path": "."}


@pytest.mark.trap("L6")
def test_parallel_calls_match_their_blocks_one_to_one() -> None:
    turn = finish(*(call(index, id=f"toolu_{index}") for index in range(3)), end("tool_use"))
    assert [made.id for made in turn.calls] == [block["id"] for block in turn.blocks]


@pytest.mark.parametrize("reason", ["max_tokens", "model_context_window_exceeded", "refusal"])
@pytest.mark.parametrize("pieces", [(), ('{"path": "lo',), ("",)])
def test_a_call_that_was_cut_off_was_never_made(reason: str, pieces: tuple[str, ...]) -> None:
    turn = finish(text(0, "Starting."), call(1, *pieces), end(reason))
    assert turn.blocks == [{"type": "text", "text": "Starting."}]
    assert turn.calls == ()
    assert turn.stop_reason == reason


def test_a_call_that_was_complete_when_the_rest_was_cut_off_counts() -> None:
    turn = finish(call(0, '{"path": "."}'), end("max_tokens"))
    assert [made.arguments for made in turn.calls] == [{"path": "."}]


def test_only_the_last_block_can_be_the_one_that_was_cut_off() -> None:
    turn = finish(call(0, "{}", id="toolu_0"), call(1, '{"pa', id="toolu_1"), end("max_tokens"))
    assert [made.id for made in turn.calls] == ["toolu_0"]
    assert [block["id"] for block in turn.blocks] == ["toolu_0"]


def test_a_turn_never_ends_in_reasoning() -> None:
    thought = [
        start(0, type="thinking", thinking="", signature=""),
        delta(0, "thinking_delta", thinking="hm"),
        delta(0, "signature_delta", signature="s"),
        stop(0),
    ]
    assert finish(thought, call(1, '{"pa'), end("max_tokens")).blocks == []
    assert finish(thought, text(1, "So."), end("end_turn")).blocks[0]["type"] == "thinking"


@pytest.mark.parametrize("empty", ["", "\n\n"])
def test_texts_that_the_api_does_not_take_back_are_left_out(empty: str) -> None:
    assert finish(text(0, empty), call(1), end("tool_use")).blocks[0]["type"] == "tool_use"
    assert finish(text(0, empty), end("end_turn")).blocks == []


def test_a_context_without_room_for_an_answer_is_too_long() -> None:
    with pytest.raises(ContextTooLong):
        finish(end("model_context_window_exceeded"))


def test_token_counts_are_running_totals() -> None:
    turn = finish(
        [
            {
                "type": "message_start",
                "message": {
                    "id": "msg_1",
                    "usage": {
                        "input_tokens": 10,
                        "output_tokens": 1,
                        "cache_read_input_tokens": 300,
                        "cache_creation_input_tokens": 20,
                    },
                },
            }
        ],
        text(0, "x"),
        end("end_turn", input_tokens=12),
    )
    assert turn.usage == Usage(input=12, output=7, cache_read=300, cache_write=20)


def test_events_and_deltas_of_later_versions_are_skipped() -> None:
    turn = finish(
        [
            {"type": "ping"},
            {"type": "sparkle", "delta": "not an object", "index": "not a number"},
            start(0, type="text", text=""),
            delta(0, "glitter_delta", glitter=1),
            delta(0, "text_delta", text="x"),
            stop(0),
        ],
        end("end_turn"),
    )
    assert turn.blocks == [{"type": "text", "text": "x"}]


@pytest.mark.trap("L8")
@pytest.mark.parametrize(
    "events",
    [
        [],
        text(0, "half"),
        [*text(0, "half"), {"type": "message_stop"}],
        [*text(0, "open")[:-1], *end("end_turn")],
    ],
    ids=["nothing", "no end", "no stop reason", "open block"],
)
def test_a_stream_that_broke_off_is_no_turn(events: list[dict[str, Any]]) -> None:
    with pytest.raises(ModelUnavailable):
        finish(events)


@pytest.mark.parametrize(
    "events",
    [
        [delta(0, "text_delta", text="x")],
        [stop(3)],
        [start(0, type="text", text=""), start(0, type="text", text="")],
        [start(0, text="")],
        [{"type": "content_block_start", "index": 0}],
        [start(0, type="tool_use", id="toolu_1")],
    ],
)
def test_a_stream_that_makes_no_sense_is_a_broken_one(events: list[dict[str, Any]]) -> None:
    with pytest.raises(ModelUnavailable):
        finish(events)


def test_a_turn_whose_end_was_announced_counts_without_the_last_frame() -> None:
    assert finish([*text(0, "whole"), end("end_turn")[0]]).blocks == [{"type": "text", "text": "whole"}]


def test_calls_that_share_an_id_get_ids_of_their_own() -> None:
    turn = finish([*call(0, id="same"), *call(1, id="same"), *call(2, id="same_2")], end("tool_use"))
    ids = [call.id for call in turn.calls]
    assert len({*ids}) == 3 and ids == [block["id"] for block in turn.blocks]


def test_a_known_event_of_the_wrong_shape_is_an_error_and_not_skipped() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(b'{"type":"content_block_delta","index":"zero"}')


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"type": "text"}, []),
        ({"type": "text", "text": None}, []),
        ({"type": "thinking", "thinking": None, "signature": "s"}, []),
        ({"type": "redacted_thinking"}, []),
        ({"type": "redacted_thinking", "data": None}, []),
        ({"type": "server_tool_use", "id": "x"}, [{"type": "server_tool_use", "id": "x"}]),
    ],
)
def test_what_a_gateway_left_out_of_a_block_is_empty(
    block: dict[str, Any], expected: list[dict[str, Any]]
) -> None:
    assert finish([start(0, **block), stop(0)], end("end_turn")).blocks == expected


@pytest.mark.parametrize(
    "block",
    [
        {"type": 5},
        {"type": None},
        {"type": ["text"]},
        {"type": "text", "text": 5},
        {"type": "text", "text": {"value": "x"}},
        {"type": "thinking", "thinking": []},
        {"type": "tool_use", "id": 5, "name": "run"},
        {"type": "tool_use", "id": "a", "name": None},
    ],
)
def test_a_block_that_cannot_be_read_is_a_broken_stream(block: dict[str, Any]) -> None:
    with pytest.raises(ModelUnavailable):
        finish([start(0, **block), stop(0)], end("end_turn"))


@pytest.mark.parametrize("given", [[], ["x"], 5, True])
def test_arguments_of_another_kind_that_came_with_the_start_reach_the_model_as_a_problem(given: Any) -> None:
    turn = finish([start(0, type="tool_use", id="a", name="run", input=given), stop(0)], end("tool_use"))
    assert turn.blocks[0]["input"] == {}
    assert turn.calls[0].arguments is None and "not a JSON object" in turn.calls[0].problem


@pytest.mark.parametrize(("given", "expected"), [(None, {}), ("", {}), ('{"path": "."}', {"path": "."})])
def test_arguments_as_text_or_null_at_the_start_are_read(given: Any, expected: dict[str, Any]) -> None:
    turn = finish([start(0, type="tool_use", id="a", name="run", input=given), stop(0)], end("tool_use"))
    assert turn.calls[0].arguments == turn.blocks[0]["input"] == expected


@pytest.mark.trap("M8")
@pytest.mark.parametrize("reason", ["error", "abort", "content_filter", "length", "unknown", "stop"])
def test_only_the_known_good_ends_make_a_turn(reason: str) -> None:
    with pytest.raises(ModelUnavailable, match=reason):
        finish(text(0, "half an ans"), end(reason))


@pytest.mark.parametrize("fields", [{}, {"signature": ""}, {"signature": None}, {"signature": 5}])
def test_unsigned_reasoning_is_kept_for_people_and_never_sent_back(fields: dict[str, Any]) -> None:
    thought = [
        start(0, type="thinking", thinking="", **fields),
        delta(0, "thinking_delta", thinking="hm"),
        stop(0),
    ]
    turn = finish(thought, text(1, "So."), end("end_turn"))
    assert turn.blocks[0]["thinking"] == "hm"
    messages = msgspec.json.encode([{"role": "assistant", "content": turn.blocks}])
    for origin in (None, "host messages model"):
        (sent,) = msgspec.json.decode(reasoning.for_messages_api(messages, origin))
        assert sent["content"] == [{"type": "text", "text": "So."}]


def test_reasoning_of_a_model_that_is_not_claude_goes_back_to_it_alone() -> None:
    thought = [
        start(0, type="thinking", thinking=""),
        delta(0, "thinking_delta", thinking="hm"),
        delta(0, "signature_delta", signature="theirs"),
        stop(0),
    ]
    _, opened = play([*thought, *text(1, "So."), *end("end_turn")])
    turn = opened.finish("gateway messages glm")
    messages = msgspec.json.encode([{"role": "assistant", "content": turn.blocks}])
    sent = {
        origin: [
            block["type"]
            for block in msgspec.json.decode(reasoning.for_messages_api(messages, origin))[0]["content"]
        ]
        for origin in (None, "gateway messages glm", "other messages glm")
    }
    assert sent == {
        None: ["text"],
        "gateway messages glm": ["thinking", "text"],
        "other messages glm": ["text"],
    }
    (back,) = msgspec.json.decode(reasoning.for_messages_api(messages, "gateway messages glm"))
    assert back["content"][0] == {"type": "thinking", "thinking": "hm", "signature": "theirs"}


def test_claudes_reasoning_is_not_sent_to_a_model_of_another_vendor() -> None:
    thought = {"type": "thinking", "thinking": "x", "signature": "EqQB=="}
    said = {"type": "text", "text": 'of {"type":"thinking"}'}
    messages = msgspec.json.encode([{"role": "assistant", "content": [thought, said]}])
    assert reasoning.for_messages_api(messages, None) is messages
    assert msgspec.json.decode(reasoning.for_messages_api(messages, "gateway messages glm"))[0][
        "content"
    ] == [said]


def test_halves_of_a_character_in_two_events_are_read() -> None:
    pieces = [
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%s"}}' % half
        for half in (b"hi \\ud83d", b"\\ude00")
    ]
    turn = OpenTurn()
    for event in (*map(msgspec.json.encode, [start(0, type="text", text="")]), *pieces):
        decoded = decode(event)
        assert decoded is not None
        turn.apply(decoded)
    for made in (stop(0), *end("end_turn")):
        decoded = decode(msgspec.json.encode(made))
        assert decoded is not None
        turn.apply(decoded)
    assert checked(turn.finish()).blocks == [{"type": "text", "text": "hi 😀"}]


@pytest.mark.parametrize(
    "event",
    [
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7.0}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7.5}},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "text": None},
            "usage": {"output_tokens": 7},
        },
        {
            "type": "message_delta",
            "index": None,
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 7},
        },
    ],
)
def test_nulls_and_fractions_of_gateways_are_read(event: dict[str, Any]) -> None:
    assert finish(text(0, "x"), [event, {"type": "message_stop"}]).usage.output == 7


@pytest.mark.parametrize("data", [b"[]", b'"x"', b"{", b'{"type":"error","error":[]}', b'{"a":' * 100_000])
def test_what_is_no_event_at_all_is_an_error(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(data)


def test_an_error_that_is_a_string_is_read() -> None:
    event = decode(b'{"type":"error","error":"overloaded"}')
    assert event is not None and event.error is not None and event.error.message == "overloaded"
