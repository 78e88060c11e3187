"""From a callback's body to the message that enters a mailbox."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any

import pytest
from tests.contract.mcp.pixel import PIXEL

from infinity import message
from infinity.abc import Expect
from infinity.engine.content import admitted
from infinity.errors import BadRequest
from infinity.ids import is_id
from infinity.message import Choice, Event, OAuth, Result
from infinity.rap.callbacks import Incoming, ViewUpdate, parse

PNG = base64.b64encode(b"\x89PNG").decode()
CALL = "call_1"


def take(call_id: str = CALL, thread: str = "thread_1", **fields: Any) -> Incoming | ViewUpdate:
    fresh = map("fresh_{}".format, itertools.count(1))
    body = json.dumps({"group_id": "thread_1", **fields}).encode()
    return parse(thread, call_id, body, max_bytes=1 << 20, fresh_id=lambda: next(fresh))


def incoming(**fields: Any) -> Incoming:
    taken = take(**fields)
    assert isinstance(taken, Incoming)
    return taken


def result(**fields: Any) -> Incoming:
    return incoming(type="tool_result", id=CALL, **fields)


def event(**fields: Any) -> Incoming:
    return incoming(type="subscription_event", tool_call_id=CALL, text="pushed", **fields)


def oauth(**fields: Any) -> Incoming:
    return incoming(**{"type": "oauth", "id": CALL, "auth_url": "https://login.example/a", **fields})


def choice(**fields: Any) -> Incoming:
    asked = {"prompt": "Go?", "choices": ["Yes", "No"], "default": 1, "response_url": "http://tool/choice"}
    return incoming(**{"type": "user_choice", "id": CALL, **asked, **fields})


def body(taken: Incoming) -> Any:
    return message.decode(taken.message.kind, taken.message.body)


def test_a_result_becomes_a_message_that_carries_its_calls_id() -> None:
    taken = result(text="42", subscription=True, display_as=[{"type": "text", "content": "forty-two"}])
    assert (taken.message.thread, taken.message.id, taken.message.kind) == ("thread_1", CALL, "result")
    assert (taken.expect, taken.call_id) == (Expect.CALL, CALL)
    assert body(taken) == Result(
        call_id=CALL,
        content=[{"type": "text", "text": "42"}],
        display=[{"type": "text", "content": "forty-two"}],
        subscription=True,
    )


@pytest.mark.rap("RES-1")
def test_content_wins_over_text() -> None:
    taken = result(text="summary", content=[{"type": "text", "text": "all of it"}])
    assert body(taken).content == [{"type": "text", "text": "all of it"}]


@pytest.mark.rap("RES-1")
def test_an_empty_content_says_nothing_and_the_text_stands() -> None:
    assert body(result(text="done", content=[])).content == [{"type": "text", "text": "done"}]


@pytest.mark.parametrize(
    "fields", [{"text": ""}, {"text": " \n"}, {"content": []}, {"content": [{"type": "text", "text": ""}]}]
)
def test_an_empty_result_gets_a_text_that_the_model_api_accepts(fields: dict[str, Any]) -> None:
    assert body(result(**fields)).content == [{"type": "text", "text": "(empty)"}]


def test_images_take_the_shape_of_the_models_api() -> None:
    items = [
        {"type": "text", "text": "see"},
        {"type": "image", "data": PNG, "mediaType": "image/png", "alt": "x"},
    ]
    assert body(result(content=items)).content == [
        {"type": "text", "text": "see"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
    ]


def test_an_image_that_no_model_takes_becomes_a_text_that_says_so_where_it_enters_history() -> None:
    drawing = base64.b64encode(b"<svg xmlns='http://www.w3.org/2000/svg'/>").decode()
    items = [{"type": "image", "data": drawing, "mediaType": "image/svg+xml"}]
    (block,) = admitted(body(result(content=items)).content)[0]
    assert block["type"] == "text"
    assert "image/svg+xml" in block["text"]


def test_an_image_under_a_usual_wrong_name_is_admitted_under_its_own() -> None:
    items = [{"type": "image", "data": base64.b64encode(PIXEL).decode(), "mediaType": "image/jpg"}]
    (block,) = admitted(body(result(content=items)).content)[0]
    assert block["source"]["media_type"] == "image/png"


@pytest.mark.rap("CB-8")
def test_halves_of_characters_are_repaired_not_refused() -> None:
    # `json.dumps` writes halves as escapes, as other languages do.
    taken = result(text="half \ud83d of an emoji, one in two halves: \ud83d\ude00")
    text = "half \ufffd of an emoji, one in two halves: \U0001f600"
    assert body(taken).content == [{"type": "text", "text": text}]
    asked = choice(prompt="\ude00?", choices=["\ud83d", "no"])
    assert (body(asked).prompt, body(asked).choices) == ("\ufffd?", ["\ufffd", "no"])


@pytest.mark.rap("RES-3")
def test_what_is_displayed_never_becomes_content() -> None:
    segments = [{"type": "hologram", "content": {"secret": 1}}, {"type": "text", "content": "shown"}]
    taken = body(result(text="42", display_as=segments))
    assert taken.content == [{"type": "text", "text": "42"}]
    assert taken.display == segments


@pytest.mark.rap("RES-5")
def test_an_error_is_an_ordinary_result() -> None:
    assert body(result(text="Error: no such branch")).content[0]["text"] == "Error: no such branch"
    assert body(result(text="Error: no such branch")).failed is False


@pytest.mark.rap("SUB-4", "SUB-5", "SUB-6")
@pytest.mark.parametrize("flags", [{}, {"associative": True}, {"final": True}])
def test_an_event_keeps_its_flags_and_expects_a_subscription(flags: dict[str, bool]) -> None:
    taken = event(seq=3, **flags)
    assert taken.expect is Expect.EVENT
    assert taken.message.kind == "event"
    assert body(taken) == Event(call_id=CALL, content=[{"type": "text", "text": "pushed"}], seq=3, **flags)


@pytest.mark.trap("R3")
def test_an_event_with_an_id_is_the_same_message_every_time_it_comes() -> None:
    assert (
        event(event_id="delivery-7").message.id
        == event(event_id="delivery-7").message.id
        == "call_1:delivery-7"
    )


@pytest.mark.trap("R3")
def test_events_of_different_calls_never_share_an_id() -> None:
    other = take(
        "call_2", type="subscription_event", tool_call_id="call_2", text="pushed", event_id="delivery-7"
    )
    assert isinstance(other, Incoming)
    assert other.message.id != event(event_id="delivery-7").message.id


@pytest.mark.trap("R3")
def test_an_event_without_an_id_is_a_new_message_each_time() -> None:
    assert event().message.id == "fresh_1"


@pytest.mark.parametrize("event_id", ["a b", "ä" * 255, "x" * 255, "../../etc", "\u0000", "a/b"])
@pytest.mark.trap("S2")
def test_an_event_id_of_any_spelling_becomes_an_id_of_ours(event_id: str) -> None:
    named = event(event_id=event_id).message.id
    assert is_id(named)
    assert named == event(event_id=event_id).message.id
    assert named != event(event_id=event_id + ".").message.id


def test_the_longest_call_id_still_leaves_room_for_an_events_id() -> None:
    call_id = "c" * 128
    taken = take(call_id, type="subscription_event", tool_call_id=call_id, text="x", event_id="e")
    assert isinstance(taken, Incoming)
    assert is_id(taken.message.id)


@pytest.mark.rap("OAU-1", "CB-4")
def test_an_oauth_request_sent_twice_is_one_message_and_a_new_url_another() -> None:
    taken = oauth()
    assert taken.expect is Expect.CALL
    assert body(taken) == OAuth(call_id=CALL, auth_url="https://login.example/a")
    assert taken.message.id.startswith("oauth:call_1:")
    assert oauth(unknown_field=1).message.id == taken.message.id
    assert oauth(auth_url="https://login.example/b").message.id != taken.message.id


@pytest.mark.rap("CHO-1", "CB-4")
def test_a_question_sent_twice_is_one_message_and_another_question_another() -> None:
    taken = choice()
    assert taken.expect is Expect.CALL
    assert body(taken) == Choice(
        call_id=CALL, prompt="Go?", choices=["Yes", "No"], default=1, response_url="http://tool/choice"
    )
    assert taken.message.id.startswith("choice:call_1:")
    assert choice().message.id == taken.message.id
    assert choice(prompt="Really?").message.id != taken.message.id


@pytest.mark.rap("CB-4")
def test_the_same_question_asked_again_is_told_apart_by_its_event_id() -> None:
    assert choice(event_id="1").message.id != choice(event_id="2").message.id


@pytest.mark.rap("VIEW-1")
def test_a_view_update_is_not_a_message() -> None:
    taken = take(type="view_update", view_type="diff", content={"a": [1, 2]})
    assert taken == ViewUpdate("thread_1", "diff", b'{"a": [1, 2]}')


@pytest.mark.rap("CB-2", "CB-5")
@pytest.mark.parametrize(
    "fields",
    [
        {"type": "tool_result", "id": "call_2", "text": "x"},
        {"type": "tool_result", "id": CALL, "text": "x", "group_id": "thread_2"},
        {"type": "subscription_event", "tool_call_id": "call_2", "text": "x"},
        {"type": "subscription_event", "tool_call_id": CALL, "text": "x", "group_id": "thread_2"},
        {"type": "oauth", "id": "call_2", "auth_url": "https://x"},
        {"type": "oauth", "id": CALL, "auth_url": "https://x", "group_id": "thread_2"},
        {
            "type": "user_choice",
            "id": "call_2",
            "prompt": "?",
            "choices": ["x"],
            "default": 0,
            "response_url": "http://x",
        },
        {"type": "view_update", "view_type": "v", "content": 1, "group_id": "thread_2"},
    ],
)
def test_a_callback_that_speaks_of_another_thread_or_call_than_its_url_is_refused(
    fields: dict[str, Any],
) -> None:
    with pytest.raises(BadRequest) as caught:
        take(**fields)
    assert caught.value.rule == "CB-2"


@pytest.mark.rap("CB-6")
def test_a_malformed_body_is_refused_here_too() -> None:
    with pytest.raises(BadRequest) as caught:
        parse("t", "c", b'{"type":', max_bytes=100, fresh_id=str)
    assert caught.value.rule == "CB-6"
    with pytest.raises(BadRequest) as caught:
        parse("t", "c", b"{}" + b" " * 100, max_bytes=100, fresh_id=str)
    assert caught.value.rule == "CB-6"
