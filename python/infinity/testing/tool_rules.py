"""What model APIs refuse of the tools in a request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import jsonschema_rs
import msgspec

TOOL_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,128}$")
"""What the Messages API takes as a tool's name."""
PROPERTY_KEY = r"^[a-zA-Z0-9_.-]{1,64}$"
"""What it takes as the name of an argument."""
_PROPERTY_KEY = re.compile(PROPERTY_KEY)


def tool_problems(tools: Any) -> Iterator[str]:
    """What the Messages API refuses of a request's tools.

    Args:
        tools: as the request has them; any JSON.
    """
    if tools is None:
        return
    if not isinstance(tools, list):
        yield "tools: must be a list"
        return
    names: set[str] = set()
    for index, tool in enumerate(tools):
        path = f"tools.{index}"
        if not isinstance(tool, dict):
            yield f"{path}: must be an object"
            continue
        name = tool.get("name")
        if not isinstance(name, str) or not TOOL_NAME.match(name):
            yield f"{path}.name: must match {TOOL_NAME.pattern}"
        elif name in names:
            yield f"{path}.name: tool names must be unique, {name!r} is not"
        else:
            names.add(name)
        if not isinstance(tool.get("description", ""), str):
            yield f"{path}.description: must be a string"
        for problem in schema_problems(msgspec.json.encode(tool.get("input_schema"))):
            yield f"{path}.custom.input_schema{problem}"


@lru_cache(maxsize=4096)
def schema_problems(encoded: bytes) -> tuple[str, ...]:
    """What it refuses of one schema.

    Args:
        encoded: the schema as JSON, because tools are the same in request after request and answers are
            remembered.
    """
    schema = msgspec.json.decode(encoded)
    if not isinstance(schema, dict):
        return (": must be a JSON Schema of type object",)
    return tuple(_schema_problems(schema))


def _schema_problems(schema: dict[str, Any]) -> Iterator[str]:
    if schema.get("type") != "object":
        yield ".type: must be a JSON Schema of type object"
    # At the top only; within properties they are fine.
    if {"anyOf", "oneOf", "allOf"} & schema.keys():
        yield ": input_schema does not support oneOf, allOf, or anyOf at the top level"
    if not jsonschema_rs.meta.is_valid({**schema, "$schema": "https://json-schema.org/draft/2020-12/schema"}):
        yield ": JSON schema is invalid. It must match JSON Schema draft 2020-12"
    if not all(map(_PROPERTY_KEY.match, _property_keys(schema))):
        yield f".properties: Property keys should match pattern '{PROPERTY_KEY}'"


def openai_schema_problems(schema: Any) -> Iterator[str]:
    """What OpenAI's two APIs refuse of a function's parameters.

    Args:
        schema: any JSON.
    """
    if not isinstance(schema, dict) or schema.get("type") != "object":
        yield "must be a JSON Schema of type object"
        return
    if {"anyOf", "oneOf", "allOf", "enum", "not"} & schema.keys():
        yield "schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level"
    if not isinstance(schema.get("properties"), dict):
        yield "object schema missing properties"
    for each in _schemas(schema):
        kinds = each.get("type")
        if (kinds == "array" or (isinstance(kinds, list) and "array" in kinds)) and not (
            {"items", "prefixItems"} & each.keys()
        ):
            yield "array schema missing items"


def _property_keys(schema: Any) -> Iterator[str]:
    for each in _schemas(schema):
        properties = each.get("properties")
        if isinstance(properties, dict):
            yield from properties


def _schemas(schema: Any) -> Iterator[dict[str, Any]]:
    """This schema and those in it."""
    if isinstance(schema, list):
        for each in schema:
            yield from _schemas(each)
    if not isinstance(schema, dict):
        return
    yield schema
    for keyword, value in schema.items():
        if keyword in ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas"):
            for each in value.values() if isinstance(value, dict) else ():
                yield from _schemas(each)
        elif keyword not in ("const", "enum", "default", "examples", "required", "type"):
            yield from _schemas(value)
