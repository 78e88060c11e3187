"""What a commit tells on the output queue: replies, prompts, problems, states; keyed by their place in the event stream."""

from __future__ import annotations

import json
from typing import Any, cast

import msgspec
import pytest

from infinity._core import Delta, Thread
from infinity.aws.client import Aws
from infinity.aws.sqs import LARGEST_MESSAGE, Queue, escaped
from infinity.cloud.notifications import Notifier

NOTIFIER = Notifier(Queue(cast(Aws, None), "http://127.0.0.1/0/output.fifo"))


def encoded(value: Any) -> bytes:
    return msgspec.json.encode(value)


@pytest.fixture
def thread() -> Thread:
    made = Thread.create(
        "root-1", now=1, model="m", title="", seed=encoded([{"type": "text", "text": "you are"}])
    )
    made.add_user(encoded([{"type": "text", "text": "hello"}]), now=2)
    return made


def told(delta: Delta) -> list[dict[str, Any]]:
    rows = NOTIFIER.rows(delta)
    for key, thread, body in rows:
        said = json.loads(body)
        assert key == f"output.{said['id']}" and thread == said["thread"]
    return [json.loads(body) for _, _, body in rows]


def say(thread: Thread, *blocks: dict[str, Any]) -> None:
    thread.add_turn(encoded(list(blocks)), [], now=3)


def test_a_reply_is_the_visible_text_of_a_turn_and_the_cursor_behind_it(thread: Thread) -> None:
    say(
        thread,
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "good "},
        {"type": "text", "text": "day"},
    )
    (reply,) = told(thread.delta(9))
    position = reply["data"]["cursor"]
    assert reply == {
        "id": f"root-1.{position}",
        "thread": "root-1",
        "root": "root-1",
        "kind": "reply",
        "data": {"cursor": position, "text": "good day"},
    }
    assert position == thread.delta(9).feed[-1][0]


def test_a_turn_without_words_and_what_others_say_is_no_reply(thread: Thread) -> None:
    say(thread)
    thread.note("slice", encoded({"rounds": 1}))
    thread.note("call", encoded({"id": "c"}))
    assert told(thread.delta(9)) == []


def test_the_same_commit_tells_the_same_rows_however_often_it_is_asked(thread: Thread) -> None:
    say(thread, {"type": "text", "text": "good day"})
    assert NOTIFIER.rows(thread.delta(9)) == NOTIFIER.rows(thread.delta(10)) != []


def test_a_prompt_shows_where_to_sign_in_and_never_where_the_answer_goes(thread: Thread) -> None:
    shown = {"id": "oauth.c", "prompt_kind": "oauth", "call_id": "c", "tool": "mail"}
    thread.open_prompt(
        "oauth.c",
        "oauth",
        encoded({"call_id": "c", "auth_url": "https://sign.in/", "response_url": "https://secret/"}),
    )
    thread.note("prompt", encoded(shown))
    thread.note(
        "prompt", encoded({"id": "choice.gone", "prompt_kind": "choice", "choices": ["a"], "default": 0})
    )
    thread.note("prompt_closed", encoded({"id": "choice.d", "selected": 1, "user_id": None}))
    first, second, third = told(thread.delta(9))
    assert (first["kind"], first["data"]) == ("prompt", {**shown, "auth_url": "https://sign.in/"})
    assert second["data"]["choices"] == ["a"]
    assert (third["kind"], third["data"]["selected"]) == ("prompt_closed", 1)
    assert "secret" not in json.dumps([first, second, third])


def test_problems_and_states_are_passed_on_in_order(thread: Thread) -> None:
    thread.note("problem", encoded({"code": "overloaded", "text": "the provider is busy"}))
    thread.note("status", encoded({"status": "stopped"}))
    rows = told(thread.delta(9))
    assert [(row["kind"], row["data"]) for row in rows] == [
        ("problem", {"code": "overloaded", "text": "the provider is busy"}),
        ("status", {"status": "stopped"}),
    ]
    positions = [int(row["id"].rpartition(".")[2]) for row in rows]
    assert positions == sorted(set(positions))


@pytest.mark.parametrize("character", ["x", "ä", "\uffff", "\x01", "🙂"])
def test_what_no_message_can_hold_is_cut_and_says_so(thread: Thread, character: str) -> None:
    say(thread, {"type": "text", "text": character * 1_100_000})
    thread.note("prompt", encoded({"id": "choice.c", "choices": [character * 1_100_000], "default": 0}))
    thread.note("problem", encoded({"code": "odd", "text": character * 1_100_000}))
    delta = thread.delta(9)
    for _, _, body in NOTIFIER.rows(delta):
        assert len(escaped(body.decode()).encode()) <= LARGEST_MESSAGE
    reply, prompt, problem = told(delta)
    assert (
        reply["data"]["truncated"] and reply["data"]["cursor"] >= 0 and len(reply["data"]["text"]) > 100_000
    )
    assert prompt["data"] == {"id": "choice.c", "default": 0, "truncated": True}
    assert problem["data"]["code"] == "odd" and problem["data"]["truncated"]
