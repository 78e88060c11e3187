"""Chat Completions, as all OpenAI-compatible endpoints speak it: requests from Messages-shaped history. Its answers are read in ``chat_reading``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .openai_edge import (
    Block,
    Conversation,
    arguments_of,
    image_url,
    parameters_of,
    result_blocks,
    short_id,
    short_name,
    text_of,
)


def body(
    conversation: Conversation, *, effort: str | None = None, limit: str = "max_tokens"
) -> dict[str, Any]:
    """The request's parameters. ``limit``: what the endpoint calls the most tokens that the model may say."""
    request = conversation.request
    messages = [
        message for role, blocks in conversation.turns() for message in _messages(role, blocks, conversation)
    ]
    if request.system.strip():
        messages.insert(0, {"role": "system", "content": request.system})
    parameters: dict[str, Any] = {
        "model": request.model.id,
        "messages": messages,
        limit: request.max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if conversation.tools:
        parameters["tools"] = [_tool(tool) for tool in conversation.tools]
    if effort and request.model.thinking:
        parameters["reasoning_effort"] = effort
    return parameters


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    function = {
        "name": short_name(tool["name"]),
        "description": tool.get("description", ""),
        "parameters": parameters_of(tool),
    }
    return {"type": "function", "function": function}


def _messages(role: str, blocks: list[Block], conversation: Conversation) -> Iterator[dict[str, Any]]:
    """One message of ours is one of theirs, but each result is one of its own, right behind the calls.

    A result takes only text there, so that its images follow in the user's message.
    """
    if role == "assistant":
        yield _assistant(blocks, conversation)
        return
    spoken: list[Block] = []
    for block in blocks:
        if block["type"] != "tool_result":
            spoken.append(block)
            continue
        parts = result_blocks(block)
        images = [part for part in parts if part["type"] == "image"]
        id = short_id(block["tool_use_id"])
        text = text_of(parts)
        if images:
            text = f"{text}\n(The images of this result follow.)".strip()
            spoken += [{"type": "text", "text": f"Images of the result of call {id}:"}, *images]
        yield {"role": "tool", "tool_call_id": id, "content": text}
    if spoken:
        yield {"role": "user", "content": _content(spoken)}


def _assistant(blocks: list[Block], conversation: Conversation) -> dict[str, Any]:
    text = text_of(blocks)
    calls = [
        {
            "id": short_id(block["id"]),
            "type": "function",
            "function": {"name": short_name(block["name"]), "arguments": arguments_of(block)},
        }
        for block in blocks
        if block["type"] == "tool_use"
    ]
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    for block in blocks:
        kept = conversation.replayed(block) if block["type"] == "thinking" else None
        if kept is not None:
            for call, extra in zip(calls, kept.get("extra_content") or (), strict=False):
                if extra is not None:
                    call["extra_content"] = extra
            message |= {name: value for name, value in kept.items() if name != "extra_content"}
    if calls:
        message["tool_calls"] = calls
    return message


def _content(blocks: list[Block]) -> str | list[dict[str, Any]]:
    """Plain text where it will do: not every endpoint takes parts."""
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
