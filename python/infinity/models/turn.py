"""The open turn: what a Messages stream has said so far (L8: nothing of it counts before it is complete).

Every adapter of the Messages API feeds an ``OpenTurn``; ``closed`` and ``parse_arguments`` are for the
others too. What an endpoint makes of a turn is repaired where it has one meaning, and is
``ModelUnavailable`` where it has none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from infinity.abc.model import ModelCall, Part, Reasoning, Text, ToolUse, Turn, Usage
from infinity.errors import ContextTooLong, ModelUnavailable

from . import reasoning
from .characters import whole
from .events import Counts, Delta, Event

GOOD_ENDS = frozenset(
    {
        "end_turn",
        "max_tokens",
        "model_context_window_exceeded",
        "pause_turn",
        "refusal",
        "stop_sequence",
        "tool_use",
    }
)
"""Stop reasons after which there is a turn.

Whatever else an endpoint says ("error", "abort", …) is a failure (M8).
"""

CUT_OFF = frozenset({"max_tokens", "model_context_window_exceeded", "refusal"})
"""Stop reasons that may leave the last block half said."""

REASONING = frozenset({"thinking", "redacted_thinking"})
"""Types of blocks that hold reasoning."""


class _OpenBlock:
    """A content block that is being streamed: the block as it began, and the pieces that belong to its
    end.
    """

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
        if block["type"] == "thinking" and not block.get("signature"):
            # No Messages API takes unsigned reasoning back; marked as nobody's it stays for people to read
            # (I4).
            return reasoning.block(block.get("thinking", ""), reasoning.NOBODY, None), None
        if self.arguments:
            arguments, problem = parse_arguments(whole("".join(self.arguments)))
            block["input"] = arguments if arguments is not None else {}
        elif block["type"] == "tool_use" and not isinstance(block["input"], dict):
            block["input"], problem = {}, "the arguments are not a JSON object"
        if block["type"] != "tool_use":
            return block, None
        return block, ModelCall(block["id"], block["name"], None if problem else block["input"], problem)


class OpenTurn:
    """Takes events one by one and gives back what can be shown live; ``finish`` gives the turn."""

    __slots__ = (
        "_arguments_seen",
        "_blocks",
        "_counted",
        "_counts",
        "_open",
        "complete",
        "heard",
        "over_at",
        "stop_reason",
    )

    def __init__(self, counted: Callable[[Usage], None] | None = None) -> None:
        """Begin a turn.

        Args:
            counted: hears what the stream says at its start that it has used.
        """
        self._counted = counted
        self._blocks: Said = []
        self._open: dict[int, _OpenBlock] = {}
        self._arguments_seen = False
        self._counts = {"input": 0, "output": 0, "cache_read": 0, "cache_write": 0}
        self.stop_reason: str | None = None
        """What the end was announced with."""
        self.over_at = 0.0
        """In the loop's time, once the end is announced: until then the last frame is waited for."""
        self.heard: tuple[float, tuple[int, int]] | None = None
        """When something was said last, as far as pings have looked, and ``progress`` by then."""
        self.complete = False

    def apply(self, event: Event) -> Part | None:
        """Take one event. Error events are the caller's.

        Args:
            event: as it was decoded.

        Returns:
            What can be shown live.

        Raises:
            ModelUnavailable: the event does not fit what came before.
        """
        match event.type:
            case "content_block_delta":
                return self._block(event.index).add(event.delta or Delta())
            case "content_block_start":
                return self._start(event)
            case "content_block_stop":
                self._stop(event.index)
            case "message_start" if event.message is not None:
                self._count(event.message.usage)
                if self._counted is not None:
                    # The input is paid for from here on, whatever becomes of the answer.
                    self._counted(self.used)
            case "message_delta":
                self._count(event.usage)
                if event.delta is not None and event.delta.stop_reason:
                    self.stop_reason = event.delta.stop_reason
            case "message_stop":
                self.complete = True
        return None

    @property
    def announced(self) -> bool:
        """Whether the end was told and nothing is open: then the turn counts, whether or not the last
        frame follows.
        """
        return self.stop_reason is not None and not self._open

    @property
    def progress(self) -> tuple[int, int]:
        """Grows with what is said."""
        pieces = (len(each.words) + len(each.thinking) + len(each.arguments) for each in self._open.values())
        return len(self._blocks), sum(pieces)

    @property
    def used(self) -> Usage:
        """What the stream has said so far: a completion that breaks off is charged by it."""
        return Usage(**self._counts)

    def finish(self, origin: str | None = None) -> Turn:
        """The turn, its reasoning marked for its origin.

        Args:
            origin: who takes the reasoning back (see ``reasoning.marked``).

        Raises:
            ModelUnavailable: the stream ended early, or with a stop reason that is no good end.
            ContextTooLong: the context left no room to say anything.
        """
        if self._open or self.stop_reason is None:
            raise ModelUnavailable("the model's answer broke off before its end; try again")
        if self.stop_reason not in GOOD_ENDS:
            raise ModelUnavailable(f"the model's answer ended with {self.stop_reason[:100]!r}; try again")
        # What was cut off at its last block may be half a call.
        if self.stop_reason in CUT_OFF:
            self._drop_unfinished_call()
        turn = closed(self._blocks, self.stop_reason, self.used)
        if not turn.blocks and self.stop_reason == "model_context_window_exceeded":
            raise ContextTooLong("the conversation fills the model's context window; compact it")
        blocks = reasoning.marked(turn.blocks, origin)
        return turn if blocks is turn.blocks else replace(turn, blocks=blocks)

    def _start(self, event: Event) -> Part | None:
        block = event.content_block
        kind = block.get("type") if block is not None else None
        if block is None or not isinstance(kind, str) or event.index in self._open:
            raise ModelUnavailable("the model's answer holds a content block that cannot be read")
        opened = self._open[event.index] = _OpenBlock(block)
        if kind != "tool_use":
            _fill(block, kind)
            return None
        if not isinstance(block.get("id"), str) or not isinstance(block.get("name"), str):
            raise ModelUnavailable("the model's answer holds a tool call without id or name")
        given = block.get("input")
        if isinstance(given, str):
            opened.arguments.append(given)
        block["input"] = {} if given is None or isinstance(given, str) else given
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


_TEXTS = {"text": "text", "thinking": "thinking", "redacted_thinking": "data"}


def _fill(block: dict[str, Any], kind: str) -> None:
    """What a gateway left out of a block, or filled with null, is empty; what it filled with something
    else makes the block unreadable.
    """
    name = _TEXTS.get(kind)
    if name is not None and not isinstance(block.get(name), str):
        if block.get(name) is not None:
            raise ModelUnavailable(f"the model's answer holds a block of type {kind} that cannot be read")
        block[name] = ""
    if kind == "thinking" and not isinstance(block.get("signature", ""), str):
        del block["signature"]


MOST_TOKENS = 1 << 40
"""What no model counts: a larger number is a mistake of the endpoint."""


def count(value: Any) -> int:
    """A number of tokens as some endpoint gives it.

    Args:
        value: fractional, as text, negative, null. What is not a number counts as 0.
    """
    try:
        return max(0, min(int(float(value)), MOST_TOKENS))
    except (TypeError, ValueError, OverflowError):
        return 0


Said = list[tuple[dict[str, Any], ModelCall | None]]
"""Content blocks in order; with each tool_use block its call."""


def closed(said: Said, stop_reason: str, usage: Usage) -> Turn:
    """The turn of an answer that is complete. Calls that share one id get ids of their own.

    Args:
        said: content blocks in order; with each tool_use block its call.
        stop_reason: in the words of the Messages API.
        usage: what the answer has used.
    """
    # No API takes back a turn that ends in reasoning, or a text without anything but white space (I4).
    blocks = [block for block, _ in said if _is_taken_back(block)]
    while blocks and blocks[-1]["type"] in REASONING:
        blocks.pop()
    calls = tuple(call for _, call in said if call is not None)
    if len(calls) > 1 and len({call.id for call in calls}) != len(calls):
        calls = _renumbered(blocks, calls)
    return Turn(blocks, calls, stop_reason, usage)


def _renumbered(blocks: list[dict[str, Any]], calls: tuple[ModelCall, ...]) -> tuple[ModelCall, ...]:
    """The calls under ids that are used once; so are their blocks."""
    uses = [block for block in blocks if block["type"] == "tool_use"]
    taken: set[str] = set()
    renamed = []
    for use, call in zip(uses, calls, strict=True):
        call_id, number = call.id, 1
        while call_id in taken:
            number += 1
            call_id = f"{call.id}_{number}"
        taken.add(call_id)
        use["id"] = call_id
        renamed.append(replace(call, id=call_id))
    return tuple(renamed)


def _is_taken_back(block: dict[str, Any]) -> bool:
    match block["type"]:
        case "text":
            return bool(block["text"].strip())
        case "redacted_thinking":
            return bool(block.get("data"))
    return True


_any = msgspec.json.Decoder().decode


def parse_arguments(text: str) -> tuple[dict[str, Any] | None, str]:
    """A call's arguments.

    A string that holds the object as JSON is what a gateway makes that encodes twice.

    Args:
        text: as it came; empty is ``{}``.

    Returns:
        The arguments; or ``None`` and what is wrong with them, for the model to read (M1).
    """
    if not text.strip():
        return {}, ""
    try:
        arguments = _any(text)
        if isinstance(arguments, str):
            arguments = _any(arguments) if arguments.strip() else {}
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        return None, f"the arguments are not valid JSON: {error}"
    if not isinstance(arguments, dict):
        return None, "the arguments are not a JSON object"
    return arguments, ""
