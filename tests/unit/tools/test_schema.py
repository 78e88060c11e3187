"""Arguments against schemas: what the model is told."""

from __future__ import annotations

from typing import Any

import pytest

from infinity.errors import ToolsetError
from infinity.tools.schema import ArgumentSchema

pytestmark = pytest.mark.rap("INV-2")

PULL_REQUEST = {
    "type": "object",
    "properties": {
        "number": {"type": "integer"},
        "state": {"enum": ["open", "closed"]},
        "labels": {"type": "array", "items": {"type": "object", "required": ["name"]}},
    },
    "required": ["number"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, 'arguments: "number" is a required property'),
        ({"number": "42"}, 'number: the value is not of type "integer"'),
        ({"number": 1, "state": "x"}, 'state: the value is not one of "open" or "closed"'),
        ({"number": 1, "labels": [{}]}, 'labels[0]: "name" is a required property'),
        ({"number": 1, "labels": {}}, 'labels: the value is not of type "array"'),
        (
            {"number": 1, "colour": "red"},
            "arguments: Additional properties are not allowed ('colour' was unexpected)",
        ),
    ],
)
def test_a_problem_says_where_and_what_was_expected(arguments: dict[str, Any], problem: str) -> None:
    assert ArgumentSchema(PULL_REQUEST).problems(arguments) == [problem]


def test_good_arguments_have_no_problems() -> None:
    assert ArgumentSchema(PULL_REQUEST).problems({"number": 42, "state": "open", "labels": []}) == []


@pytest.mark.trap("G2")
def test_a_thousand_problems_are_told_in_eight_short_texts() -> None:
    schema = {"type": "object", "additionalProperties": {"type": "integer"}}
    problems = ArgumentSchema(schema).problems({f"{'k' * 1000}{n}": "v" * 10_000 for n in range(1000)})
    assert len(problems) == 8
    assert all(len(problem) <= 300 for problem in problems)
    assert problems[-1] == "… and more"


@pytest.mark.trap("S9")
def test_a_problem_does_not_repeat_the_value() -> None:
    problems = ArgumentSchema(PULL_REQUEST).problems({"number": "hunter2"})
    assert problems
    assert "hunter2" not in str(problems)


def test_arguments_nested_beyond_reason_are_a_problem_and_not_a_crash() -> None:
    deep: dict[str, Any] = {}
    level = deep
    for _ in range(100_000):
        level["x"] = {}
        level = level["x"]
    schema = {"type": "object", "additionalProperties": {"$ref": "#"}}
    assert ArgumentSchema(schema).problems(deep) == ["arguments: nested more than 128 levels deep"]


def test_a_schema_that_refers_to_itself_ends() -> None:
    schema = {"type": "object", "properties": {"child": {"$ref": "#"}, "n": {"type": "integer"}}}
    assert ArgumentSchema(schema).problems({"child": {"child": {"n": "x"}}}) == [
        'child.child.n: the value is not of type "integer"'
    ]


def test_drafts_are_told_apart_by_their_schema_keyword() -> None:
    # Draft 7 has no prefixItems: there it constrains nothing.
    schema: dict[str, Any] = {"type": "object", "properties": {"a": {"prefixItems": [{"type": "integer"}]}}}
    assert ArgumentSchema(schema).problems({"a": ["x"]})
    draft7 = {"$schema": "http://json-schema.org/draft-07/schema#", **schema}
    assert ArgumentSchema(draft7).problems({"a": ["x"]}) == []


@pytest.mark.parametrize(
    "schema", [{"type": "strin"}, {"$ref": "#/nowhere"}, {"$ref": "http://127.0.0.1:9/x"}, {"pattern": "("}]
)
def test_what_is_no_schema_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(ToolsetError):
        ArgumentSchema(schema)
