"""Chat Completions, as all OpenAI-compatible endpoints speak it: requests from Messages-shaped history.

``openai`` is the caller; answers are read in ``chat_reading``. History keeps the shape of the Messages
API, and is translated anew for every request, so that a thread may change its model at any time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import options
from .chat_reading import THINKING_PARTS
from .dialects import Dialect
from .openai_edge import (
    Block,
    Conversation,
    arguments_of,
    image_url,
    nine,
    parameters_of,
    result_blocks,
    short_id,
    short_name,
    text_of,
)

BETWEEN = "OK."
"""What an assistant's message says that only stands between a result and a user's message."""
UNRECORDED = "(No reasoning is on record for this call.)"
"""Reasoning of calls that were made without, for endpoints that want some with every call."""
UNSIGNED = "skip_thought_signature_validator"
"""Gemini's thought signature of calls that it did not make, as its documentation names it."""


_OPENAIS = Dialect()


def body(
    conversation: Conversation, dialect: Dialect = _OPENAIS, *, effort: str | None = None
) -> dict[str, Any]:
    """The request's parameters, in the endpoint's dialect.

    Args:
        conversation: what is asked.
        dialect: what the endpoint wants.
        effort: of reasoning, in the endpoint's words; only for models that reason.
    """
    request = conversation.request
    messages: list[dict[str, Any]] = []
    for role, blocks in conversation.turns():
        for message in _messages(role, blocks, conversation, dialect):
            # Some templates refuse a user's message right behind a result.
            if not dialect.user_after_result and message["role"] == "user" and _is_result(messages):
                messages.append({"role": "assistant", "content": BETWEEN})
            messages.append(message)
    # At the end: the order of calls and results is known only here.
    if dialect.single_calls:
        messages = [*_one_call_each(messages, "" if dialect.empty_content else None)]
    if request.system.strip():
        _instruct(messages, request.system, dialect)
    parameters: dict[str, Any] = {"model": request.model.id, "messages": messages, "stream": True}
    if dialect.limit:
        parameters[dialect.limit] = min(request.max_tokens, dialect.output_limit or request.max_tokens)
    if dialect.usage:
        parameters["stream_options"] = {"include_usage": True}
    if conversation.tools:
        parameters["tools"] = [_tool(tool) for tool in conversation.tools]
    if effort and request.model.thinking:
        parameters["reasoning_effort"] = effort
    if request.model.options is not None:
        parameters |= options.for_chat(request.model.options, dialect, tools=bool(conversation.tools))
    return {name: value for name, value in parameters.items() if name not in dialect.without}


def _one_call_each(messages: list[dict[str, Any]], nothing: str | None) -> Iterator[dict[str, Any]]:
    """Messages with several calls as several messages, each with its result behind it.

    ``nothing``: the content of those without words.
    """
    results = {message["tool_call_id"]: message for message in messages if message["role"] == "tool"}
    moved: set[str] = set()
    for message in messages:
        calls = message.get("tool_calls", ())
        if len(calls) < 2:
            if message.get("tool_call_id") not in moved:
                yield message
            continue
        for number, call in enumerate(calls):
            yield {**message, "tool_calls": [call]} | ({"content": nothing} if number else {})
            if (result := results.get(call["id"])) is not None:
                moved.add(call["id"])
                yield result


def _is_result(messages: list[dict[str, Any]]) -> bool:
    return bool(messages) and messages[-1]["role"] == "tool"


def _instruct(messages: list[dict[str, Any]], instructions: str, dialect: Dialect) -> None:
    """Put the instructions first."""
    if dialect.instructions != "user":
        messages.insert(0, {"role": dialect.instructions, "content": instructions})
        return
    first: dict[str, Any] = messages[0] if messages else {"role": "assistant"}
    if first["role"] != "user":
        messages.insert(0, {"role": "user", "content": instructions})
    elif isinstance(first["content"], str):
        first["content"] = f"{instructions}\n\n{first['content']}"
    else:
        first["content"] = [{"type": "text", "text": instructions}, *first["content"]]


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    function = {
        "name": short_name(tool["name"]),
        "description": tool.get("description", ""),
        "parameters": parameters_of(tool),
    }
    return {"type": "function", "function": function}


def _call_id(call_id: str, dialect: Dialect) -> str:
    return nine(call_id) if dialect.call_ids == "nine" else short_id(call_id)


def _messages(
    role: str, blocks: list[Block], conversation: Conversation, dialect: Dialect
) -> Iterator[dict[str, Any]]:
    """One message of ours is one of theirs, but each result is one of its own, right behind the calls.

    A result takes only text there, so that its images follow in the user's message.
    """
    if role == "assistant":
        yield _assistant(blocks, conversation, dialect)
        return
    spoken: list[Block] = []
    for block in blocks:
        if block["type"] != "tool_result":
            spoken.append(block)
            continue
        parts = result_blocks(block)
        images = [part for part in parts if part["type"] == "image"]
        call_id = _call_id(block["tool_use_id"], dialect)
        text = text_of(parts)
        if images:
            text = f"{text}\n(The images of this result follow.)".strip()
            spoken += [{"type": "text", "text": f"Images of the result of call {call_id}:"}, *images]
        name = conversation.calls.get(block["tool_use_id"], "") if dialect.result_names else ""
        yield {"role": "tool", "tool_call_id": call_id, "content": text} | (
            {"name": short_name(name)} if name else {}
        )
    if spoken:
        yield {"role": "user", "content": _content(spoken, dialect)}


def _assistant(blocks: list[Block], conversation: Conversation, dialect: Dialect) -> dict[str, Any]:
    text = text_of(blocks)
    calls: list[dict[str, Any]] = [
        {
            "id": _call_id(block["id"], dialect),
            "type": "function",
            "function": {"name": short_name(block["name"]), "arguments": arguments_of(block)},
        }
        for block in blocks
        if block["type"] == "tool_use"
    ]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": text or ("" if dialect.empty_content else None),
    }
    if calls:
        message["tool_calls"] = calls
    if dialect.reasoning != "none" and (calls or dialect.reasoning_kept == "always"):
        for block in blocks:
            kept = conversation.replayed(block) if block["type"] == "thinking" else None
            if kept is not None:
                _give_back(message, kept, dialect)
    if calls and dialect.reasoning not in ("none", "optional"):
        # The turn of another model, or one from before this endpoint wanted it.
        message.setdefault(dialect.reasoning, UNRECORDED)
    if calls and dialect.signatures and not any("extra_content" in call for call in calls):
        calls[0]["extra_content"] = {"google": {"thought_signature": UNSIGNED}}
    return message


def _give_back(message: dict[str, Any], kept: dict[str, Any], dialect: Dialect) -> None:
    """The endpoint's own reasoning, under the names that it came by."""
    for name, value in kept.items():
        if name == "extra_content":
            for call, extra in zip(message.get("tool_calls", ()), value, strict=False):
                if extra is not None:
                    call["extra_content"] = extra
        elif name != THINKING_PARTS:
            message[name] = value
        elif dialect.parts_of_thinking:
            thought = {"type": "thinking", "thinking": [{"type": "text", "text": value}]}
            said = [{"type": "text", "text": message["content"]}] if message["content"] else []
            message["content"] = [thought, *said]


def _content(blocks: list[Block], dialect: Dialect) -> str | list[dict[str, Any]]:
    """Plain text where it will do: not every endpoint takes parts."""
    if dialect.content == "text":
        blocks = [
            block if block["type"] == "text" else {"type": "text", "text": f"[{block['type']} left out]"}
            for block in blocks
        ]
    if all(block["type"] == "text" for block in blocks):
        return text_of(blocks)
    parts: list[dict[str, Any]] = []
    for block in blocks:
        if block["type"] == "image":
            parts.append({"type": "image_url", "image_url": {"url": image_url(block)}})
        elif block["type"] == "text":
            parts.append({"type": "text", "text": block["text"]})
        else:
            parts.append({"type": "text", "text": f"[a {block['type']} that this model cannot be sent]"})
    return parts
