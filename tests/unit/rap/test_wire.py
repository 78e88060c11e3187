"""Every message of the protocol, every field, every way to get it wrong."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from infinity.errors import BadRequest
from infinity.rap import wire

MAX_BYTES = 1 << 20
PNG = base64.b64encode(b"\x89PNG").decode()

RESULT: dict[str, Any] = {
    "type": "tool_result",
    "group_id": "t",
    "id": "call_1",
    "call_id": None,
    "text": "42",
    "content": [{"type": "text", "text": "42"}, {"type": "image", "data": PNG, "mediaType": "image/png"}],
    "display_as": [
        {"type": "diff", "content": {"path": "a.py", "patch": "+1"}},
        {"type": "image", "content": {"data": PNG, "mediaType": "image/png"}},
        {"type": "text", "content": "1 insertion"},
        {"type": "hologram", "content": {"depth": 3}},
    ],
    "subscription": True,
}
EVENT: dict[str, Any] = {
    "type": "subscription_event",
    "group_id": "t",
    "tool_call_id": "call_1",
    "text": "pushed",
    "associative": True,
    "final": True,
    "event_id": "e1",
    "seq": 7,
}
OAUTH: dict[str, Any] = {
    "type": "oauth",
    "group_id": "t",
    "id": "call_1",
    "call_id": None,
    "auth_url": "https://login.example/authorize?state=1",
}
CHOICE: dict[str, Any] = {
    "type": "user_choice",
    "group_id": "t",
    "id": "call_1",
    "call_id": None,
    "prompt": "Delete it?",
    "choices": ["Yes", "No"],
    "default": 1,
    "response_url": "http://tool.example/choice",
}
VIEW: dict[str, Any] = {"type": "view_update", "group_id": "t", "view_type": "diff", "content": {"a": [1]}}

MISSING: Any = object()


def read(message: dict[str, Any]) -> wire.Callback:
    return wire.read_callback(json.dumps(message).encode(), MAX_BYTES)


def changed(message: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with one place replaced; ``path`` like ``content.1.data``."""
    copy = json.loads(json.dumps(message))
    *parents, last = path.split(".")
    target = copy
    for step in parents:
        target = target[int(step)] if isinstance(target, list) else target[step]
    if value is MISSING:
        del target[last]
    elif isinstance(target, list):
        target[int(last)] = value
    else:
        target[last] = value
    return copy


TEXT = (MISSING, None, 5, True, [], {})
FLAG = ("true", 1, 0, [], {})
LIST = ("x", 1, True, {})
OPTIONAL_TEXT = (5, True, [], {})

# message, path of the field, the rule that a bad value breaks, bad values
DEFECTS: list[tuple[dict[str, Any], str, str, tuple[Any, ...]]] = [
    *(
        (message, "type", "CB-6", (*TEXT, "", "tool_results", "TOOL_RESULT", "x" * 10_000))
        for message in (RESULT, EVENT)
    ),
    *(
        (message, "group_id", "CB-1", (*TEXT, "", "x" * 257))
        for message in (RESULT, EVENT, OAUTH, CHOICE, VIEW)
    ),
    *((message, "id", "CB-1", (*TEXT, "", "x" * 257)) for message in (RESULT, OAUTH, CHOICE)),
    *((message, "call_id", "CB-1", (*OPTIONAL_TEXT, "x" * 257)) for message in (RESULT, OAUTH, CHOICE)),
    (RESULT, "text", "CB-1", OPTIONAL_TEXT),
    (RESULT, "content", "CB-1", (*LIST, [{"type": "text", "text": ""}] * 1001)),
    (RESULT, "content.0", "CB-1", (None, "x", 5, [])),
    (RESULT, "content.0.type", "CB-1", (*TEXT, "", "audio", "x" * 10_000)),
    (RESULT, "content.0.text", "CB-1", TEXT),
    (RESULT, "content.1.data", "CB-1", (*TEXT, "", "=", "not base64!", PNG[:-1], PNG + "\n", "é" * 4)),
    (
        RESULT,
        "content.1.mediaType",
        "CB-1",
        (*TEXT, "", "png", "text/plain", "image/", "image/" + "x" * 99, "image/png; a=b"),
    ),
    (RESULT, "display_as", "CB-1", LIST),
    (RESULT, "display_as.0", "CB-1", (None, "x", 5, [])),
    (RESULT, "display_as.0.type", "CB-1", (*TEXT, "", "x" * 129)),
    (RESULT, "display_as.0.content", "CB-1", (MISSING, None, "x", [], 5)),
    (RESULT, "display_as.0.content.path", "CB-1", TEXT),
    (RESULT, "display_as.0.content.patch", "CB-1", TEXT),
    (RESULT, "display_as.1.content", "CB-1", (MISSING, None, "x", [], 5)),
    (RESULT, "display_as.1.content.data", "CB-1", (*TEXT, "", "not base64!")),
    (RESULT, "display_as.1.content.mediaType", "CB-1", (*TEXT, "png")),
    (RESULT, "display_as.2.content", "CB-1", TEXT),
    (RESULT, "display_as.3.content", "CB-1", (MISSING, None)),
    (RESULT, "subscription", "RES-4", FLAG),
    (EVENT, "tool_call_id", "CB-1", (*TEXT, "", "x" * 257)),
    (EVENT, "text", "CB-1", TEXT),
    (EVENT, "associative", "SUB-4", FLAG),
    (EVENT, "final", "SUB-6", FLAG),
    (EVENT, "event_id", "CB-1", (*OPTIONAL_TEXT, "", "x" * 257)),
    (EVENT, "seq", "CB-1", ("7", 7.5, True, [], {}, -1, 2**63)),
    (OAUTH, "event_id", "CB-1", (*OPTIONAL_TEXT, "")),
    (
        OAUTH,
        "auth_url",
        "OAU-1",
        (
            *TEXT,
            "",
            "http://login.example/",
            "login.example",
            "javascript:alert(1)",
            "https://",
            "https://a b/",
            "https://u:p@host/",
            "https://host/" + "x" * 9000,
        ),
    ),
    (CHOICE, "prompt", "CHO-1", (*TEXT, "", "x" * 16_385)),
    (CHOICE, "choices", "CHO-2", (MISSING, None, *LIST, [], ["x"] * 101)),
    (CHOICE, "choices.0", "CHO-2", (None, 5, [], {}, "", "x" * 1025)),
    (CHOICE, "default", "CHO-2", (MISSING, None, "1", 1.0, True, [], -1, 2, 10**30)),
    (CHOICE, "response_url", "CHO-1", (*TEXT, "", "tool/choice", "file:///etc/passwd", "http://")),
    (CHOICE, "event_id", "CB-1", (*OPTIONAL_TEXT, "")),
    (VIEW, "view_type", "VIEW-1", (*TEXT, "", "x" * 129)),
    (VIEW, "content", "VIEW-1", (MISSING,)),
]


def bad_messages() -> Iterator[Any]:
    for message, path, rule, values in DEFECTS:
        for value in values:
            shown = "missing" if value is MISSING else f"{type(value).__name__}-{str(value)[:20]}"
            yield pytest.param(message, path, rule, value, id=f"{message['type']}-{path}-{shown}")


@pytest.mark.rap("CB-1", "CB-6", "RES-1", "CHO-2", "OAU-1", "VIEW-1")
@pytest.mark.parametrize(("message", "path", "rule", "value"), list(bad_messages()))
def test_a_bad_field_is_refused_with_its_path_and_rule(
    message: dict[str, Any], path: str, rule: str, value: Any
) -> None:
    with pytest.raises(BadRequest) as caught:
        read(changed(message, path, value))
    where = "$" + "".join(f"[{step}]" if step.isdigit() else f".{step}" for step in path.split("."))
    assert str(caught.value).startswith(where)
    assert caught.value.rule == rule
    assert len(str(caught.value)) < 400


MESSAGES = [RESULT, EVENT, OAUTH, CHOICE, VIEW]


@pytest.mark.rap("CB-1")
@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message["type"])
def test_a_good_message_reads_back_as_it_was(message: dict[str, Any]) -> None:
    again = json.loads(wire.encode(read(message)))
    assert {name: value for name, value in message.items() if value is not None} == again


@pytest.mark.rap("CB-1")
@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message["type"])
def test_unknown_fields_are_ignored_at_every_level(message: dict[str, Any]) -> None:
    more = {**message, "from_the_future": {"deep": [1, None, "x"]}, "text2": 5}
    assert read(more) == read(message)


@pytest.mark.rap("CB-1")
def test_fields_that_may_be_left_out_may_be_null_too() -> None:
    least = {"type": "tool_result", "group_id": "t", "id": "c", "text": "x"}
    nulls = dict.fromkeys(("call_id", "content", "display_as", "subscription"))
    assert read({**least, **nulls}) == read(least)
    event = {"type": "subscription_event", "group_id": "t", "tool_call_id": "c", "text": "x"}
    nulls = dict.fromkeys(("associative", "final", "event_id", "seq"))
    assert read({**event, **nulls}) == read(event)


@pytest.mark.rap("RES-1")
@pytest.mark.parametrize("fields", [{}, {"text": None}, {"content": None}, {"text": None, "content": None}])
def test_a_result_needs_text_or_content(fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as caught:
        read({"type": "tool_result", "group_id": "t", "id": "c", **fields})
    assert caught.value.rule == "RES-1"


@pytest.mark.rap("RES-1")
@pytest.mark.parametrize("fields", [{"text": ""}, {"content": []}, {"text": "x", "content": []}])
def test_either_of_them_is_enough(fields: dict[str, Any]) -> None:
    assert isinstance(read({"type": "tool_result", "group_id": "t", "id": "c", **fields}), wire.ToolResult)


@pytest.mark.rap("CB-6")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"5",
        b"{} {}",
        b"{'type': 'oauth'}",
        b"{}",
        b"NaN",
        b'{"type": NaN}',
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b"\x1f\x8b\x08",
        b'{"type": "view_update", "ignored": "\xff"}',
        b'{"type": "\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"type":"view_update","group_id":"t","view_type":"v","content":' + b"[" * 100_000,
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_not_one_json_object_in_utf_8_is_refused_and_crashes_nothing(body: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        wire.read_callback(body, MAX_BYTES)
    assert caught.value.rule == "CB-6"


@pytest.mark.rap("CB-6")
@pytest.mark.trap("G2")
def test_an_over_long_body_is_refused_before_it_is_read() -> None:
    body = json.dumps(RESULT).encode()
    assert wire.read_callback(body, len(body))
    with pytest.raises(BadRequest) as caught:
        wire.read_callback(body, len(body) - 1)
    assert caught.value.rule == "CB-6"


@pytest.mark.trap("S9")
def test_an_error_never_repeats_what_was_sent() -> None:
    for message, path in (
        (RESULT, "subscription"),
        (OAUTH, "auth_url"),
        (RESULT, "type"),
        (CHOICE, "default"),
    ):
        with pytest.raises(BadRequest) as caught:
            read(changed(message, path, "hunter2 hunter2"))
        assert "hunter2" not in str(caught.value)


@pytest.mark.rap("VIEW-1")
@pytest.mark.parametrize(
    "content", ["null", "0", '"x"', "[1, 2.50, 1e3]", '{ "b":1,  "a":12345678901234567890123 }']
)
def test_a_views_content_is_kept_byte_for_byte(content: str) -> None:
    body = f'{{"type":"view_update","group_id":"t","view_type":"v","content":{content},"x":1}}'
    view = wire.read_callback(body.encode(), MAX_BYTES)
    assert isinstance(view, wire.View)
    assert bytes(view.content) == content.encode()


@pytest.mark.rap("INV-3")
def test_an_invocation_of_a_root_thread_has_no_ancestors() -> None:
    invocation = wire.Invocation(
        operation="get_pr",
        arguments=msgspec.Raw(b'{"number": 42}'),
        id="call_1",
        callback_url="https://agent.example/callback/t",
        group_id="thread_1",
    )
    assert json.loads(wire.encode(invocation)) == {
        "operation": "get_pr",
        "arguments": {"number": 42},
        "id": "call_1",
        "call_id": None,
        "callback_url": "https://agent.example/callback/t",
        "group_id": "thread_1",
    }


@pytest.mark.rap("INV-3")
@pytest.mark.trap("S11")
def test_an_invocation_of_a_child_names_its_ancestors_from_the_root_and_its_user() -> None:
    invocation = wire.Invocation(
        operation="get_pr",
        arguments=msgspec.Raw(b"{}"),
        id="call_1",
        call_id="outer",
        callback_url="https://agent.example/callback/t",
        group_id="thread_3",
        thread_ancestors=["thread_1", "thread_2"],
        user_id="user_42",
    )
    sent = json.loads(wire.encode(invocation))
    assert sent["thread_ancestors"] == ["thread_1", "thread_2"]
    assert sent["user_id"] == "user_42"
    assert sent["call_id"] == "outer"


@pytest.mark.rap("THR-2", "CAN-1", "CHO-1")
@pytest.mark.parametrize(
    ("message", "body"),
    [
        (wire.CloseThread("t"), b'{"thread_id":"t"}'),
        (wire.CancelToolCall("t", "c"), b'{"thread_id":"t","tool_call_id":"c"}'),
        (wire.ChoiceResponse("c", 1), b'{"id":"c","selected":1}'),
        (wire.Migrate("t", "http://x"), b'{"session_id":"t","destination_url":"http://x"}'),
    ],
)
def test_the_small_messages_have_exactly_the_protocols_fields(message: msgspec.Struct, body: bytes) -> None:
    assert wire.encode(message) == body
