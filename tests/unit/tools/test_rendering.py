"""Schemas in the form that every model API takes. The real schema checks the arguments; what is rendered never forbids what it allows."""

from __future__ import annotations

import time
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from infinity.errors import ToolsetError
from infinity.testing.messages_rules import check
from infinity.tools.rendering import PROPERTY_NAME, render
from infinity.tools.schema import ArgumentSchema

A, B = {"type": "string"}, {"type": "integer"}


def obj(**fields: Any) -> dict[str, Any]:
    return {"type": "object", **fields}


def acceptable(schema: dict[str, Any]) -> list[str]:
    tools = [{"name": "t", "description": "d", "input_schema": schema}]
    request = {"model": "m", "max_tokens": 1, "tools": tools, "messages": [{"role": "user", "content": "x"}]}
    return check(request)


@pytest.mark.parametrize(
    "schema",
    [
        obj(properties={}),
        obj(properties={"a": A, "b.c-d_E": B}, required=["a"], additionalProperties=False),
        {"properties": {"a": {"anyOf": [A, B]}}, "type": "object", "description": "x"},
        obj(properties={"a": {"$ref": "#/$defs/A"}}, **{"$defs": {"A": A}}),
        obj(properties={"a": {"type": "array", "items": A}}, minProperties=1),
        obj(properties={"a": {"const": {"b c": 1}}, "b": {"enum": [{"x y": 1}], "default": {"ü": 1}}}),
    ],
)
def test_an_ordinary_schema_is_sent_as_it_came(schema: dict[str, Any]) -> None:
    rendered, names = render(schema)
    assert msgspec.json.encode(rendered) == msgspec.json.encode(schema)
    assert names is None


DEFS = {"$defs": {"Args": obj(properties={"a": A}, required=["a"], description="The arguments.")}}

Case = tuple[dict[str, Any], list[dict[str, Any]]]

SCHEMAS: dict[str, Case] = {
    "empty": ({}, [{}, {"x": 1}]),
    "no type": ({"properties": {"a": A}}, [{}, {"a": "x"}]),
    "type may be null": ({"type": ["object", "null"], "properties": {"a": A}}, [{"a": "x"}]),
    "anyOf of required": (
        obj(properties={"a": A, "b": A}, anyOf=[{"required": ["a"]}, {"required": ["b"]}]),
        [{"a": "x"}, {"b": "x"}, {"a": "x", "b": "y"}],
    ),
    "oneOf with properties": (
        {"oneOf": [obj(properties={"a": A}, required=["a"]), obj(properties={"b": B}, required=["b"])]},
        [{"a": "x"}, {"b": 1}],
    ),
    "one name, two types": (
        {"anyOf": [obj(properties={"a": A}), obj(properties={"a": B})]},
        [{"a": "x"}, {"a": 1}],
    ),
    "allOf": (
        {
            "allOf": [
                obj(properties={"a": A}, required=["a"]),
                obj(properties={"b": B, "a": {"minLength": 1}}),
            ]
        },
        [{"a": "x"}, {"a": "x", "b": 1}],
    ),
    "allOf that looks closed": (
        {"allOf": [obj(properties={"a": A, "b": A}, additionalProperties=False), obj(properties={"b": A})]},
        [{"a": "x", "b": "y"}],
    ),
    "nested combinators": (
        {
            "anyOf": [
                {"allOf": [{"anyOf": [obj(properties={"a": A}), obj(properties={"b": B})]}]},
                {"type": "null"},
            ]
        },
        [{"a": "x"}, {"b": 1}],
    ),
    "an alternative that is not an object": ({"anyOf": [A, obj(properties={"a": A})]}, [{"a": "x"}, {}]),
    "boolean alternatives": ({"anyOf": [True, False]}, [{}, {"x": 1}]),
    "root reference": ({"$ref": "#/$defs/Args", **DEFS}, [{"a": "x"}]),
    "reference in anyOf": (
        {"anyOf": [{"$ref": "#/$defs/Args"}, {"required": ["z"]}], **DEFS},
        [{"a": "x"}, {"z": 1}],
    ),
    "chain of references": (
        {"$ref": "#/$defs/One", "$defs": {"One": {"$ref": "#/$defs/Two"}, "Two": obj(properties={"a": A})}},
        [{"a": "x"}],
    ),
    "recursive root": (
        {
            "$ref": "#/$defs/Node",
            "$defs": {"Node": obj(properties={"next": {"$ref": "#/$defs/Node"}, "a b": A})},
        },
        [{"next": {"next": {"a b": "x"}}}],
    ),
    "root that refers to itself": (obj(properties={"child": {"$ref": "#"}, "a": A}), [{"child": {"a": "x"}}]),
    "reference into properties": (
        obj(properties={"a b": A, "c": {"$ref": "#/properties/a%20b"}}),
        [{"a b": "x", "c": "y"}],
    ),
    "reference into a combinator": (
        {"oneOf": [obj(properties={"a": A})], "properties": {"b": {"$ref": "#/oneOf/0/properties/a"}}},
        [{"a": "x", "b": "y"}],
    ),
    "anchor": (
        {"$ref": "#args", "$defs": {"Args": {**obj(properties={"a": A}), "$anchor": "args"}}},
        [{"a": "x"}],
    ),
    "const and enum": ({"enum": [{"a": 1}, "x"]}, [{"a": 1}]),
    "not": (obj(properties={"a": A}, **{"not": {"required": ["b"]}}), [{"a": "x"}]),
    "if then else": (
        obj(properties={"a": A}, **{"if": {"required": ["a"]}, "then": {"properties": {"b c": B}}}),
        [{"a": "x", "b c": 1}],
    ),
    "names that no API takes": (
        obj(
            properties={"$filter": A, "größe": B, "a b": A, "": A, "x" * 80: A, "ok": A},
            required=["$filter", "größe"],
            dependentRequired={"a b": ["größe"]},
        ),
        [{"$filter": "x", "größe": 1, "a b": "y", "": "z", "x" * 80: "q", "ok": "o"}],
    ),
    "names that become alike": (
        obj(properties={"a b": A, "a_b": B, "a/b": {"type": "boolean"}}, required=["a b", "a_b", "a/b"]),
        [{"a b": "x", "a_b": 1, "a/b": True}],
    ),
    "names in depth": (
        obj(
            properties={
                "list": {"type": "array", "items": obj(properties={"x y": A}, required=["x y"])},
                "map": obj(additionalProperties=obj(properties={"@id": A})),
                "either": {"anyOf": [obj(properties={"p q": B}), A]},
                "tuple": {"type": "array", "prefixItems": [obj(properties={"r s": B})]},
                "matched": obj(patternProperties={"^k": obj(properties={"t u": B})}),
            }
        ),
        [
            {
                "list": [{"x y": "1"}, {"x y": "2"}],
                "map": {"free key": {"@id": "i"}, "@id": {"@id": "j"}},
                "either": {"p q": 1},
                "tuple": [{"r s": 1}],
                "matched": {"k1": {"t u": 1}},
            }
        ],
    ),
    "names behind references": (
        obj(
            properties={"a": {"$ref": "#/$defs/Deep"}},
            **{"$defs": {"Deep": obj(properties={"b c": {"$ref": "#/$defs/Deep"}, "d": A})}},
        ),
        [{"a": {"b c": {"b c": {"d": "x"}}}}],
    ),
    "free data under a name like an alias": (
        obj(properties={"a b": A, "data": {"type": "object"}}),
        [{"a b": "x", "data": {"a_b": 1, "a b": 2}}],
    ),
    "draft 4": (
        {
            "$schema": "http://json-schema.org/draft-04/schema#",
            "type": "object",
            "properties": {"a": {"type": "integer", "minimum": 1, "exclusiveMinimum": True}},
        },
        [{"a": 2}],
    ),
    "draft 7": (
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "$id": "https://tools.example/x",
            "type": "object",
            "definitions": {"T": {"type": "array", "items": [A, B], "additionalItems": False}},
            "properties": {"a": {"$ref": "#/definitions/T"}},
            "dependencies": {"a": ["b"]},
        },
        [{"a": ["x", 1], "b": 1}],
    ),
    "boolean properties": (obj(properties={"a": True, "b": A}), [{"a": 1}, {"a": None, "b": "x"}]),
    "array without items": (
        obj(properties={"a": {"type": "array"}, "b": {"type": ["array", "null"]}}),
        [{"a": [1, "x"]}],
    ),
}


@pytest.mark.parametrize("name", [*SCHEMAS])
def test_what_the_real_schema_allows_is_sent_in_a_form_that_apis_take(name: str) -> None:
    schema, instances = SCHEMAS[name]
    before = msgspec.json.encode(schema)
    rendered, names = render(schema)
    assert acceptable(rendered) == []
    assert msgspec.json.encode(schema) == before
    real, sent = ArgumentSchema(schema), jsonschema_rs.validator_for(rendered)
    for instance in instances:
        assert real.problems(instance) == []
        told = _aliased(instance, rendered, names)
        assert [str(error) for error in sent.iter_errors(told)] == []
        assert (names.real(told) if names else told) == instance


def _aliased(instance: dict[str, Any], rendered: dict[str, Any], names: Any) -> dict[str, Any]:
    """What a model writes that goes by the rendered schema."""
    if names is None:
        return instance
    aliases = dict(names._aliases)

    def told(value: Any, free: bool) -> Any:
        if isinstance(value, list):
            return [told(item, free) for item in value]
        if not isinstance(value, dict):
            return value
        return {
            key if free else aliases.get(key, key): told(item, free or key == "data")
            for key, item in value.items()
        }

    made = told(instance, False)
    if "map" in instance:
        # The keys of a map are data.
        made["map"] = {key: told(item, False) for key, item in instance["map"].items()}
    assert isinstance(made, dict)
    return made


def test_the_same_schema_gives_the_same_bytes() -> None:
    for schema, _ in SCHEMAS.values():
        assert msgspec.json.encode(render(schema).schema) == msgspec.json.encode(render(schema).schema)


def test_the_model_is_told_which_properties_go_together() -> None:
    schema = obj(
        description="Runs a plan.",
        properties={"yaml": A, "the file": A},
        oneOf=[{"required": ["yaml"]}, {"required": ["the file"]}],
    )
    assert render(schema).schema["description"] == "Runs a plan.\nGive exactly one of: yaml; the_file."


def test_a_model_that_uses_the_real_names_is_understood() -> None:
    _, names = render(obj(properties={"$filter": A, "b": obj(properties={"c d": A})}))
    assert names is not None
    arguments = {"$filter": "x", "b": {"c d": "y"}}
    assert names.real(arguments) == arguments
    assert names.real({"$filter": "x", "_filter": "y"}) == {"$filter": "x", "_filter": "y"}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"type": ["null", "array"]},
        {"anyOf": [A, B]},
        {"allOf": [obj(), A]},
        {"allOf": [False]},
        {"oneOf": [False]},
        {"enum": ["a", 1]},
        {"const": "a"},
        {"$ref": "#/$defs/Missing"},
        {"$ref": "https://elsewhere.example/schema"},
        obj(properties={"a": {"type": "strin"}}, anyOf=[{}]),
        obj(properties=[], anyOf=[{}], patternProperties=5),
    ],
)
def test_what_takes_no_object_or_cannot_be_told_is_left_out(schema: dict[str, Any]) -> None:
    with pytest.raises(ToolsetError):
        render(schema)


def test_alternatives_that_multiply_are_bounded() -> None:
    doubling = {
        f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]} for n in range(40)
    }
    began = time.monotonic()
    with pytest.raises(ToolsetError, match="too many"):
        render({"$ref": "#/$defs/d0", "$defs": {**doubling, "d40": obj()}})
    nested = {
        f"d{n}": obj(
            properties={"a b": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]}}
        )
        for n in range(40)
    }
    _, names = render(obj(properties={"a b": {"$ref": "#/$defs/d0"}}, **{"$defs": {**nested, "d40": obj()}}))
    value: Any = {}
    for _ in range(40):
        value = {"a_b": value}
    assert names is not None and "a b" in names.real(value)
    assert time.monotonic() - began < 60


def test_arguments_that_are_nested_without_end_stay_as_they_are() -> None:
    _, names = render(obj(properties={"a b": {"$ref": "#"}}))
    value: Any = {}
    for _ in range(900):
        value = {"a_b": value}
    assert names is not None and "a b" in names.real(value)


def test_every_alias_is_a_name_that_apis_take() -> None:
    hard = dict.fromkeys(
        ("", " ", "ü", "a" * 64, "a" * 65, "a" * 66, "日本語", "__", "a\nb", "$", "$$", "_", "_2"), A
    )
    rendered, names = render(obj(properties=hard))
    assert names is not None
    assert all(map(PROPERTY_NAME.match, rendered["properties"]))
    assert len(rendered["properties"]) == len(hard)
    told = dict.fromkeys(rendered["properties"], "x")
    assert names.real(told) == dict.fromkeys(hard, "x")
