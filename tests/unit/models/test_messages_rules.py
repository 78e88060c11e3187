"""The rules must refuse what the Messages API refuses: a checker that takes everything proves nothing."""

from __future__ import annotations

import copy
from base64 import b64encode
from typing import Any

import pytest

from infinity.testing.image_rules import look_at
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


def base64(data: bytes) -> str:
    return b64encode(data).decode()


def png(width: int, height: int, size: int = 0) -> str:
    header = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return base64(header + bytes(size))


def tooled(schema: Any) -> dict[str, Any]:
    return request("a", tools=[{"name": "a", "input_schema": schema}])


def keyed(name: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": "string"}}}


JPEG = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x11\x08" + (30).to_bytes(2, "big") + (20).to_bytes(2, "big")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"GIF89a\x14\x00\x1e\x00", ("image/gif", (20, 30))),
        (JPEG, ("image/jpeg", (20, 30))),
        (b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + b"\x13\0\0\x1d\0\0", ("image/webp", (20, 30))),
        (b"RIFF\0\0\0\0WEBPVP8 " + bytes(10) + b"\x14\0\x1e\0", ("image/webp", (20, 30))),
        (
            b"RIFF\0\0\0\0WEBPVP8L" + bytes(5) + (19 | 29 << 14).to_bytes(4, "little"),
            ("image/webp", (20, 30)),
        ),
        (b"\xff\xd8\xff\xff\xff\xff", ("image/jpeg", None)),
        (b"RIFF\0\0\0\0WEBP", ("image/webp", None)),
        (b"GIF8", (None, None)),
        (b"", (None, None)),
    ],
)
def test_an_image_is_what_its_bytes_say(data: bytes, found: Any) -> None:
    assert look_at(data) == found


def test_a_prompt_must_fit_into_the_window_with_its_answer() -> None:
    long = request("word " * 1000, max_tokens=1000)
    assert check(long, window=4000) == []
    assert "1000 > 2000" in check(long, window=2000)[0]
    assert check(long, window=2000)[0].startswith("input length and `max_tokens` exceed context limit")
    assert check(long, window=500)[0].startswith("prompt is too long")
    pictures = request([image(data=png(1, 1, 1 << 20))] * 3)
    assert check(pictures, window=10_000) == [], "an image costs by its pixels, not by its bytes"
    assert check(pictures, window=4_000) != []


def test_a_paused_turn_may_stand_last() -> None:
    paused = request("a", [text("so far")])
    assert check(paused, paused=[paused["messages"][-1]]) == []
    assert check(paused, paused=[{"role": "assistant", "content": [text("something else")]}]) != []


@pytest.mark.parametrize(
    "good",
    [
        tooled(keyed("a.b-c_D9")),
        tooled({"type": "object", "properties": {"a": {"anyOf": [{"const": {"ü": 1}}]}}}),
        request([image(data=png(8000, 8000))] * 20),
        request([image(data=png(2000, 2000))] * 100),
        request([{"type": "document", "source": {"type": "text", "data": "x"}}]),
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
        (
            tooled({"type": "object", "anyOf": [{}]}),
            "tools.0.custom.input_schema: input_schema does not support",
        ),
        (
            tooled({"type": "object", "oneOf": [{}]}),
            "tools.0.custom.input_schema: input_schema does not support",
        ),
        (
            tooled({"type": "object", "allOf": [{}]}),
            "tools.0.custom.input_schema: input_schema does not support",
        ),
        (tooled({}), "tools.0.custom.input_schema.type"),
        (tooled(True), "input_schema"),
        (tooled({"type": ["object"]}), "input_schema.type"),
        (tooled(keyed("$filter")), "Property keys should match pattern"),
        (tooled(keyed("x" * 65)), "Property keys should match pattern"),
        (tooled(keyed("")), "Property keys should match pattern"),
        (tooled({"type": "object", "properties": {"a": {"items": keyed("ü")}}}), "Property keys"),
        (tooled({"type": "object", "$defs": {"a": keyed("ü")}}), "Property keys"),
        (tooled({"type": "object", "properties": {"a": {"exclusiveMinimum": True}}}), "draft 2020-12"),
        (tooled({"type": "object", "properties": {"a": {"items": [{}]}}}), "draft 2020-12"),
        # images and documents
        (
            request([image(media_type="image/jpeg")]),
            "messages.0.content.0.image.source.base64.data: Image does not match",
        ),
        (
            request([text("a"), image(data=base64(b"GIF89a\x01\x00\x01\x00"))]),
            "messages.0.content.1.image.source",
        ),
        (request([image(data=base64(b"<svg/>"))]), "Could not process image"),
        (request([image(data=base64(b"\0" * 64))]), "Could not process image"),
        (request([image(data=png(0, 1))]), "Could not process image"),
        (request([image(data=png(8001, 1))]), "max allowed size: 8000 pixels"),
        (request([image(data=png(1, 8001))]), "max allowed size: 8000 pixels"),
        (request([image(data=png(2001, 1))] * 21), "many-image requests: 2000 pixels"),
        (request([image(data=png(1, 1))] * 101), "too many images: 101 > 100"),
        (request([image(data=png(1, 1, 5 << 20))]), "image exceeds 5 MB maximum"),
        (
            request([image(data=png(1, 1, 2 << 20))] * 16),
            "Request exceeds the maximum size",
        ),
        (
            request("a", [USE], [{**RESULT, "content": [text("x"), image(data=base64(b"no"))]}]),
            "messages.2.content.0.tool_result.content.1.image.source.base64.data",
        ),
        (request("a", [USE], [{**RESULT, "content": [image(data=png(1, 1))] * 101}]), "too many images"),
        (
            request(
                [
                    {
                        "type": "document",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": PNG},
                    }
                ]
            ),
            "PDF",
        ),
        (request([{"type": "document", "source": {"type": "text", "data": " "}}]), "document.source.text"),
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
