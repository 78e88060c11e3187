"""What the Messages API refuses (I4): checked as strictly as the API does, and where it is lenient more
strictly.

Stricter than the API: roles must alternate (the API merges neighbours of one role), results must come
first in their message in any case. The test kit, the strict servers and the simulator hold every
request to it; a rule that the real API turns out to have is added here, so that it holds for all of
them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from .image_rules import MANY, MOST_IMAGES, TOKENS_OF_AN_IMAGE, document_problems, image_problems
from .tool_rules import TOOL_NAME, tool_problems

_TOOL_USE_ID = re.compile(r"^[a-zA-Z0-9_-]+$")
_SIGNATURE = re.compile(r"^[A-Za-z0-9+/=_-]+$")
_USER_BLOCKS = frozenset({"text", "image", "tool_result", "document"})
_ASSISTANT_BLOCKS = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})
_RESULT_BLOCKS = frozenset({"text", "image", "document"})
_REASONING = frozenset({"thinking", "redacted_thinking"})
_REMOVED = ("temperature", "top_p", "top_k")
_LEAST_BUDGET = 1024
MOST_BREAKPOINTS = 4
"""Marks of the cache in one request."""
MOST_BYTES = 32 << 20
"""Of a request."""

Block = dict[str, Any]


def check(request: Any, *, window: int | None = None, paused: Sequence[Block] = ()) -> list[str]:
    """Every violation in a request's JSON, each with its path (``messages.N.content.M…``).

    Args:
        request: decoded JSON, of any shape.
        window: tokens of the model's context, if it is to be enforced.
        paused: assistant messages that may stand last, because the API ended them with ``pause_turn``.

    Returns:
        Empty if the API would take it.
    """
    if not isinstance(request, dict):
        return ["the request must be a JSON object"]
    problems = [*_envelope(request), *_system(request.get("system")), *tool_problems(request.get("tools"))]
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        return [*problems, "messages: at least one message is required"]
    shape = [*_roles(messages, paused), *_contents(messages)]
    # Only then are there blocks to look into.
    if not shape:
        shape = [*_pairs(messages), *_lengths(request, window)]
    return [*problems, *shape, *_breakpoints(request)]


def _envelope(request: dict[str, Any]) -> Iterator[str]:
    if not isinstance(request.get("model"), str) or not request["model"]:
        yield "model: field required"
    most = request.get("max_tokens")
    if not isinstance(most, int) or isinstance(most, bool) or most < 1:
        yield "max_tokens: field required, an integer of at least 1"
        return
    for name in _REMOVED:
        if name in request:
            yield f"{name}: removed from the API"
    thinking = request.get("thinking")
    if thinking is None:
        return
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if kind == "enabled":
        budget = thinking.get("budget_tokens")
        if not isinstance(budget, int) or not _LEAST_BUDGET <= budget < most:
            yield f"thinking.budget_tokens: must be at least {_LEAST_BUDGET} and less than max_tokens"
        # Only with a budget: adaptive reasoning has no such rule.
        yield from _continued_turn(request.get("messages"))
    elif kind not in ("adaptive", "disabled", "between_tools"):
        yield f"thinking.type: unknown value {kind!r}"


def _continued_turn(messages: Any) -> Iterator[str]:
    """With a reasoning budget, a turn whose calls are being answered must have begun with reasoning."""
    if not isinstance(messages, list) or len(messages) < 2:
        return
    asked, answered = (each.get("content") if isinstance(each, dict) else None for each in messages[-2:])
    if not (isinstance(asked, list) and isinstance(answered, list) and asked and answered):
        return
    first, result = asked[0], answered[0]
    if result.get("type") == "tool_result" and first.get("type") not in _REASONING:
        yield f"messages.{len(messages) - 2}.content.0: expected thinking or redacted_thinking, found {first.get('type')}"


def _system(system: Any) -> Iterator[str]:
    if system is None or isinstance(system, str):
        return
    if not isinstance(system, list):
        yield "system: must be a string or a list of text blocks"
        return
    for index, block in enumerate(system):
        if not isinstance(block, dict) or block.get("type") != "text":
            yield f"system.{index}: must be a text block"
        else:
            yield from _text(block, f"system.{index}")


def _roles(messages: list[Any], paused: Sequence[Block]) -> Iterator[str]:
    expected = "user"
    for index, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if role not in ("user", "assistant"):
            yield f"messages.{index}.role: must be user or assistant"
            return
        # The first one that is out of order; those behind it would only repeat it.
        if role != expected:
            yield f"messages.{index}: roles must alternate, starting with user; this is {role!r} again"
            return
        expected = "assistant" if role == "user" else "user"
    if messages[-1]["role"] != "user" and messages[-1] not in paused:
        yield "messages: the last message must be the user's; prefill is not supported"


def _contents(messages: list[Any]) -> Iterator[str]:
    images = sum(1 for _ in _images(messages))
    if images > MOST_IMAGES:
        yield f"messages: too many images: {images} > {MOST_IMAGES} maximum"
    many = images > MANY
    for index, message in enumerate(messages):
        path = f"messages.{index}"
        if not isinstance(message, dict):
            yield f"{path}: must be an object"
            continue
        content = message.get("content")
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        if not isinstance(content, list) or not content:
            yield f"{path}: must have non-empty content"
            continue
        allowed = _USER_BLOCKS if message.get("role") == "user" else _ASSISTANT_BLOCKS
        for place, block in enumerate(content):
            yield from _block(block, allowed, f"{path}.content.{place}", many)
        if isinstance(content[-1], dict) and content[-1].get("type") in _REASONING:
            yield f"{path}: the final block in an assistant message cannot be {content[-1]['type']}"


def _block(block: Any, allowed: frozenset[str], path: str, many: bool = False) -> Iterator[str]:
    kind = block.get("type") if isinstance(block, dict) else None
    if kind not in allowed:
        yield f"{path}: a block of type {kind!r} is not allowed here"
        return
    match kind:
        case "text":
            yield from _text(block, path)
        case "image":
            yield from image_problems(block.get("source"), path, many=many)
        case "document":
            yield from document_problems(block.get("source"), path)
        case "thinking":
            if not isinstance(block.get("thinking"), str):
                yield f"{path}.thinking: field required"
            if not isinstance(block.get("signature"), str) or not block["signature"]:
                yield f"{path}.signature: field required"
            elif not _SIGNATURE.match(block["signature"]):
                yield f"{path}: Invalid `signature` in `thinking` block"
        case "redacted_thinking":
            if not isinstance(block.get("data"), str) or not block["data"]:
                yield f"{path}.data: field required"
        case "tool_use":
            yield from _tool_use(block, path)
        case "tool_result":
            yield from _tool_result(block, path, many)


def _text(block: Block, path: str) -> Iterator[str]:
    text = block.get("text")
    if not isinstance(text, str) or not text:
        yield f"{path}: text content blocks must be non-empty"
    elif not text.strip():
        yield f"{path}: text content blocks must contain non-whitespace text"


def _tool_use(block: Block, path: str) -> Iterator[str]:
    if not isinstance(block.get("id"), str) or not _TOOL_USE_ID.match(block["id"]):
        yield f"{path}.id: must match {_TOOL_USE_ID.pattern}"
    if not isinstance(block.get("name"), str) or not TOOL_NAME.match(block["name"]):
        yield f"{path}.name: must match {TOOL_NAME.pattern}"
    if not isinstance(block.get("input"), dict):
        yield f"{path}.input: must be an object"


def _tool_result(block: Block, path: str, many: bool) -> Iterator[str]:
    if not isinstance(block.get("tool_use_id"), str):
        yield f"{path}.tool_use_id: field required"
    if not isinstance(block.get("is_error", False), bool):
        yield f"{path}.is_error: must be a boolean"
    content = block.get("content", [])
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        yield f"{path}.content: must be a string or a list of blocks"
        return
    for index, part in enumerate(content):
        yield from _block(part, _RESULT_BLOCKS, f"{path}.tool_result.content.{index}", many)
    if block.get("is_error") and any(
        part.get("type") != "text" for part in content if isinstance(part, dict)
    ):
        yield f"{path}.content: all content must be text if is_error is true"


def _pairs(messages: list[dict[str, Any]]) -> Iterator[str]:
    """Every tool_use has exactly one tool_result, first in the next message, and no tool_result is without
    one.
    """
    # Over the whole conversation: ids are unique in all of it.
    used: set[str] = set()
    waiting: list[str] = []
    for index, message in enumerate(messages):
        content = [] if isinstance(message["content"], str) else message["content"]
        if message["role"] == "user":
            yield from _results(content, waiting, f"messages.{index}")
            waiting = []
            continue
        waiting = [block["id"] for block in content if block["type"] == "tool_use"]
        for call_id in waiting:
            if call_id in used:
                yield f"messages.{index}: tool_use ids must be unique, {call_id!r} is not"
            used.add(call_id)


def _results(content: list[Block], waiting: list[str], path: str) -> Iterator[str]:
    answered: set[str] = set()
    other = False
    for place, block in enumerate(content):
        if block["type"] != "tool_result":
            other = True
            continue
        call_id = block["tool_use_id"]
        if call_id not in waiting:
            yield f"{path}.content.{place}: unexpected tool_use_id {call_id!r}: no such tool_use in the message before"
        elif call_id in answered:
            yield f"{path}.content.{place}: each tool_use must have a single result, {call_id!r} has several"
        elif other:
            yield f"{path}.content.{place}: tool_result blocks must come first in their message"
        answered.add(call_id)
    missing = [call_id for call_id in waiting if call_id not in answered]
    if missing:
        yield f"{path}: tool_use ids were found without tool_result blocks immediately after: {', '.join(missing)}"


def _images(messages: list[Any]) -> Iterator[Block]:
    """Those in the user's messages and in results."""
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        for _, block in _objects(content, ""):
            parts = [block, *(part for _, part in _objects(block.get("content"), ""))]
            yield from (part for part in parts if part.get("type") == "image")


def _lengths(request: dict[str, Any], window: int | None) -> Iterator[str]:
    """Bytes and tokens, these as an estimate: four characters each."""
    sources = [block.get("source") for block in _images(request["messages"])]
    data = sum(len(str(source.get("data", ""))) for source in sources if isinstance(source, dict))
    # Encoding every request would slow down all tests for the few that are large.
    if window is None and data < MOST_BYTES // 2:
        return
    size = len(msgspec.json.encode(request))
    if size > MOST_BYTES:
        yield f"Request exceeds the maximum size: {size} bytes > {MOST_BYTES} bytes"
    if window is None:
        return
    prompt = (size - data) // 4 + TOKENS_OF_AN_IMAGE * len(sources)
    if prompt > window:
        yield f"prompt is too long: {prompt} tokens > {window} maximum"
    elif prompt + request["max_tokens"] > window:
        yield (
            f"input length and `max_tokens` exceed context limit: {prompt} + {request['max_tokens']} > {window}, "
            "decrease input length or `max_tokens` and try again"
        )


def _breakpoints(request: dict[str, Any]) -> Iterator[str]:
    count = 0
    for path, block in _cacheable(request):
        control = block.get("cache_control")
        if control is None:
            continue
        count += 1
        if not isinstance(control, dict) or control.get("type") != "ephemeral":
            yield f"{path}.cache_control: must be of type ephemeral"
        elif control.get("ttl", "5m") not in ("5m", "1h"):
            yield f"{path}.cache_control.ttl: must be 5m or 1h"
        if block.get("type") in _REASONING:
            yield f"{path}: cache_control cannot be set for {block['type']} blocks"
        if block.get("type") == "text" and not block.get("text"):
            yield f"{path}: cache_control cannot be set for empty text blocks"
    if count > MOST_BREAKPOINTS:
        yield f"a maximum of {MOST_BREAKPOINTS} blocks with cache_control may be provided, found {count}"


def _cacheable(request: dict[str, Any]) -> Iterator[tuple[str, Block]]:
    yield from _objects(request.get("tools"), "tools")
    yield from _objects(request.get("system"), "system")
    for index, message in enumerate(request["messages"]):
        if not isinstance(message, dict):
            continue
        for path, block in _objects(message.get("content"), f"messages.{index}.content"):
            yield path, block
            yield from _objects(block.get("content"), f"{path}.content")


def _objects(value: Any, path: str) -> Iterator[tuple[str, Block]]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, dict):
                yield f"{path}.{index}", item
