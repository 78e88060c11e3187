"""The rules must refuse what the Messages API refuses: a checker that takes everything proves nothing."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from infinity.testing.messages_rules import check

PNG = "iVBORw0KGgo="
USE = {"type": "tool_use", "id": "toolu_1", "name": "run", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}
THOUGHT = {"type": "thinking", "thinking": "", "signature": "s"}
CACHED = {"cache_control": {"type": "ephemeral"}}


def text(value: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **fields}


def image(**source: Any) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG, **source}}


def request(*contents: Any, **fields: Any) -> dict[str, Any]:
    """A request whose messages have these contents, roles alternating."""
    messages = [
        {"role": "assistant" if index % 2 else "user", "content": content}
        for index, content in enumerate(contents)
    ]
    return {"model": "m", "max_tokens": 10, "messages": messages, **copy.deepcopy(fields)}


@pytest.mark.parametrize(
    "good",
    [
        request("hello"),
        request([text("a"), image()]),
        request("a", [THOUGHT, text("b"), USE], [RESULT, text("and?")]),
        request("a", [USE, {**USE, "id": "toolu_2"}], [{**RESULT, "tool_use_id": "toolu_2"}, RESULT]),
        request("a", [USE], [{**RESULT, "content": [text("ok"), image()]}]),
        request("a", [USE], [{**RESULT, "content": []}]),
        request("a", [USE], [{**RESULT, "is_error": True, "content": [text("Error: no")]}]),
        request("a", [{"type": "redacted_thinking", "data": "x"}, text("b")], "c"),
        request("a", [{**USE, "name": "receive_event__injected"}], [RESULT], tools=[]),
        request([text("a", **CACHED)], system=[text("s", **CACHED)]),
        request("a", thinking={"type": "adaptive"}),
    ],
)
def test_good_requests_pass(good: dict[str, Any]) -> None:
    assert check(good) == []


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        ([], "JSON object"),
        ({"model": "m", "max_tokens": 1, "messages": []}, "at least one message"),
        ({"max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}, "model"),
        ({"model": "m", "messages": [{"role": "user", "content": "x"}]}, "max_tokens"),
        (request("a", max_tokens=0), "max_tokens"),
        (request("a", temperature=1), "temperature"),
        (request("a", thinking={"type": "enabled", "budget_tokens": 10}), "budget_tokens"),
        (request("a", thinking={"type": "perhaps"}), "thinking.type"),
        (request("a", system=[text("")]), "system.0"),
        (request("a", system=[image()]), "system.0"),
        # roles
        (request("a", "b"), "last message must be the user's"),
        ({**request("a"), "messages": [{"role": "assistant", "content": "x"}]}, "alternate"),
        ({**request("a"), "messages": [{"role": "user", "content": "x"}] * 2}, "alternate"),
        ({**request("a"), "messages": [{"role": "system", "content": "x"}]}, "role"),
        ({**request("a"), "messages": ["x"]}, "role"),
        # contents
        (request([]), "non-empty content"),
        (request(""), "non-empty"),
        (request("a", [], "b"), "non-empty content"),
        (request([text("")]), "text content blocks must be non-empty"),
        (request([text(" \n")]), "non-whitespace"),
        (request("a", [text("\n\n"), USE], [RESULT]), "non-whitespace"),
        (request([USE]), "not allowed here"),
        (request("a", [RESULT], "b"), "not allowed here"),
        (request("a", [image()], "b"), "not allowed here"),
        (request([{"type": "mystery"}]), "not allowed here"),
        (request([image(media_type="image/tiff")]), "media_type"),
        (request([image(data="not base64!")]), "base64"),
        (request([image(data="")]), "base64"),
        (request([{"type": "image", "source": "x"}]), "source"),
        # reasoning
        (request("a", [{"type": "thinking", "thinking": "x"}, text("b")], "c"), "signature"),
        (request("a", [{**THOUGHT, "signature": ""}, text("b")], "c"), "signature"),
        (request("a", [{"type": "redacted_thinking"}, text("b")], "c"), "data"),
        (request("a", [text("b"), THOUGHT], "c"), "final block"),
        # calls and results
        (request("a", [{**USE, "id": "with space"}], [{**RESULT, "tool_use_id": "with space"}]), "id"),
        (request("a", [{**USE, "name": "with space"}], [RESULT]), "name"),
        (request("a", [{**USE, "input": []}], [RESULT]), "input"),
        (request("a", [USE], "no result"), "without tool_result blocks immediately after: toolu_1"),
        (request("a", [USE, {**USE, "id": "toolu_2"}], [RESULT]), "toolu_2"),
        (request("a", [USE], [RESULT, RESULT]), "single result"),
        (request("a", [USE], [text("first"), RESULT]), "must come first"),
        (request([RESULT]), "unexpected tool_use_id"),
        (request("a", [USE], [RESULT], "b", [RESULT]), "unexpected tool_use_id"),
        (request("a", [USE], [RESULT], [USE], [RESULT]), "must be unique"),
        (request("a", [USE, USE], [RESULT]), "must be unique"),
        (request("a", [USE], [{**RESULT, "content": [text("")]}]), "non-empty"),
        (request("a", [USE], [{**RESULT, "content": [THOUGHT]}]), "not allowed here"),
        (
            request("a", [USE], [{**RESULT, "is_error": True, "content": [image()]}]),
            "all content must be text",
        ),
        (request("a", [USE], [{**RESULT, "is_error": "yes"}]), "is_error"),
        # tools
        (request("a", tools={}), "tools"),
        (request("a", tools=[{"name": "a b", "input_schema": {"type": "object"}}]), "tools.0.name"),
        (request("a", tools=[{"name": "x" * 129, "input_schema": {"type": "object"}}]), "tools.0.name"),
        (request("a", tools=[{"name": "a", "input_schema": {"type": "object"}}] * 2), "unique"),
        (request("a", tools=[{"name": "a"}]), "input_schema"),
        (request("a", tools=[{"name": "a", "input_schema": {"type": "array"}}]), "input_schema"),
        # cache breakpoints
        (request([text(str(number), **CACHED) for number in range(5)]), "maximum of 4"),
        (request("a", [{**THOUGHT, **CACHED}, text("b")], "c"), "cache_control cannot be set"),
        (request([text("a", cache_control={"type": "forever"})]), "ephemeral"),
    ],
)
def test_bad_requests_are_refused_with_the_reason(bad: Any, complaint: str) -> None:
    problems = check(bad)
    assert any(complaint in problem for problem in problems), problems


def test_breakpoints_inside_results_count() -> None:
    content = [text(str(number), **CACHED) for number in range(5)]
    assert any(
        "maximum of 4" in problem for problem in check(request("a", [USE], [{**RESULT, "content": content}]))
    )
