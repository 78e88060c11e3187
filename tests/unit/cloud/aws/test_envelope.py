"""Queue messages: what is sealed opens again; what anybody may have put into a queue is read or refused, and raises nothing."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinity._core import Message
from infinity.aws.sqs import deduplication_id, escaped, group_id
from infinity.cloud import envelope
from infinity.cloud.blobs import is_claim_of
from infinity.cloud.envelope import VERSION, Claimed, Erasure, Newer, Said, Unreadable, Wake
from infinity.message import Control, Kind, Result, UserText, encode, text_blocks


def record(body: Any, group: str | None = "t", **more: Any) -> dict[str, Any]:
    attributes = {"ApproximateReceiveCount": "1", "SentTimestamp": "1700000000123"}
    if group is not None:
        attributes["MessageGroupId"] = group
    return {"messageId": "7e1c", "receiptHandle": "h", "body": body, "attributes": attributes, **more}


def plain(**members: Any) -> dict[str, Any]:
    return record(json.dumps({"content": "hello", "group_id": "t", **members}))


def parts(message: Message) -> tuple[Any, ...]:
    return message.thread, message.id, message.kind, message.body, message.seq, message.accepted_at


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
bodies = st.one_of(
    st.builds(lambda text: UserText(content=text_blocks(text), user_id="u"), texts),
    st.builds(
        lambda text: Result(call_id="c", content=text_blocks(text), display=[{"type": "x", "content": text}]),
        texts,
    ),
)


@given(thread=texts, id=texts, body=bodies, at=st.integers(0, 1 << 53))
def test_a_message_opens_as_it_was_sealed(thread: str, id: str, body: Any, at: int) -> None:
    message = Message(thread, id, body.kind, encode(body), accepted_at=at)
    # As it travels: what SQS would refuse is escaped on the way.
    opened = envelope.open(record(escaped(envelope.seal(message)), group_id(thread)))
    assert isinstance(opened, Message)
    assert (opened.thread, opened.id, opened.kind, opened.seq, opened.accepted_at) == (
        thread,
        id,
        body.kind,
        0,
        at,
    )
    assert msgspec.json.decode(opened.body) == msgspec.json.decode(message.body)


def test_a_sealed_message_has_the_form_of_the_design() -> None:
    message = Message("t", "m", "control", encode(Control(action="stop")), accepted_at=5)
    assert json.loads(envelope.seal(message)) == {
        "infinity": 1,
        "thread": "t",
        "id": "m",
        "kind": "control",
        "accepted_at": 5,
        "body": {"action": "stop"},
    }
    assert json.loads(envelope.wake("t", 7)) == {"infinity": 1, "wake": "t", "due": 7}
    assert json.loads(envelope.wake("t")) == {"infinity": 1, "wake": "t"}


def test_a_claim_is_opened_without_its_body_and_only_if_it_is_of_this_thread() -> None:
    message = Message("t", "m", "result", b'{"call_id":"c","content":[]}', accepted_at=5)
    key = f"claims/{'0' * 32}/{'1' * 32}.{'2' * 64}"
    foreign = envelope.open(record(envelope.seal(message, key)))
    assert foreign == Unreadable("its 'claim' is not the key of a body of this thread")
    own = key.replace("0" * 32, "e3b98a4da31a127d4bde6e43033f66ba")
    assert is_claim_of(own, "t")
    opened = envelope.open(record(envelope.seal(message, own)))
    assert isinstance(opened, Claimed) and opened.key == own
    assert parts(opened.message) == ("t", "m", "result", b"", 0, 5)
    for bad in ("records/" + own.partition("/")[2], "../secrets", "claims/x", own + "/x", ""):
        assert isinstance(envelope.open(record(envelope.seal(message, bad))), Unreadable)


def test_an_erasure_is_for_the_thread_of_its_group_and_left_alone_by_older_versions() -> None:
    assert json.loads(envelope.erasure("t")) == {"infinity": 3, "erase": "t"}
    assert envelope.open(record(envelope.erasure("t"))) == Erasure("t")
    assert isinstance(envelope.open(record(envelope.erasure("u"))), Unreadable)
    assert envelope.woken(envelope.erasure("t")) is None


def test_a_wake_opens_with_and_without_a_time() -> None:
    assert envelope.open(record(envelope.wake("t", 7))) == Wake("t", 7)
    assert envelope.open(record(envelope.wake("t"))) == Wake("t")
    assert envelope.open(record(envelope.wake("t"), None)) == Wake("t")
    assert envelope.woken(envelope.wake("t", 7)) == "t"
    assert envelope.woken("{}") is None and envelope.woken("\ud800") is None


@pytest.mark.parametrize(
    "content",
    ["hello", {"type": "text", "text": "hello"}, [{"type": "text", "text": "hello"}]],
    ids=["text", "block", "blocks"],
)
def test_what_a_person_sends_is_user_text(content: Any) -> None:
    opened = envelope.open(plain(content=content, user_id="alice"))
    assert isinstance(opened, Said)
    assert (
        parts(opened.message)[:3] == ("t", "sqs.7e1c", Kind.USER)
        and opened.message.accepted_at == 1700000000123
    )
    assert json.loads(opened.message.body) == {
        "content": [{"type": "text", "text": "hello"}],
        "user_id": "alice",
    }


def test_a_redelivered_text_is_the_same_message() -> None:
    first, second = envelope.open(plain()), envelope.open({**plain(), "receiptHandle": "another"})
    assert isinstance(first, Said) and isinstance(second, Said)
    assert parts(first.message) == parts(second.message)


@pytest.mark.trap("S9")
@pytest.mark.parametrize(
    ("found", "says"),
    [
        (plain(group_id="other"), "'group_id' must be the same as the message group id"),
        (plain(group_id="a b"), "'group_id' must be 1 to 128 of"),
        (plain(user_id="a\u202eb"), "'user_id' must be 1 to 256 printable"),
        (plain(content=""), "content[0]: the text is empty"),
        (plain(content=[]), "content is empty"),
        (plain(content={"type": "tool_use", "id": "x"}), "content[0]: a tool_use block"),
        (plain(content=[{"type": "text", "text": "a", "cache_control": {}}]), "content[0]: the field"),
        (plain(content=None), "not of the expected form"),
        (plain(contents="hunter2"), "unknown field `contents`"),
        (record(json.dumps({"content": "x"})), "missing required field `group_id`"),
        (
            record(json.dumps({"content": "x", "group_id": "t"}), None),
            "must be the same as the message group id",
        ),
        (record("hunter2"), "it is not JSON"),
        (record(""), "it is not JSON"),
        (record('{"content": NaN, "group_id": "t"}'), "it is not JSON"),
        (record("[1, 2]"), "not of the expected form"),
        (record('"hunter2"'), "not of the expected form"),
        (record("[" * 200_000), "not of the expected form"),
        (record('{"x":' * 200_000), "nested too deeply"),
        (record('{"content":' + "[" * 50_000 + "]" * 50_000 + ',"group_id":"t"}'), "nested too deeply"),
        (record('{"content":"\\ud800","group_id":"t"}'), "it is not JSON"),
        (record('{"content":"\ud800","group_id":"t"}'), "it is not valid Unicode"),
        (plain(content="x" * (envelope.LARGEST_TEXT + 1)), "more than 1048576"),
        (record('{"infinity": 0, "wake": "t"}'), "there is no version 0"),
        (record('{"infinity": -5, "wake": "t"}'), "there is no version -5"),
        (record('{"infinity": true, "wake": "t"}'), "not of the expected form"),
        (record('{"infinity": "1", "wake": "t"}'), "not of the expected form"),
        (record('{"infinity": 1.5, "wake": "t"}'), "not of the expected form"),
        (record('{"infinity": 1}'), "neither 'wake' nor all of"),
        (record('{"infinity": 1, "wake": ""}'), "not of the expected form"),
        (record('{"infinity": 1, "wake": "other"}'), "another thread than its message group"),
        (record('{"infinity": 1, "wake": "t", "due": -1}'), "not of the expected form"),
        (record('{"infinity": 1, "wake": "t", "due": 99999999999999999999}'), "not of the expected form"),
        (record('{"infinity":1,"thread":"t","id":"m","kind":"user"}'), "neither 'body' nor 'claim'"),
        (record('{"infinity":1,"thread":"u","id":"m","kind":"user","body":{}}'), "another thread"),
        (record('{"infinity":1,"thread":"t","id":"m","kind":"odd","body":{}}'), "'kind' is not one"),
        (record('{"infinity":1,"thread":"t","id":"m","kind":"user","body":{}}'), "not of the expected form"),
        (
            record('{"infinity":1,"thread":"t","id":"m","kind":"user","body":{"content":[]}}'),
            "content is empty",
        ),
        (record('{"infinity":1,"thread":"t","id":"m","kind":"user","body":"x"}'), "not of the expected form"),
        (record(None), "the record is not one of a queue"),
        (record(7), "the record is not one of a queue"),
        (record("{}", messageId=None, attributes="odd"), "the record is not one of a queue"),
        ({}, "the record is not one of a queue"),
        ({"body": "{}", "attributes": {"MessageGroupId": "t"}}, "not of the expected form"),
        (
            {"body": json.dumps({"content": "x", "group_id": "t"}), "attributes": {"MessageGroupId": "t"}},
            "record is not",
        ),
    ],
)
def test_what_never_can_be_read_is_told_why_and_not_what_was_in_it(found: dict[str, Any], says: str) -> None:
    opened = envelope.open(found)
    assert isinstance(opened, Unreadable) and says in opened.reason
    assert "hunter2" not in opened.reason and len(opened.reason) < 400


@pytest.mark.parametrize(
    "body", ['{"infinity": 4, "thread": 7, "odd": []}', '{"infinity": 9007199254740993}']
)
def test_what_a_newer_version_wrote_is_left_to_it(body: str) -> None:
    opened = envelope.open(record(body))
    assert isinstance(opened, Newer) and opened.version > VERSION


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
members = st.fixed_dictionaries(
    {},
    optional={
        "infinity": st.integers(-1, 2) | json_values,
        "wake": st.just("t") | json_values,
        "thread": st.just("t") | json_values,
        "id": json_values,
        "kind": st.sampled_from(list(Kind)) | json_values,
        "accepted_at": json_values,
        "body": json_values,
        "claim": json_values,
        "due": json_values,
        "content": json_values,
        "group_id": st.just("t") | json_values,
        "user_id": json_values,
    },
)


@given(body=st.builds(json.dumps, members | json_values) | st.text(st.characters()))
def test_nothing_that_a_queue_may_hold_raises(body: str) -> None:
    assert isinstance(envelope.open(record(body)), Message | Claimed | Said | Wake | Unreadable | Newer)


@given(thread=st.text(st.characters(), max_size=300))
def test_every_thread_has_a_group_and_a_deduplication_id_that_sqs_takes(thread: str) -> None:
    for id in (group_id(thread), deduplication_id(thread, thread)):
        assert 1 <= len(id) <= 128 and id.isascii() and id.isprintable() and " " not in id
    assert group_id(group_id(thread)) == group_id(thread)


def test_legal_threads_are_their_own_group_and_ids_do_not_run_together() -> None:
    for thread in ("t", "root:a@b+c-d_e.f", "x" * 128):
        assert group_id(thread) == thread
    assert group_id("x" * 129) != group_id("x" * 130)
    assert deduplication_id("a", "bc") != deduplication_id("ab", "c")
    assert deduplication_id("t", "m") == hashlib.sha256(b"t\0m").hexdigest()
