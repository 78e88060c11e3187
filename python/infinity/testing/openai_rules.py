"""What OpenAI's two APIs refuse, checked as strictly as they do.

What their documentation leaves open is refused here, too: an endpoint somewhere refuses it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from infinity.models.openai_models import info

from .tool_rules import openai_schema_problems

_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
_MOST_ID_CHAT = 40
"""Characters of a call's id in Chat Completions."""
_MOST_ID = 64
"""Characters of a call's id in the Responses API."""
_LEAST_OUTPUT = 16
_CHAT_PARAMETERS = frozenset(
    (
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "parallel_tool_calls",
        "prompt_cache_key",
        "reasoning_effort",
        "seed",
        "service_tier",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_p",
    )
)
_RESPONSES_PARAMETERS = frozenset(
    (
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "metadata",
        "model",
        "parallel_tool_calls",
        "prompt_cache_key",
        "reasoning",
        "service_tier",
        "store",
        "stream",
        "temperature",
        "tool_choice",
        "tools",
        "top_p",
    )
)
_FOLLOWERS = ("reasoning", "message", "function_call")


def check_chat(request: Any) -> list[str]:
    """Every violation in a request to Chat Completions, each with its path.

    Args:
        request: decoded JSON, of any shape.

    Returns:
        Empty if the API would take it.
    """
    if not isinstance(request, dict) or not isinstance(request.get("messages"), list):
        return ["messages: is required"]
    problems = [*_envelope(request, _CHAT_PARAMETERS)]
    if "max_tokens" in request and "max_completion_tokens" in request:
        problems.append("max_tokens and max_completion_tokens cannot both be set")
    for index, tool in enumerate(request.get("tools", [])):
        problems += _function(tool.get("function"), "parameters", f"tools[{index}].function")
    for index, message in enumerate(request["messages"]):
        problems += _message(message, f"messages[{index}]")
    # Pairs are looked at only where every message has the right shape.
    return problems or [*_answered(request["messages"])]


def check_responses(request: Any, issued: Collection[str] = ()) -> list[str]:
    """The same for the Responses API.

    Args:
        request: decoded JSON, of any shape.
        issued: the encrypted reasoning that it knows as its own.
    """
    if not isinstance(request, dict) or not isinstance(request.get("input"), list) or not request["input"]:
        return ["input: is required"]
    problems = [*_envelope(request, _RESPONSES_PARAMETERS)]
    if request.get("max_output_tokens", _LEAST_OUTPUT) < _LEAST_OUTPUT:
        problems.append(f"max_output_tokens: must be at least {_LEAST_OUTPUT}")
    if not info(str(request.get("model"))).thinking:
        problems += [
            f"{name}: is not supported with this model"
            for name in ("include", "reasoning")
            if name in request
        ]
    for index, tool in enumerate(request.get("tools", [])):
        problems += _function(tool, "parameters", f"tools[{index}]")
    for index, item in enumerate(request["input"]):
        problems += _item(item, request, issued, f"input[{index}]")
    return problems or [*_paired(request["input"])]


def _envelope(request: dict[str, Any], known: Collection[str]) -> Iterator[str]:
    if not isinstance(request.get("model"), str) or not request["model"]:
        yield "model: is required"
    for name in request:
        if name not in known:
            yield f"Unrecognized request argument supplied: {name}"


def _function(function: Any, schema: str, path: str) -> Iterator[str]:
    if not isinstance(function, dict):
        yield f"{path}: must be an object"
        return
    if not _NAME.match(str(function.get("name"))):
        yield f"{path}.name: must match {_NAME.pattern}"
    for problem in openai_schema_problems(function.get(schema)):
        yield f"{path}.{schema}: {problem}"


def _arguments(value: Any, path: str) -> Iterator[str]:
    try:
        fits = isinstance(msgspec.json.decode(value), dict)
    except (msgspec.DecodeError, TypeError):
        fits = False
    if not fits:
        yield f"{path}: must be a string with a JSON object"


def _image(url: Any, path: str) -> Iterator[str]:
    if not isinstance(url, str) or not re.match(r"https?://.|data:image/(jpeg|png|gif|webp);base64,.", url):
        yield f"{path}: must be a URL or a data URL of an image"


# Chat Completions


def _message(message: dict[str, Any], path: str) -> Iterator[str]:
    content = message.get("content")
    match message.get("role"):
        case "system" | "developer":
            if not isinstance(content, str):
                yield f"{path}.content: must be a string"
        case "user":
            yield from _chat_content(content, f"{path}.content")
        case "tool":
            if not isinstance(content, str):
                yield f"{path}.content: must be a string"
            if not isinstance(message.get("tool_call_id"), str):
                yield f"{path}.tool_call_id: is required"
        case "assistant":
            calls = message.get("tool_calls")
            if calls == []:
                yield f"{path}.tool_calls: too few items"
            if not calls and not isinstance(content, str):
                yield f"{path}.content: is required unless there are tool_calls"
            for index, call in enumerate(calls or []):
                yield from _chat_call(call, f"{path}.tool_calls[{index}]")
        case role:
            yield f"{path}.role: unknown value {role!r}"


def _chat_call(call: dict[str, Any], path: str) -> Iterator[str]:
    call_id = call.get("id")
    if not isinstance(call_id, str) or not 0 < len(call_id) <= _MOST_ID_CHAT:
        yield f"{path}.id: a string of at most {_MOST_ID_CHAT} characters is required"
    function = call.get("function") or {}
    if call.get("type") != "function" or not _NAME.match(str(function.get("name"))):
        yield f"{path}.function.name: must match {_NAME.pattern}"
    yield from _arguments(function.get("arguments"), f"{path}.function.arguments")


def _chat_content(content: Any, path: str) -> Iterator[str]:
    if isinstance(content, str):
        return
    if not isinstance(content, list) or not content:
        yield f"{path}: must be a string or a list of parts"
        return
    for index, part in enumerate(content):
        if part.get("type") == "image_url":
            yield from _image(part["image_url"].get("url"), f"{path}[{index}].image_url.url")
        elif part.get("type") != "text" or not isinstance(part.get("text"), str):
            yield f"{path}[{index}]: must be of type text or image_url"


def _answered(messages: list[dict[str, Any]]) -> Iterator[str]:
    """Every tool message right behind the message that made its call, and every call answered there."""
    waiting: list[str] = []
    answering = False
    for index, message in enumerate([*messages, {"role": "end"}]):
        if message["role"] == "tool":
            call_id = message["tool_call_id"]
            if not answering:
                yield f"messages[{index}]: messages with role 'tool' must be a response to a preceding message with 'tool_calls'"
            elif call_id not in waiting:
                yield f"messages[{index}]: there is no open call {call_id!r} before this"
            else:
                waiting.remove(call_id)
            continue
        if waiting:
            yield f"messages[{index}]: these tool_call_ids did not have response messages: {', '.join(waiting)}"
        waiting = [call["id"] for call in message.get("tool_calls") or []]
        answering = bool(waiting)
        if len(set(waiting)) != len(waiting):
            yield f"messages[{index}]: tool_calls with one id"


# Responses


def _item(item: dict[str, Any], request: dict[str, Any], issued: Collection[str], path: str) -> Iterator[str]:
    match item.get("type"):
        case "message":
            yield from _responses_message(item, path)
        case "function_call":
            if not _NAME.match(str(item.get("name"))):
                yield f"{path}.name: must match {_NAME.pattern}"
            yield from _arguments(item.get("arguments"), f"{path}.arguments")
            yield from _call_id(item, path)
        case "function_call_output":
            if not isinstance(item.get("output"), str):
                yield from _input_parts(item.get("output"), f"{path}.output")
            yield from _call_id(item, path)
        case "reasoning":
            encrypted = item.get("encrypted_content")
            if not isinstance(item.get("summary"), list):
                yield f"{path}.summary: is required"
            if "status" in item:
                yield f"{path}.status: Unknown parameter"
            if not encrypted and not request.get("store", True):
                yield f"{path}: Item with id {item.get('id')!r} not found. Items are not persisted when `store` is set to false."
            elif encrypted not in issued:
                # Reasoning of another account, or of another model.
                yield f"{path}: invalid_encrypted_content: The encrypted content could not be verified."
        case kind:
            yield f"{path}.type: unknown value {kind!r}"


def _call_id(item: dict[str, Any], path: str) -> Iterator[str]:
    call_id = item.get("call_id")
    if not isinstance(call_id, str) or not 0 < len(call_id) <= _MOST_ID:
        yield f"{path}.call_id: a string of at most {_MOST_ID} characters is required"


def _responses_message(item: dict[str, Any], path: str) -> Iterator[str]:
    content = item.get("content")
    if item.get("role") not in ("user", "assistant", "system", "developer"):
        yield f"{path}.role: unknown value {item.get('role')!r}"
    elif isinstance(content, str):
        return
    elif item["role"] == "assistant":
        yield f"{path}.content: must be a string, or output_text parts of an item with an id"
    else:
        yield from _input_parts(content, f"{path}.content")


def _input_parts(parts: Any, path: str) -> Iterator[str]:
    if not isinstance(parts, list) or not parts:
        yield f"{path}: must be a string or a list of parts"
        return
    for index, part in enumerate(parts):
        if part.get("type") == "input_image":
            yield from _image(part.get("image_url"), f"{path}[{index}].image_url")
        elif part.get("type") != "input_text" or not isinstance(part.get("text"), str):
            yield f"{path}[{index}]: must be of type input_text or input_image"


def _paired(items: list[dict[str, Any]]) -> Iterator[str]:
    open_calls: list[str] = []
    for index, item in enumerate(items):
        match item["type"]:
            case "function_call":
                open_calls.append(item["call_id"])
            case "function_call_output":
                if item["call_id"] not in open_calls:
                    yield f"input[{index}]: No tool call found for function call output with call_id {item['call_id']}."
                else:
                    open_calls.remove(item["call_id"])
            case "reasoning":
                after = items[index + 1] if index + 1 < len(items) else {}
                if after.get("type") not in _FOLLOWERS or after.get("role", "assistant") != "assistant":
                    yield f"input[{index}]: Item {item['id']!r} of type 'reasoning' was provided without its required following item."
    for call_id in open_calls:
        yield f"input: No tool output found for function call {call_id}."
