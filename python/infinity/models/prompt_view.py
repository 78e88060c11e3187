"""What a scripted model reads: the last user message of a request, taken apart.

Rules of ``Script``, and the tests' strict servers, decide by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infinity.stamps import is_stamp

EVENT_TOOL = "receive_event__injected"
"""The reserved tool of synthetic calls (SUB-2)."""


@dataclass(frozen=True, slots=True)
class ResultView:
    """A tool's result: ``tool`` and ``arguments`` of its call, its ``text``, and whether it is an
    ``error``.
    """

    tool: str
    arguments: dict[str, Any]
    text: str
    error: bool


@dataclass(frozen=True, slots=True)
class EventView:
    """An event of a subscription, or a result that came late.

    ``tool``, ``call_id`` and ``arguments`` are those of the earlier call that it is about.
    """

    tool: str
    call_id: str
    arguments: Any
    text: str


@dataclass(frozen=True, slots=True)
class PromptView:
    """What a rule of a ``Script`` sees of a request."""

    text: str
    """What was said outside of results, paragraphs joined by line breaks."""
    results: tuple[ResultView, ...]
    """Results of the calls of the last turn."""
    events: tuple[EventView, ...]
    """Events of subscriptions, and results that came late."""
    images: int
    """How many images there are."""
    tools: dict[str, dict[str, Any]]
    """Input schemas of the tools on offer, by name."""
    system: str
    """The system prompt."""
    messages: list[dict[str, Any]]
    """The whole conversation, as the Messages API has it."""

    def summary(self) -> str:
        """For error messages: kinds and names, no content."""
        parts = [f"a result of {result.tool}" for result in self.results]
        parts += [f"an event of {event.tool}" for event in self.events]
        parts += [f"{len(self.text)} characters of text"] if self.text else []
        return ", ".join(parts) or "an empty message"


def read_prompt(request: dict[str, Any]) -> PromptView:
    """The view of a request.

    Args:
        request: a Messages API request, as decoded JSON.
    """
    messages: list[dict[str, Any]] = request.get("messages") or []
    calls = {
        block["id"]: block
        # Only the turn before: results answer no other.
        for message in messages[-2:-1]
        for block in blocks(message)
        if block.get("type") == "tool_use"
    }
    texts: list[str] = []
    results: list[ResultView] = []
    events: list[EventView] = []
    images = 0
    for block in blocks(messages[-1]) if messages else []:
        match block.get("type"):
            case "text" if not is_stamp(block):
                texts.append(block["text"])
            case "image":
                images += 1
            case "tool_result":
                call = calls.get(block["tool_use_id"], {})
                if call.get("name") == EVENT_TOOL:
                    events.append(_event(call.get("input", {}), text_of(block)))
                else:
                    error = bool(block.get("is_error"))
                    results.append(
                        ResultView(call.get("name", ""), call.get("input", {}), text_of(block), error)
                    )
    tools = {tool["name"]: tool.get("input_schema", {}) for tool in request.get("tools") or []}
    return PromptView(
        "\n".join(texts), tuple(results), tuple(events), images, tools, _system(request), messages
    )


def blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The content blocks of a message; a plain string is one text block.

    Args:
        message: of a request.
    """
    content = message.get("content") or []
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def text_of(block: dict[str, Any]) -> str:
    """The text of a result, without stamps of time.

    Args:
        block: of the type ``tool_result``.
    """
    return "\n".join(
        part["text"] for part in blocks(block) if part.get("type") == "text" and not is_stamp(part)
    )


def _event(arguments: dict[str, Any], text: str) -> EventView:
    return EventView(
        str(arguments.get("original_tool_name", "")),
        str(arguments.get("original_tool_call_id", "")),
        arguments.get("original_args"),
        text,
    )


def _system(request: dict[str, Any]) -> str:
    system = request.get("system") or ""
    return system if isinstance(system, str) else "\n".join(part.get("text", "") for part in system)
