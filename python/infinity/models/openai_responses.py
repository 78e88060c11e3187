"""The Responses API: requests from Messages-shaped history, turns from its events.

Nothing is stored at OpenAI (``store: false``); reasoning items come encrypted, are kept in history and
go back (M3). ``openai`` is the caller.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from infinity.abc.model import ModelCall, Part, Reasoning, Text, Turn, Usage
from infinity.errors import ModelUnavailable

from . import openai_failure, options, reasoning
from .dialects import Dialect
from .open_calls import OpenCall, as_text
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
from .openai_models import may_reason
from .turn import Said, closed, count

_LEAST_OUTPUT = 16
_PHASE = "infinity.phase"
"""The type under which the phase of the message behind it is kept; it is to go back with it."""
_encode = msgspec.json.Encoder().encode


_OPENAIS = Dialect()


def body(
    conversation: Conversation,
    dialect: Dialect = _OPENAIS,
    *,
    effort: str | None = None,
    summary: str | None = None,
) -> dict[str, Any]:
    """The request's parameters.

    Args:
        conversation: what is asked.
        dialect: which parameters are left out, and how long an answer may be.
        effort: of reasoning, as the API names it; left out unless set.
        summary: of reasoning, as the API names it; left out unless set.
    """
    request = conversation.request
    limit = min(request.max_tokens, dialect.output_limit or request.max_tokens)
    parameters: dict[str, Any] = {
        "model": request.model.id,
        "input": [
            item for role, blocks in conversation.turns() for item in _items(role, blocks, conversation)
        ],
        # The API refuses less.
        "max_output_tokens": max(_LEAST_OUTPUT, limit),
        # History is here, and whole: nothing needs to be kept there.
        "store": False,
        "stream": True,
    }
    if request.system.strip():
        parameters["instructions"] = request.system
    if conversation.tools:
        parameters["tools"] = [_tool(tool) for tool in conversation.tools]
    if may_reason(request.model.id):
        # Models that do not reason refuse it; of a name of the customer's own (Azure) nothing is known.
        parameters["include"] = ["reasoning.encrypted_content"]
        if chosen := {name: value for name, value in (("effort", effort), ("summary", summary)) if value}:
            parameters["reasoning"] = chosen
    if request.model.options is not None:
        said = options.for_responses(
            request.model.options, reasons=may_reason(request.model.id), tools=bool(conversation.tools)
        )
        if "reasoning" in said and isinstance(said["reasoning"], dict):
            said["reasoning"] = {**parameters.get("reasoning", {}), **said["reasoning"]}
        parameters |= said
    return {name: value for name, value in parameters.items() if name not in dialect.without}


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "function",
        "name": short_name(tool["name"]),
        "description": tool.get("description", ""),
        "parameters": parameters_of(tool),
        "strict": False,
    }


def _items(role: str, blocks: list[Block], conversation: Conversation) -> Iterator[dict[str, Any]]:
    """Input items. Results come first in their message, and so right behind the calls they answer."""
    if role == "assistant":
        phase: str | None = None
        for block in blocks:
            if (item := _said(block, conversation)) is None:
                continue
            if item["type"] == _PHASE:
                phase = item["phase"]
                continue
            if item["type"] == "message" and phase is not None:
                item["phase"], phase = phase, None
            yield item
        return
    spoken: list[Block] = []
    for block in blocks:
        if block["type"] == "tool_result":
            yield _result(block)
        else:
            spoken.append(block)
    if spoken:
        yield {"type": "message", "role": "user", "content": _parts(spoken)}


def _said(block: Block, conversation: Conversation) -> dict[str, Any] | None:
    match block["type"]:
        case "text":
            return {"type": "message", "role": "assistant", "content": block["text"]}
        case "tool_use":
            # Without the item's own id: with one, the API would insist on the reasoning that came with it.
            return {
                "type": "function_call",
                "call_id": short_id(block["id"]),
                "name": short_name(block["name"]),
                "arguments": arguments_of(block),
            }
        case "thinking":
            item: dict[str, Any] | None = conversation.replayed(block)
            # Nothing is stored there, so that an id alone says nothing.
            return (
                None
                if item and item.get("type") == "reasoning" and not item.get("encrypted_content")
                else item
            )
    return None


def _result(block: Block) -> dict[str, Any]:
    parts = result_blocks(block)
    plain = all(part["type"] == "text" for part in parts)
    return {
        "type": "function_call_output",
        "call_id": short_id(block["tool_use_id"]),
        "output": text_of(parts) if plain else _parts(parts),
    }


def _parts(blocks: list[Block]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for block in blocks:
        if block["type"] == "image":
            parts.append({"type": "input_image", "image_url": image_url(block), "detail": "auto"})
        elif block["type"] == "text":
            parts.append({"type": "input_text", "text": block["text"]})
        else:
            parts.append(
                {"type": "input_text", "text": f"[a {block['type']} that this model cannot be sent]"}
            )
    return parts


class ResponsesTurn:
    """Takes events one by one and gives back what can be shown live; ``finish`` gives the turn."""

    def __init__(self, conversation: Conversation) -> None:
        """Begin a turn.

        Args:
            conversation: what was asked; it knows the tools' names and whose reasoning this is.
        """
        self._conversation = conversation
        self._items: dict[int, dict[str, Any]] = {}
        self._response: dict[str, Any] = {}
        self.complete = False
        """Whether ``response.completed`` has come, with everything in it."""
        self.announced = self.counted = False

    def apply(self, event: dict[str, Any]) -> list[Part]:
        """Take one event.

        Args:
            event: a frame of the stream.

        Returns:
            What can be shown live.

        Raises:
            ModelError: the error that the event tells of.
        """
        match event.get("type"):
            case "response.output_text.delta" | "response.refusal.delta":
                return [Text(event["delta"])] if event["delta"] else []
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                return [Reasoning(event["delta"])] if event["delta"] else []
            case "response.reasoning_summary_part.added" if event.get("summary_index"):
                return [Reasoning("\n\n")]
            case "response.output_item.added" if event["item"].get("type") == "function_call":
                return [self._call(event["item"]).begun()]
            case "response.output_item.done":
                self._items[event.get("output_index", len(self._items))] = event["item"]
            case "response.completed" | "response.incomplete":
                self._response = event["response"]
                self.complete = True
            case "response.failed":
                raise openai_failure.of(event["response"].get("error") or {})
            case "error":
                raise openai_failure.of(event.get("error") or event)
        return []

    def finish(self) -> Turn:
        """The turn.

        Raises:
            ModelUnavailable: the stream ended early, or its end is no good one.
        """
        if not self.complete:
            raise ModelUnavailable("the model's answer broke off before its end; try again")
        # The last event repeats all items; some gateways leave them out there.
        items = self._response.get("output") or [self._items[index] for index in sorted(self._items)]
        said: Said = []
        refused = False
        for item in items:
            # What was cut off: a call was never made, encrypted reasoning is not whole. Text was shown and
            # stays.
            if item.get("status") == "incomplete" and item.get("type") != "message":
                continue
            match item.get("type"):
                case "reasoning":
                    said.append((self._reasoning(item), None))
                case "message":
                    parts = item.get("content") or []
                    refused = refused or any(part.get("type") == "refusal" for part in parts)
                    phase = item.get("phase")
                    for part in parts:
                        if isinstance(phase, str):
                            said.append((self._kept("", {"type": _PHASE, "phase": phase}), None))
                        said.append((_text(part), None))
                case "function_call":
                    said.append(self._use(item))
        return closed(said, self._stop_reason(said, refused), _usage(self._response.get("usage") or {}))

    def _call(self, item: dict[str, Any]) -> OpenCall:
        """Any id will do: where servers give none, or one for two calls, it is made up."""
        call_id = as_text(item.get("call_id")) or as_text(item.get("id")) or f"call_{len(self._items)}"
        return OpenCall(call_id, self._conversation.named(str(item.get("name") or "")))

    def _use(self, item: dict[str, Any]) -> tuple[dict[str, Any], ModelCall]:
        call = self._call(item)
        call.begun()
        arguments = item.get("arguments") or ""
        call.pieces.append(arguments if isinstance(arguments, str) else _encode(arguments).decode())
        return call.used()

    def _reasoning(self, item: dict[str, Any]) -> dict[str, Any]:
        parts = item.get("summary") or item.get("content") or []
        text = "\n\n".join(str(part.get("text", "")) for part in parts)
        # The status is for reading only; the rest goes back as it came.
        kept = {name: value for name, value in item.items() if name != "status"}
        return self._kept(text, kept)

    def _kept(self, text: str, item: dict[str, Any]) -> dict[str, Any]:
        return reasoning.block(text, self._conversation.origin, item)

    def _stop_reason(self, said: Said, refused: bool) -> str:
        why = (self._response.get("incomplete_details") or {}).get("reason")
        if refused or why == "content_filter":
            return "refusal"
        if why in ("max_output_tokens", "max_tokens"):
            return "max_tokens"
        status = self._response.get("status", "completed")
        if why is not None or status not in ("completed", "incomplete"):
            raise ModelUnavailable(f"the model's answer ended with {str(why or status)[:100]!r}; try again")
        return "tool_use" if any(call is not None for _, call in said) else "end_turn"


def _text(part: dict[str, Any]) -> dict[str, Any]:
    return {"type": "text", "text": str(part.get("text") or part.get("refusal") or "")}


def _usage(counts: dict[str, Any]) -> Usage:
    details = counts.get("input_tokens_details") or {}
    read, written = count(details.get("cached_tokens")), count(details.get("cache_write_tokens"))
    total = count(counts.get("input_tokens"))
    return Usage(max(0, total - read - written), count(counts.get("output_tokens")), read, written)
