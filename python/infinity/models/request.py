"""A ``ModelRequest`` as the bytes of a Messages API request.

Nothing is decoded: the history's bytes go out as they are stored (G1). Its parts are put together in
the order in which the API caches them: tools, system, messages.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from infinity.abc.model import ModelInfo, ModelRequest

from .claude import Thinking, is_bound, thinking_of
from .reasoning import for_messages_api

API_VERSION = "2026-10-21"
"""The ``anthropic-version`` that is spoken."""

_BINDING_CONTROLS = "thinking-binding-controls-2026-08-01"
_LEAST_BUDGET = 1024
_CACHED: dict[str, Any] = {"cache_control": {"type": "ephemeral"}}

_encode = msgspec.json.Encoder().encode


def thinking(model: ModelInfo, max_tokens: int) -> dict[str, Any] | None:
    """The request's ``thinking`` in the form this model takes; ``None`` leaves it out.

    Args:
        model: its id, and its budget of reasoning.
        max_tokens: of the answer.
    """
    form = thinking_of(model.id)
    if form is Thinking.BUDGET:
        budget = min(model.thinking, max_tokens - 1)
        # The API wants 1024 ≤ budget < max_tokens: with less room there is no reasoning.
        return {"type": "enabled", "budget_tokens": budget} if budget >= _LEAST_BUDGET else None
    if not model.thinking and form is not Thinking.ALWAYS:
        return {"type": "between_tools" if form is Thinking.BETWEEN_TOOLS else "disabled"}
    config: dict[str, Any] = {"type": "adaptive", "display": "summarized"}
    if is_bound(model.id):
        config["block_binding"] = {"prefix_mismatch_behavior": "drop_block"}
    return config


@lru_cache(maxsize=64)
def _thinking_json(model_id: str, budget: int, max_tokens: int) -> tuple[str, bytes]:
    """The form, and the parameter as JSON; the same for all requests with room for a whole answer."""
    config = thinking(ModelInfo("", "", model_id, thinking=budget), max_tokens)
    return ("", b"") if config is None else (config["type"], b',"thinking":' + _encode(config))


_ASSISTANT = b'{"role":"assistant","content":[{"type":"'
_RESULT = b'{"role":"user","content":[{"type":"tool_result"'


def continues_without_reasoning(messages: bytes) -> bool:
    """Whether the request answers calls of a turn that does not begin with reasoning: an event (SUB-2), or
    a turn of another model.

    With a reasoning budget the API refuses that, so such a request goes without. The marks cannot stand
    in text: JSON escapes its quotes.

    Args:
        messages: the request's, as bytes.
    """
    user, assistant = messages.rfind(b'{"role":"user"'), messages.rfind(_ASSISTANT)
    if assistant < 0 or not messages.startswith(_RESULT, user):
        return False
    kind = messages[assistant + len(_ASSISTANT) : assistant + len(_ASSISTANT) + 18]
    return not kind.startswith((b"thinking", b"redacted_thinking"))


def betas(model: ModelInfo) -> str | None:
    """The ``anthropic-beta`` header that ``thinking`` needs; ``None`` if it needs none.

    Args:
        model: its id.
    """
    return _beta(model.id)


@lru_cache(maxsize=64)
def _beta(model_id: str) -> str | None:
    return _BINDING_CONTROLS if is_bound(model_id) else None


def system(text: str) -> list[dict[str, Any]]:
    """The system prompt with the cache breakpoint that covers the tools, too: they come before it.

    Args:
        text: not blank.
    """
    return [{"type": "text", "text": text, **_CACHED}]


@lru_cache(maxsize=16)
def _system_json(text: str) -> bytes:
    """The same for every request of an agent, and some kilobytes."""
    return _encode(system(text))


def tools_with_breakpoint(tools: bytes) -> bytes:
    """The tools array with a cache breakpoint on its last tool, spliced in without decoding.

    Args:
        tools: a JSON array with at least one object.
    """
    # Without the bracket of the array, then without the brace of its last object.
    return tools.rstrip()[:-1].rstrip()[:-1].rstrip() + b',"cache_control":{"type":"ephemeral"}}]'


def has_tools(tools: bytes) -> bool:
    """Whether there is a tool in it.

    Args:
        tools: a JSON array.
    """
    return tools.strip(b" \t\r\n[]") != b""


def origin(host: str, model: ModelInfo) -> str | None:
    """Whose reasoning a model behind a Messages API takes back (see ``reasoning``).

    Args:
        host: of the API.
        model: its id.

    Returns:
        ``None`` for Claude, wherever it runs.
    """
    return None if "claude" in model.id.lower() else f"{host} messages {model.id}"


def body(request: ModelRequest, host: str = "") -> bytes:
    """The request as JSON.

    Reasoning that is not for this model at this host stays behind. One cache breakpoint goes to the end
    of system and tools; the history brings its own (at most three more are allowed).

    Args:
        request: what is asked.
        host: of the API.
    """
    parts = [
        b'{"model":',
        _encode(request.model.id),
        b',"max_tokens":',
        b"%d" % request.max_tokens,
        b',"stream":true',
    ]
    has_system = bool(request.system.strip())
    if has_system:
        parts += [b',"system":', _system_json(request.system)]
    if has_tools(request.tools):
        # The breakpoint of the system prompt covers the tools, which come before it.
        parts += [b',"tools":', request.tools if has_system else tools_with_breakpoint(request.tools)]
    form, said = _thinking_json(request.model.id, request.model.thinking, request.max_tokens)
    if form != "enabled" or not continues_without_reasoning(request.messages):
        parts.append(said)
    parts += [b',"messages":', for_messages_api(request.messages, origin(host, request.model)), b"}"]
    if request.model.options is not None:
        parts = _with_options(parts, request)
    return b"".join(parts)


_FIVE_MINUTES = b'"cache_control":{"type":"ephemeral"}'
_ONE_HOUR = b'"cache_control":{"type":"ephemeral","ttl":"1h"}'


def _with_options(parts: list[bytes], request: ModelRequest) -> list[bytes]:
    """What the user has set for this model.

    A mark of the cache cannot stand in text: JSON escapes its quotes.
    """
    from .options import for_messages

    assert request.model.options is not None
    said = for_messages(request.model.options, tools=has_tools(request.tools))
    forced = said.get("tool_choice", {}).get("type") in ("any", "tool")
    if forced:
        # With a forced choice the API refuses to reason.
        parts = [part for part in parts if not part.startswith(b',"thinking":')]
    for name, value in said.items():
        # Before the last brace.
        parts[-1:] = [b"," + _encode(name) + b":" + _encode(value), b"}"]
    if request.model.options.cache == "1h":
        parts = [part.replace(_FIVE_MINUTES, _ONE_HOUR) for part in parts]
    return parts
