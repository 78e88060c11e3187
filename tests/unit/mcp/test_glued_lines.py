"""Answers in lines that a server wrote something else into."""

from __future__ import annotations

import json

import pytest

from infinity.mcp.process import glued

ANSWER = {"jsonrpc": "2.0", "id": 1, "result": {"text": 'a } b { "id": "\\u2028"'}}
OTHER = {"id": 2, "error": {"code": -1, "message": "no"}, "jsonrpc": "2.0"}
REQUEST = {"jsonrpc": "2.0", "id": 1, "method": "roots/list"}


def ids(line: str) -> list[object]:
    return [message.id for message in glued(line.encode())]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "line",
    [
        "Loading the model ... " + json.dumps(ANSWER),
        json.dumps(ANSWER) + " done.",
        '{"level": "info", "id": 7} ' + json.dumps(ANSWER) + "}",
        "\ufeff" + json.dumps(ANSWER),
        "\x1b[32m{" + json.dumps(ANSWER) + "\x1b[0m",
    ],
)
def test_an_answer_is_found_beside_other_words(line: str) -> None:
    assert ids(line) == [1]


def test_two_answers_in_one_line_are_both_found() -> None:
    assert ids(json.dumps(ANSWER) + json.dumps(OTHER)) == [1, 2]


@pytest.mark.parametrize(
    "line",
    [
        "please wait",
        '{"id": ',
        "received " + json.dumps(REQUEST),
        '{"id": 1}',
        "{" * 10_000,
        '{"id":' * 10_000,
    ],
)
def test_what_is_no_answer_is_passed_over(line: str) -> None:
    assert ids(line) == []
