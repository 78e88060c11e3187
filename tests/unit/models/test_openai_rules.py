"""The rules of OpenAI's APIs: what they refuse is refused here."""

from __future__ import annotations

from typing import Any

import pytest

from infinity.testing.openai_rules import check_chat, check_responses
from infinity.testing.tool_rules import openai_schema_problems
from infinity.tools.rendering import render

USER: dict[str, Any] = {"role": "user", "content": "x"}
TOOL: dict[str, Any] = {"role": "tool", "tool_call_id": "a", "content": "ok"}


def calling(*ids: str, arguments: str = "{}", name: str = "run") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": id, "type": "function", "function": function} for id in ids],
    }


def chat(*messages: dict[str, Any], **fields: Any) -> list[str]:
    return check_chat({"model": "m", "messages": [*messages], **fields})


def test_a_conversation_with_calls_is_taken() -> None:
    assert (
        chat(
            {"role": "system", "content": "s"},
            USER,
            calling("a", "b"),
            TOOL,
            {**TOOL, "tool_call_id": "b"},
            USER,
        )
        == []
    )


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([USER, TOOL], "must be a response to a preceding message"),
        ([USER, calling("a")], "did not have response messages: a"),
        ([USER, calling("a", "b"), TOOL, USER], "did not have response messages: b"),
        ([USER, calling("a"), USER, TOOL], "did not have response messages: a"),
        ([USER, calling("a"), {**TOOL, "tool_call_id": "z"}], "no open call 'z'"),
        ([USER, calling("a"), TOOL, TOOL], "no open call 'a'"),
        ([USER, calling("a", "a"), TOOL], "one id"),
        ([USER, calling("a" * 41)], "at most 40"),
        ([USER, calling("a", arguments="{"), TOOL], "JSON object"),
        ([USER, calling("a", name="has space"), TOOL], "function.name"),
        ([USER, {"role": "assistant", "content": None}], "is required unless"),
        ([USER, {"role": "assistant", "content": "x", "tool_calls": []}], "too few"),
        ([USER, calling("a"), {**TOOL, "content": [{"type": "image_url"}]}], "must be a string"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "nonsense"}}]}], "URL"),
        ([{"role": "robot", "content": "x"}], "role"),
    ],
)
def test_chat_completions_refuses(messages: list[dict[str, Any]], complaint: str) -> None:
    assert complaint in "; ".join(chat(*messages))


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"system": "x"}, "Unrecognized request argument supplied: system"),
        ({"max_tokens": 1, "max_completion_tokens": 1}, "cannot both be set"),
        (
            {
                "tools": [
                    {"type": "function", "function": {"name": "x" * 65, "parameters": {"type": "object"}}}
                ]
            },
            "name",
        ),
        ({"tools": [{"type": "function", "function": {"name": "x", "parameters": {}}}]}, "JSON Schema"),
        ({"model": ""}, "model"),
    ],
)
def test_parameters_are_checked(fields: dict[str, Any], complaint: str) -> None:
    assert complaint in "; ".join(chat(USER, **fields))


MESSAGE = {"type": "message", **USER}
CALL = {"type": "function_call", "call_id": "a", "name": "run", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "a", "output": "ok"}
THOUGHT = {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "e"}


def responses(*items: dict[str, Any], model: str = "gpt-5.5", **fields: Any) -> list[str]:
    return check_responses({"model": model, "input": [*items], "store": False, **fields}, {"e"})


def test_items_in_order_are_taken() -> None:
    assert responses(MESSAGE, THOUGHT, CALL, OUTPUT, MESSAGE) == []


@pytest.mark.parametrize(
    ("items", "complaint"),
    [
        ([MESSAGE, OUTPUT], "No tool call found"),
        ([MESSAGE, CALL], "No tool output found"),
        ([MESSAGE, CALL, OUTPUT, OUTPUT], "No tool call found"),
        ([MESSAGE, THOUGHT], "without its required following item"),
        ([MESSAGE, THOUGHT, MESSAGE], "without its required following item"),
        ([MESSAGE, {**THOUGHT, "encrypted_content": "f"}, CALL, OUTPUT], "could not be verified"),
        ([MESSAGE, {**THOUGHT, "encrypted_content": None}, CALL, OUTPUT], "not persisted"),
        ([MESSAGE, {**THOUGHT, "status": "completed"}, CALL, OUTPUT], "status"),
        ([{**MESSAGE, "content": [{"type": "text", "text": "x"}]}], "input_text"),
        (
            [{**MESSAGE, "role": "assistant", "content": [{"type": "input_text", "text": "x"}]}],
            "must be a string",
        ),
        ([MESSAGE, {**CALL, "call_id": "a" * 65}], "at most 64"),
        ([{"type": "text"}], "type"),
    ],
)
def test_responses_refuses(items: list[dict[str, Any]], complaint: str) -> None:
    assert complaint in "; ".join(responses(*items))


def test_models_that_do_not_reason_are_not_asked_to() -> None:
    fields = {"include": ["reasoning.encrypted_content"], "reasoning": {"effort": "low"}}
    assert responses(MESSAGE, **fields) == []
    assert len(responses(MESSAGE, model="gpt-4.1", **fields)) == 2
    assert responses(MESSAGE, max_output_tokens=5) and check_responses({"model": "m"}) and check_chat([])


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "object"}, "missing properties"),
        ({"type": "object", "properties": {}, "anyOf": [{}]}, "top level"),
        ({"type": "object", "properties": {}, "not": {}}, "top level"),
        ({"type": "object", "properties": {"a": {"type": "array"}}}, "missing items"),
        ({"type": "array"}, "of type object"),
        (True, "of type object"),
    ],
)
def test_schemas_that_openai_refuses_are_refused(schema: object, problem: str) -> None:
    assert any(problem in each for each in openai_schema_problems(schema))


def test_what_is_rendered_is_taken_by_openai() -> None:
    strings = {"type": "string"}
    for schema in ({}, {"anyOf": [{"properties": {"a": strings}}]}, {"properties": {"a": {"type": "array"}}}):
        assert [*openai_schema_problems(render(schema).schema)] == []
