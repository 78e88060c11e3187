"""The open turn: what a Messages stream has said so far (L8: nothing of it counts before it is complete)."""

from __future__ import annotations

from typing import Any

import msgspec

from infinity.abc.model import ModelCall, Part, Reasoning, Text, ToolUse, Turn, Usage
from infinity.errors import ContextTooLong, ModelUnavailable

from .events import Counts, Delta, Event

CUT_OFF = frozenset({"max_tokens", "model_context_window_exceeded", "refusal"})
"""Stop reasons that may leave the last block half said."""

REASONING = frozenset({"thinking", "redacted_thinking"})


class _OpenBlock:
    """A content block that is being streamed: the block as it began, and the pieces that belong to its end."""

    __slots__ = ("arguments", "block", "thinking", "words")

    def __init__(self, block: dict[str, Any]) -> None:
        self.block = block
        self.words: list[str] = []
        self.thinking: list[str] = []
        self.arguments: list[str] = []

    def add(self, delta: Delta) -> Part | None:
        match delta.type:
            case "text_delta":
                self.words.append(delta.text)
                return Text(delta.text) if delta.text else None
            case "input_json_delta":
                if delta.partial_json:
                    self.arguments.append(delta.partial_json)
            case "thinking_delta":
                self.thinking.append(delta.thinking)
                return Reasoning(delta.thinking) if delta.thinking else None
            case "signature_delta":
                self.block["signature"] = delta.signature
            case "citations_delta":
                self.block["citations"] = [*(self.block.get("citations") or []), delta.citation]
        return None

    def close(self) -> tuple[dict[str, Any], ModelCall | None]:
        block = self.block
        if self.words:
            block["text"] = block.get("text", "") + "".join(self.words)
        if self.thinking:
            block["thinking"] = block.get("thinking", "") + "".join(self.thinking)
        problem = ""
        if self.arguments:
            arguments, problem = parse_arguments("".join(self.arguments))
            block["input"] = arguments if arguments is not None else {}
        if block["type"] != "tool_use":
            return block, None
        return block, ModelCall(block["id"], block["name"], None if problem else block["input"], problem)


class OpenTurn:
    """Takes events one by one and gives back what can be shown live; ``finish`` gives the turn."""

    __slots__ = ("_arguments_seen", "_blocks", "_counts", "_open", "_stop_reason", "complete")

    def __init__(self) -> None:
        self._blocks: Said = []
        self._open: dict[int, _OpenBlock] = {}
        self._arguments_seen = False
        self._counts = {"input": 0, "output": 0, "cache_read": 0, "cache_write": 0}
        self._stop_reason: str | None = None
        self.complete = False

    def apply(self, event: Event) -> Part | None:
        """``ModelUnavailable`` for an event that does not fit what came before. Error events are the caller's."""
        match event.type:
            case "content_block_delta":
                return self._block(event.index).add(event.delta or Delta())
            case "content_block_start":
                return self._start(event)
            case "content_block_stop":
                self._stop(event.index)
            case "message_start" if event.message is not None:
                self._count(event.message.usage)
            case "message_delta":
                self._count(event.usage)
                if event.delta is not None and event.delta.stop_reason:
                    self._stop_reason = event.delta.stop_reason
            case "message_stop":
                self.complete = True
        return None

    def finish(self) -> Turn:
        """The turn. ``ModelUnavailable`` if the stream ended early; ``ContextTooLong`` if the context left no room to say anything."""
        if not self.complete or self._open or self._stop_reason is None:
            raise ModelUnavailable("the model's answer broke off before its end; try again")
        if self._stop_reason in CUT_OFF:
            self._drop_unfinished_call()
        turn = closed(self._blocks, self._stop_reason, Usage(**self._counts))
        if not turn.blocks and self._stop_reason == "model_context_window_exceeded":
            raise ContextTooLong("the conversation fills the model's context window; compact it")
        return turn

    def _start(self, event: Event) -> Part | None:
        block = event.content_block
        if block is None or "type" not in block or event.index in self._open:
            raise ModelUnavailable("the model's answer holds a content block that cannot be read")
        self._open[event.index] = _OpenBlock(block)
        if block["type"] != "tool_use":
            return None
        if not isinstance(block.get("id"), str) or not isinstance(block.get("name"), str):
            raise ModelUnavailable("the model's answer holds a tool call without id or name")
        block.setdefault("input", {})
        return ToolUse(block["id"], block["name"])

    def _block(self, index: int) -> _OpenBlock:
        block = self._open.get(index)
        if block is None:
            raise ModelUnavailable(
                f"the model's answer goes on with content block {index}, which is not open"
            )
        return block

    def _stop(self, index: int) -> None:
        open_block = self._block(index)
        del self._open[index]
        block, call = open_block.close()
        self._blocks.append((block, call))
        self._arguments_seen = bool(open_block.arguments) or bool(block.get("input"))

    def _drop_unfinished_call(self) -> None:
        """A call whose arguments were cut off was never made; one that was complete by then was."""
        call = self._blocks[-1][1] if self._blocks else None
        if call is not None and (call.arguments is None or not self._arguments_seen):
            self._blocks.pop()

    def _count(self, counts: Counts | None) -> None:
        """Counts are running totals: later ones replace earlier ones."""
        if counts is None:
            return
        if counts.input_tokens is not None:
            self._counts["input"] = counts.input_tokens
        if counts.output_tokens is not None:
            self._counts["output"] = counts.output_tokens
        if counts.cache_read_input_tokens is not None:
            self._counts["cache_read"] = counts.cache_read_input_tokens
        if counts.cache_creation_input_tokens is not None:
            self._counts["cache_write"] = counts.cache_creation_input_tokens


Said = list[tuple[dict[str, Any], ModelCall | None]]
"""Content blocks in order; with each tool_use block its call."""


def closed(said: Said, stop_reason: str, usage: Usage) -> Turn:
    """The turn of an answer that is complete. ``ModelUnavailable`` if two of its calls have one id."""
    # No API takes back a turn that ends in reasoning, or a text without anything but white space (I4).
    blocks = [block for block, _ in said if block["type"] != "text" or block["text"].strip()]
    while blocks and blocks[-1]["type"] in REASONING:
        blocks.pop()
    calls = tuple(call for _, call in said if call is not None)
    if len({call.id for call in calls}) != len(calls):
        raise ModelUnavailable("the model's answer uses one id for two tool calls; try again")
    return Turn(blocks, calls, stop_reason, usage)


_any = msgspec.json.Decoder().decode


def parse_arguments(text: str) -> tuple[dict[str, Any] | None, str]:
    """A call's arguments, or ``None`` and what is wrong with them, for the model to read (M1). Empty text is ``{}``."""
    if not text.strip():
        return {}, ""
    try:
        arguments = _any(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        return None, f"the arguments are not valid JSON: {error}"
    if not isinstance(arguments, dict):
        return None, "the arguments are not a JSON object"
    return arguments, ""
