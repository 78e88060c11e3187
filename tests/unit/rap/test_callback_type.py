"""The type of a callback that cannot be read, from its first bytes."""

from __future__ import annotations

import json
import random

import pytest

from infinity.rap.callback_type import PREFIX, callback_type

pytestmark = pytest.mark.rap("CB-7")

TYPES = ["tool_result", "subscription_event", "oauth", "user_choice", "view_update"]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(
    "body",
    [
        '{"type": "%s"',
        '{"group_id":"g","type":"%s","text":"cut off he',
        '{"content": {"type": "inner", "type": "other"}, "list": [1, {"type": "x"}], "type" : "%s", "text": 5}',
        '{"text": "a \\"type\\": \\"inner\\" in a text, {", "type":"%s"}',
        '{"tex\\u0074": "type", "\\u0074ype": "%s"}',
        '{"type": "%s", "text": "\\ud83d"}',
        '{"type": "%s"} {}',
    ],
)
def test_it_is_found_however_broken_the_rest_is(body: str, kind: str) -> None:
    assert callback_type((body % kind).encode()) == kind


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'"type"', b'{"type": 5}', b'{"type": "nonsense"}', b'{"type": ["oauth"]}',
     b'{"a": {"type": "oauth"}}', b'[{"type": "oauth"}]', b'{"type"', b'{"type": "oau', b'{"x": "type", "y": "oauth"}'],
)  # fmt: skip
def test_what_says_nothing_that_is_known_counts_as_a_result(body: bytes) -> None:
    assert callback_type(body) == "tool_result"


def test_only_the_first_64_kib_are_looked_at() -> None:
    late = json.dumps({"text": "x" * PREFIX, "type": "view_update"}).encode()
    assert callback_type(late) == "tool_result"
    assert (
        callback_type(json.dumps({"text": "x" * (PREFIX - 100), "type": "view_update"}).encode())
        == "view_update"
    )


def test_it_takes_no_time_that_grows_with_what_is_wrong() -> None:
    for body in (b"[" * PREFIX, b'{"a":' * PREFIX, b'"' * PREFIX, b"\\" * PREFIX, b'"\\' * PREFIX):
        assert callback_type(body) == "tool_result"
    noise = random.Random(1)
    for _ in range(300):
        assert callback_type(noise.randbytes(300)) in TYPES
