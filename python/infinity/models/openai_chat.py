"""Chat Completions, as all OpenAI-compatible endpoints speak it: requests from Messages-shaped history, turns from its chunks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from infinity.abc.model import ModelCall, Part, Reasoning, Text, Turn, Usage
from infinity.errors import ModelUnavailable

from . import openai_failure, reasoning
from .openai_edge import (
    Block,
    Conversation,
    OpenCall,
    arguments_of,
    image_url,
    parameters_of,
    result_blocks,
    short_id,
    short_name,
    text_of,
)
from .turn import Said, closed, count

_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
    # What servers say that pass on the words of the model behind them.
    "STOP": "end_turn",
    "MAX_TOKENS": "max_tokens",
    "SAFETY": "refusal",
    "end_turn": "end_turn",
    "eos": "end_turn",
    "eos_token": "end_turn",
    "max_tokens": "max_tokens",
    "model_length": "max_tokens",
    "refusal": "refusal",
    "stop_sequence": "end_turn",
    "tool_use": "tool_use",
}
"""The good ends. Any other ("error", "abort", "insufficient_system_resource", …) is a failure that is tried again (M8)."""
_REASONING_TEXTS = ("reasoning_content", "reasoning")
"""Where endpoints put reasoning: DeepSeek and its followers, OpenRouter and its followers."""


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


class ChatTurn:
    """Takes chunks one by one and gives back what can be shown live; ``finish`` gives the turn."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._text: list[str] = []
        self._calls: dict[int, OpenCall] = {}
        self._extras: dict[int, Any] = {}
        self._thought: dict[str, list[str]] = {}
        self._details: list[dict[str, Any]] = []
        self._finish_reason: str | None = None
        self._refused = False
        self._usage: dict[str, Any] = {}

    @property
    def complete(self) -> bool:
        return self._finish_reason is not None and bool(self._usage)

    def apply(self, chunk: dict[str, Any]) -> list[Part]:
        """Raises the error that a chunk tells of."""
        if error := chunk.get("error"):
            raise openai_failure.of(error)
        self._usage = chunk.get("usage") or self._usage
        parts: list[Part] = []
        for choice in (chunk.get("choices") or [])[:1]:
            delta = choice.get("delta") or {}
            parts += self._reason(delta)
            for name in ("content", "refusal"):
                if piece := delta.get(name):
                    self._text.append(piece)
                    parts.append(Text(piece))
            self._refused = self._refused or bool(delta.get("refusal"))
            for call in delta.get("tool_calls") or []:
                parts += self._call(call)
            self._finish_reason = choice.get("finish_reason") or self._finish_reason
        return parts

    def finish(self) -> Turn:
        """The turn. ``ModelUnavailable`` if the stream ended early."""
        if self._finish_reason is None:
            raise ModelUnavailable("the model's answer broke off before its end; try again")
        stop_reason = _STOP_REASONS.get(self._finish_reason)
        if stop_reason is None:
            raise ModelUnavailable(f"the model's answer ended with {self._finish_reason[:100]!r}; try again")
        said: Said = []
        if (thought := self._reasoning()) is not None:
            said.append((thought, None))
        if self._text:
            said.append(({"type": "text", "text": "".join(self._text)}, None))
        calls = [self._calls[index] for index in sorted(self._calls)]
        # A call whose arguments were cut off was never made.
        if calls and stop_reason == "max_tokens" and (not calls[-1].pieces or calls[-1].arguments()[1]):
            calls.pop()
        uses = [self._use(call) for call in calls]
        if self._refused:
            stop_reason = "refusal"
        elif uses and stop_reason == "end_turn":
            stop_reason = "tool_use"
        return closed([*said, *uses], stop_reason, _usage(self._usage))

    def _reason(self, delta: dict[str, Any]) -> Iterator[Part]:
        pieces = [(name, piece) for name in _REASONING_TEXTS if (piece := delta.get(name))]
        for name, piece in pieces:
            self._thought.setdefault(name, []).append(piece)
        if pieces:
            yield Reasoning(pieces[0][1])
        for detail in delta.get("reasoning_details") or []:
            self._detail(detail)

    def _detail(self, detail: dict[str, Any]) -> None:
        """Pieces of one detail have one index; their texts are joined, everything else is as it came last."""
        last = self._details[-1] if self._details else {}
        same = [last.get(key) == detail.get(key) for key in ("type", "index")]
        if not last or not all(same):
            self._details.append(dict(detail))
            return
        for name, value in detail.items():
            joined = name in ("text", "summary", "data") and isinstance(value, str)
            last[name] = (
                (last.get(name) or "") + value if joined else value if value is not None else last.get(name)
            )

    def _call(self, delta: dict[str, Any]) -> Iterator[Part]:
        index = delta.get("index")
        if index is None:
            # Some endpoints send each call whole and without an index.
            index = len(self._calls) if delta.get("id") or not self._calls else max(self._calls)
        function = delta.get("function") or {}
        call = self._calls.get(index)
        if call is None:
            name = self._conversation.named(str(function.get("name") or ""))
            call = self._calls[index] = OpenCall(delta.get("id") or f"call_{index}", name)
            yield call.begun()
        if piece := function.get("arguments"):
            call.pieces.append(piece)
        if (extra := delta.get("extra_content")) is not None:
            self._extras[index] = extra

    def _use(self, call: OpenCall) -> tuple[dict[str, Any], ModelCall]:
        arguments, problem = call.arguments()
        use = {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments or {}}
        return use, ModelCall(call.id, call.name, arguments, problem)

    def _reasoning(self) -> dict[str, Any] | None:
        """What the endpoint wants back, under the names that it came by."""
        item: dict[str, Any] = {name: "".join(pieces) for name, pieces in self._thought.items()}
        text = next(iter(item.values()), "")
        if self._details:
            item["reasoning_details"] = self._details
        if self._extras:
            item["extra_content"] = [self._extras.get(index) for index in sorted(self._calls)]
        return reasoning.block(text, self._conversation.origin, item) if item else None


def _usage(counts: dict[str, Any]) -> Usage:
    details = counts.get("prompt_tokens_details") or {}
    read, written = count(details.get("cached_tokens")), count(details.get("cache_write_tokens"))
    total = count(counts.get("prompt_tokens"))
    return Usage(max(0, total - read - written), count(counts.get("completion_tokens")), read, written)
