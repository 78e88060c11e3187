"""Calls that are streamed are told apart by id, by index or by being complete, in whatever way a server numbers them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from infinity.models.open_calls import OpenCalls

A, B = '{"path":"/a"}', '{"path":"/b"}'


def piece(arguments: Any = None, name: str | None = None, **fields: Any) -> dict[str, Any]:
    function = {"name": name} if name is not None else {}
    return {**fields, "function": function | ({} if arguments is None else {"arguments": arguments})}


def read(*pieces: dict[str, Any]) -> list[tuple[str, Any]]:
    calls = OpenCalls(lambda name: name)
    shown = [part for each in pieces for part in calls.feed(each)]
    finished = calls.finished()
    assert [part.id for part in shown] == list(dict.fromkeys(part.id for part in shown))
    assert {part.id for part in shown} == {call.id for call in finished}
    return [(call.name, call.arguments()[0]) for call in finished]


TWO = [("look", {"path": "/a"}), ("look", {"path": "/b"})]
WAYS_TO_SEND_TWO: dict[str, list[dict[str, Any]]] = {
    "as the API says": [
        piece("", "look", index=0, id="a"),
        piece(A, index=0),
        piece("", "look", index=1, id="b"),
        piece(B, index=1),
    ],
    "one index": [piece(A, "look", index=0, id="a"), piece(B, "look", index=0, id="b")],
    "one index, in pieces": [
        piece("", "look", index=0, id="a"),
        piece(A[:5], index=0),
        piece(A[5:], index=0),
        piece("", "look", index=0, id="b"),
        piece(B[:5], index=0),
        piece(B[5:], index=0),
    ],
    "no index": [piece(A, "look", id="a"), piece(B, "look", id="b")],
    "no index, in pieces": [
        piece("", "look", id="a"),
        piece(A[:5]),
        piece(A[5:]),
        piece("", "look", id="b"),
        piece(B),
    ],
    "id in each piece": [
        piece("", "look", id="a"),
        piece(A[:5], id="a"),
        piece(A[5:], id="a"),
        piece("", "look", id="b"),
        piece(B, id="b"),
    ],
    "ids nowhere": [piece(A, "look", index=0), piece(B, "look", index=1)],
    "neither ids nor index": [piece(A, "look"), piece(B, "look")],
    "neither, in pieces": [
        piece("", "look"),
        piece(A[:5]),
        piece(A[5:]),
        piece("", "look"),
        piece(B[:5]),
        piece(B[5:]),
    ],
    "no ids, one index": [piece(A, "look", index=0), piece(B, "look", index=0)],
    "one id": [piece(A, "look", index=0, id="x"), piece(B, "look", index=1, id="x")],
    "one id, no index": [piece(A, "look", id="x"), piece(B, "look", id="x")],
    "one id, one index, in pieces": [
        piece("", "look", index=0, id="x"),
        piece(A, index=0),
        piece("", "look", index=0, id="x"),
        piece(B, index=0),
    ],
    "an empty id": [piece(A, "look", index=0, id=""), piece(B, "look", index=1, id="")],
    "a new id for every piece": [
        piece("", "look", index=0, id="1"),
        piece(A[:5], index=0, id="2"),
        piece(A[5:], index=0, id="3"),
        piece("", "look", index=1, id="4"),
        piece(B[:5], index=1, id="5"),
        piece(B[5:], index=1, id="6"),
    ],
    "objects": [
        piece({"path": "/a"}, "look", index=0, id="a"),
        piece({"path": "/b"}, "look", index=0, id="b"),
    ],
    "names late": [
        piece(A[:5], index=0, id="a"),
        piece(A[5:], "look", index=0, id="a"),
        piece("", "", index=1, id="b"),
        piece(B, "look", index=1),
    ],
    "an index that is text": [piece(A, "look", index="0", id="a"), piece(B, "look", index="1", id="b")],
    "interleaved": [
        piece("", "look", index=0, id="a"),
        piece("", "look", index=1, id="b"),
        piece(A[:5], index=0),
        piece(B[:5], index=1),
        piece(A[5:], index=0),
        piece(B[5:], index=1),
    ],
    "encoded twice": [
        piece('"{\\"path\\":\\"/a\\"}"', "look", index=0, id="a"),
        piece('"{\\"path\\":\\"/b\\"}"', "look", index=1, id="b"),
    ],
    "not nested": [
        {"index": 0, "id": "a", "name": "look", "arguments": A},
        {"index": 1, "id": "b", "name": "look", "arguments": B},
    ],
}


@pytest.mark.parametrize("pieces", WAYS_TO_SEND_TWO.values(), ids=WAYS_TO_SEND_TWO)
def test_two_calls_are_two_in_every_form(pieces: list[dict[str, Any]]) -> None:
    assert read(*pieces) == TWO


WAYS_TO_SEND_ONE: dict[str, list[dict[str, Any]]] = {
    "id and name in each piece": [
        piece(A[:5], "look", index=0, id="a"),
        piece(A[5:9], "look", index=0, id="a"),
        piece(A[9:], "look", index=0, id="a"),
    ],
    "all of it again at the end": [piece(A, "look", index=0, id="a"), piece(A, "look", index=0, id="a")],
    "a placeholder first": [piece("{}", "look", index=0, id="a"), piece(A, index=0, id="a")],
    "the name again at the end": [piece(A, "look", index=0, id="a"), piece("", "look", index=0, id="a")],
    "the id late": [piece(A[:5], "look", index=0), piece(A[5:], index=0, id="a")],
    "empty pieces between": [
        piece("", "look", index=0, id="a"),
        piece(None, index=0),
        piece(A, index=0),
        {"index": 0},
    ],
}


@pytest.mark.parametrize("pieces", WAYS_TO_SEND_ONE.values(), ids=WAYS_TO_SEND_ONE)
def test_one_call_is_one_in_every_form(pieces: list[dict[str, Any]]) -> None:
    assert read(*pieces) == TWO[:1]


@pytest.mark.parametrize(("cut", "other"), [*itertools.product(range(0, 14, 3), repeat=2)])
def test_where_the_pieces_are_cut_does_not_matter(cut: int, other: int) -> None:
    first = [piece(A[:cut], "look", index=0, id="a"), piece(A[cut:], index=0)]
    second = [piece(B[:other], "look", index=0, id="b"), piece(B[other:], index=0)]
    assert read(*first, *second) == TWO


def test_a_call_without_arguments_is_one() -> None:
    assert read(piece("", "stop", index=0, id="a"), piece(B, "look", index=0, id="b")) == [
        ("stop", {}),
        TWO[1],
    ]
