"""Schemas that are small and ask for much: refused when they are read, or counted before the arguments are checked (B10)."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import pytest

from infinity.errors import ToolsetError
from infinity.rap.manifest import parse_manifest
from infinity.schema_work import MAX_STEPS, SchemaWork, TooMuchWork
from infinity.tools.schema import ArgumentSchema

pytestmark = pytest.mark.trap("B10")

QUICK = 60.0
"""Seconds. What is not bounded takes hours here; a busy machine takes its time too."""


def doubling(times: int, how: str = "allOf") -> dict[str, Any]:
    definitions: dict[str, Any] = {f"d{n}": {how: [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(times)}
    return {"$ref": "#/$defs/d0", "$defs": {**definitions, f"d{times}": {"type": "object"}}}


def chain(length: int) -> dict[str, Any]:
    definitions: dict[str, Any] = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}]} for n in range(length)}
    return {"$ref": "#/$defs/d0", "$defs": {**definitions, f"d{length}": {}}}


def anchored() -> dict[str, Any]:
    definitions: dict[str, Any] = {
        f"d{n}": {"$anchor": f"a{n}", "oneOf": [{"$ref": f"#a{n + 1}"}] * 2} for n in range(40)
    }
    return {"$ref": "#a0", "$defs": {**definitions, "d40": {"$anchor": "a40"}}}


def identified() -> dict[str, Any]:
    definitions: dict[str, Any] = {
        f"d{n}": {"$id": f"d{n}", "anyOf": [{"$ref": f"d{n + 1}"}] * 2} for n in range(40)
    }
    return {"$id": "http://a.example/x/", "$ref": "d0", "$defs": {**definitions, "d40": {"$id": "d40"}}}


REFUSED = {
    "doubles by allOf": doubling(40),
    "doubles by anyOf": doubling(40, "anyOf"),
    "doubles by oneOf": doubling(18, "oneOf"),
    "doubles by anchors": anchored(),
    "doubles by ids": identified(),
    "doubles below a property": {"properties": {"a": doubling(40)}, "$defs": doubling(40)["$defs"]},
    "applies itself": {"allOf": [{"$ref": "#"}]},
    "applies itself by two": {
        "$ref": "#/$defs/a",
        "$defs": {"a": {"not": {"$ref": "#/$defs/b"}}, "b": {"if": {"$ref": "#/$defs/a"}}},
    },
    "applies itself dynamically": {"$dynamicAnchor": "n", "allOf": [{"$dynamicRef": "#n"}]},
    "a chain of thousands": chain(5_000),
    "a repetition of repetitions": {"properties": {"a": {"pattern": r"((\w{100}){100}){40}"}}},
    "many large repetitions": {
        "properties": {f"a{n}": {"pattern": rf"\w{{{n},500}}"} for n in range(40)},
    },
}


@pytest.mark.parametrize("schema", REFUSED.values(), ids=REFUSED.keys())
def test_a_schema_without_bounds_is_refused_when_it_is_read(schema: dict[str, Any]) -> None:
    began = time.monotonic()
    with pytest.raises(ToolsetError, match="not a usable JSON Schema"):
        ArgumentSchema(schema)
    described = {"name": "t", "description": "d", "inputSchema": {"type": "object", **schema}}
    manifest = {"name": "x", "description": "d", "endpoint": "http://127.0.0.1:1/", "tools": [described]}
    with pytest.raises(ToolsetError):
        parse_manifest(json.dumps(manifest).encode(), "http://127.0.0.1:1")
    assert time.monotonic() - began < QUICK


def nested(levels: int, width: int = 1) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {f"k{n}": value for n in range(width)}
    return value


TWICE = {"type": "object", "additionalProperties": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}
AGAIN = {
    "type": "object",
    "allOf": [{"additionalProperties": {"$ref": "#"}}, {"properties": {"k0": True}}],
    "unevaluatedProperties": {"$ref": "#"},
}
BACKTRACKING = {
    "properties": {"a": {"allOf": [{"pattern": r"^(?:(a+)+)\1b$", "title": str(n)} for n in range(900)]}}
}


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        (TWICE, nested(40)),
        (TWICE, nested(8, 4)),
        (AGAIN, nested(20)),
        (BACKTRACKING, {"a": "a" * 40 + "!"}),
        ({"additionalProperties": {"$ref": "#"}, "required": [f"x{n}" for n in range(5_000)]}, nested(10, 3)),
    ],
)
def test_arguments_that_would_take_too_long_are_a_problem_and_not_a_wait(
    schema: dict[str, Any], arguments: dict[str, Any]
) -> None:
    began = time.monotonic()
    [problem] = ArgumentSchema(schema).problems(arguments)
    assert problem.startswith("the arguments cannot be checked: ")
    assert time.monotonic() - began < QUICK


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        (doubling(8), {"a": 1}),
        (chain(30), {}),
        (TWICE, nested(6, 2)),
        ({"properties": {"a": {"uniqueItems": True}}}, {"a": [{"x": n} for n in range(20_000)]}),
        ({"properties": {"a": {"multipleOf": 1e-300}}}, {"a": 1e300}),
        ({"properties": {"a": {"enum": [f"v{n}" for n in range(5_000)]}}}, {"a": "v4999"}),
        ({"properties": {"a": {"pattern": r"^[\w.-]{1,64}@[\w.-]{1,64}$"}}}, {"a": "x@y"}),
        ({"properties": {"a": {"pattern": r"^(?:(a+)+)\1$"}}}, {"a": "aa"}),
        (
            {"properties": {"s": {"$ref": "https://json-schema.org/draft/2020-12/schema"}}},
            {"s": {"type": "object"}},
        ),
        (
            {"additionalProperties": {"anyOf": [{"$ref": "#"}, {"type": "string"}]}},
            {"a": {"b": {"c": "x" * 500_000}}},
        ),
    ],
)
def test_what_is_within_bounds_is_checked_as_ever(schema: dict[str, Any], arguments: dict[str, Any]) -> None:
    began = time.monotonic()
    assert SchemaWork(schema).steps(arguments) <= MAX_STEPS
    problems = ArgumentSchema(schema).problems(arguments)
    assert not any("cannot be checked" in problem for problem in problems)
    assert time.monotonic() - began < QUICK


def test_a_schema_of_everyday_size_is_bounded_without_looking_at_each_pair() -> None:
    work = SchemaWork({"properties": {"a": {"type": "string"}, "b": {"items": {"type": "integer"}}}})
    assert work.steps({"a": "x", "b": list(range(1_000))}) < MAX_STEPS
    assert work._whole < 100


def test_the_count_grows_with_what_the_validator_does() -> None:
    work = SchemaWork(TWICE)
    work._whole = float("inf")
    counts = [work.steps(nested(levels)) for levels in range(1, 10)]
    assert all(1.8 < later / earlier < 3.5 for earlier, later in itertools.pairwise(counts))


def test_a_definition_that_leads_nowhere_is_left_to_the_validator() -> None:
    SchemaWork({"$ref": "#/$defs/none"})
    with pytest.raises(ToolsetError):
        ArgumentSchema({"$ref": "#/$defs/none"})


def test_a_deep_value_is_refused_and_not_a_crash() -> None:
    with pytest.raises(TooMuchWork):
        SchemaWork({"additionalProperties": {"allOf": [{"$ref": "#"}], "items": {}}}).steps(nested(900))
