"""Turns from the chunks of Chat Completions, in every form that servers give them and that has one
sensible meaning.

``openai`` feeds the chunks in. The rule: what can be understood in one way only is understood; what
cannot is ``ModelUnavailable``, and tried again (M8). The turn counts when its end is announced, as
everywhere (L8).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from infinity.abc.model import Part, Reasoning, Text, ToolUse, Turn, Usage
from infinity.errors import ContextTooLong, ModelUnavailable

from . import openai_failure, reasoning
from .open_calls import OpenCalls
from .openai_edge import Conversation
from .turn import Said, closed, count

__all__ = ["THINKING_PARTS", "ChatTurn", "error_in"]

_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
    # What servers say that pass on the words of the model behind them.
    "complete": "end_turn",
    "completed": "end_turn",
    "context_length_exceeded": "model_context_window_exceeded",
    "context_window_exceeded": "model_context_window_exceeded",
    "end_turn": "end_turn",
    "eos": "end_turn",
    "eos_token": "end_turn",
    "max_tokens": "max_tokens",
    "model_context_window_exceeded": "model_context_window_exceeded",
    "model_length": "max_tokens",
    "pause_turn": "pause_turn",
    "refusal": "refusal",
    "safety": "refusal",
    "stop_sequence": "end_turn",
    "tool_call": "tool_use",
    "tool_use": "tool_use",
}
"""The good ends, in lower case.

Any other ("error", "abort", "insufficient_system_resource", …) is a failure that is tried again (M8).
"""
_REASONING_TEXTS = ("reasoning_content", "reasoning")
"""Where endpoints put reasoning: DeepSeek and its followers, OpenRouter and its followers."""
THINKING_PARTS = "thinking_parts"
"""Where reasoning is kept that came as parts of the content."""
_CUT_OFF = frozenset({"max_tokens", "model_context_window_exceeded"})


class ChatTurn:
    """Takes chunks one by one and gives back what can be shown live; ``finish`` gives the turn."""

    def __init__(self, conversation: Conversation) -> None:
        """Begin a turn.

        Args:
            conversation: what was asked; it knows the tools' names and whose reasoning this is.
        """
        self._conversation = conversation
        self._text: list[str] = []
        self._calls = OpenCalls(conversation.named)
        self._thought: dict[str, list[str]] = {}
        self._details: list[dict[str, Any]] = []
        self._finish_reason: str | None = None
        self._refused = False
        self._usage: dict[str, Any] = {}
        self._counted = False
        self.complete = False
        """Never by itself: what follows the end (usage, the last frame) is waited for, but not for long."""

    @property
    def announced(self) -> bool:
        """Whether the end was told: then the turn counts, whatever follows or does not."""
        return self._finish_reason is not None

    @property
    def thought(self) -> set[str]:
        """The fields that reasoning came in."""
        return {*self._thought}

    @property
    def counted(self) -> bool:
        """Whether usage came with the end or behind it."""
        return self._counted

    def apply(self, chunk: dict[str, Any]) -> list[Part]:
        """Take one chunk.

        Args:
            chunk: a frame of the stream, or a whole answer that was not streamed.

        Returns:
            What can be shown live, in order.

        Raises:
            ModelError: the error that the chunk tells of.
        """
        if (error := error_in(chunk)) is not None:
            raise openai_failure.of(error)
        parts: list[Part] = []
        choice = _first(chunk.get("choices"))
        # In the chunk, in its choice, or under Groq's own name.
        usage = chunk.get("usage") or choice.get("usage") or _object(chunk.get("x_groq")).get("usage")
        delta = choice.get("delta")
        if delta is None and not self._text and not self._calls:
            delta = choice.get("message")  # an answer that was not streamed
        parts += self._apply(delta) if isinstance(delta, dict) else self._say(delta)
        if (finish := choice.get("finish_reason")) is not None and finish != "":
            self._finish_reason = str(finish)
        if isinstance(usage, dict):
            # A running total: the last one counts, and before the end it may not be the last.
            self._usage, self._counted = usage, self.announced
        return parts

    def finish(self) -> Turn:
        """The turn.

        Raises:
            ModelUnavailable: the stream ended early, or its end is no good one.
            ContextTooLong: the context left no room to say anything.
        """
        if self._finish_reason is None:
            raise ModelUnavailable("the model's answer broke off before its end; try again")
        stop_reason = _STOP_REASONS.get(self._finish_reason.lower().replace("-", "_"))
        if stop_reason is None:
            raise ModelUnavailable(f"the model's answer ended with {self._finish_reason[:100]!r}; try again")
        calls = self._calls.finished() if self._calls else []
        # A call whose arguments were cut off was never made.
        if calls and stop_reason in _CUT_OFF and (not calls[-1].pieces or calls[-1].arguments()[1]):
            calls.pop()
        said: Said = []
        if (thought := self._reasoning([call.extra for call in calls])) is not None:
            said.append((thought, None))
        if self._text:
            said.append(({"type": "text", "text": "".join(self._text)}, None))
        uses = [call.used() for call in calls]
        # A refusal wins over whatever reason the end was given.
        if self._refused:
            stop_reason = "refusal"
        elif uses and stop_reason == "end_turn":
            # Some servers end with "stop" although they have called tools.
            stop_reason = "tool_use"
        turn = closed([*said, *uses], stop_reason, _usage(self._usage))
        if not turn.blocks and stop_reason == "model_context_window_exceeded":
            raise ContextTooLong("the conversation fills the model's context window; compact it")
        return turn

    def _apply(self, delta: dict[str, Any]) -> Iterator[Part]:
        yield from self._reason(delta)
        yield from self._say(delta.get("content"))
        if refusal := delta.get("refusal"):
            self._refused = True
            yield from self._say(refusal)
        calls = delta.get("tool_calls") or []
        # One call as an object, where the API has a list.
        for call in [calls] if isinstance(calls, dict) else calls:
            yield from self._call(call)
        if isinstance(call := delta.get("function_call"), dict):
            yield from self._call(call)

    def _say(self, content: Any) -> Iterator[Part]:
        """Text is a string, or a list of parts: of text, reasoning and refusals."""
        if isinstance(content, str):
            if content:
                self._text.append(content)
                yield Text(content)
            return
        for part in content if isinstance(content, list) else [content]:
            if not isinstance(part, dict):
                if part is not None:
                    yield from self._say(str(part))
                continue
            kind = str(part.get("type") or "text")
            if "thinking" in kind or "reasoning" in kind:
                yield from self._think(THINKING_PARTS, _words(part))
            else:
                self._refused = self._refused or kind == "refusal"
                yield from self._say(_words(part))

    def _reason(self, delta: dict[str, Any]) -> Iterator[Part]:
        shown = False
        # Some endpoints say the same in several fields; it is shown once, and all of them are kept.
        for name in _REASONING_TEXTS:
            for part in self._think(name, _words(delta.get(name))):
                if not shown:
                    shown = True
                    yield part
        for detail in delta.get("reasoning_details") or []:
            self._detail(detail)

    def _think(self, name: str, piece: str) -> Iterator[Part]:
        if piece:
            self._thought.setdefault(name, []).append(piece)
            yield Reasoning(piece)

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

    def _call(self, piece: dict[str, Any]) -> Iterator[ToolUse]:
        yield from self._calls.feed(piece)

    def _reasoning(self, extras: list[Any]) -> dict[str, Any] | None:
        """What the endpoint wants back, under the names that it came by."""
        item: dict[str, Any] = {name: "".join(pieces) for name, pieces in self._thought.items()}
        text = next(iter(item.values()), "")
        if self._details:
            item["reasoning_details"] = self._details
        if any(extra is not None for extra in extras):
            item["extra_content"] = extras
        return reasoning.block(text, self._conversation.origin, item) if item else None


def error_in(chunk: dict[str, Any]) -> Any | None:
    """The error that stands in place of a chunk, or in it; ``None`` if there is none.

    Args:
        chunk: a frame of the stream, or an answer of 200 in JSON.
    """
    if error := chunk.get("error"):
        return chunk if isinstance(error, str) else error
    told = chunk.get("object") == "error" or chunk.get("type") == "error"
    if told or ("choices" not in chunk and ("detail" in chunk or "message" in chunk)):
        return chunk
    return None


def _words(value: Any) -> str:
    """The text in a part, wherever it stands in it."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(_words(each) for each in value)
    if not isinstance(value, dict):
        return ""
    for name in ("text", "thinking", "reasoning", "content", "refusal", "summary"):
        if value.get(name):
            return _words(value[name])
    return ""


def _first(choices: Any) -> dict[str, Any]:
    return _object(choices[0]) if isinstance(choices, list) and choices else {}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _usage(counts: dict[str, Any]) -> Usage:
    details = _object(counts.get("prompt_tokens_details"))
    read = count(details.get("cached_tokens") or counts.get("prompt_cache_hit_tokens"))
    written = count(details.get("cache_write_tokens"))
    total = count(counts.get("prompt_tokens") or counts.get("input_tokens"))
    output = count(counts.get("completion_tokens") or counts.get("output_tokens"))
    return Usage(max(0, total - read - written), output, read, written)
