"""What the user has set for a named model (``Options``), in the words of each API."""

from __future__ import annotations

from typing import Any

from infinity.abc.model import Options
from infinity.errors import ConfigError

from .dialects import Dialect
from .openai_edge import short_name

__all__ = ["CHAT", "MESSAGES", "RESPONSES", "check", "for_chat", "for_messages", "for_responses"]

_EVERY = frozenset(
    {"effort", "extra_body", "extra_headers", "parallel_tool_calls", "reasons", "service_tier", "tool_choice"}
)
MESSAGES = _EVERY | {"cache", "stop"}
"""Options that the Messages API has; ``CHAT`` and ``RESPONSES`` likewise."""
CHAT = _EVERY | {"prompt_cache_key", "seed", "stop", "temperature", "top_p"}
RESPONSES = _EVERY | {"prompt_cache_key", "temperature", "top_p"}


def check(name: str, options: Options | None, takes: frozenset[str], provider: str) -> None:
    """Whether a provider's API has what is set.

    Args:
        name: of the model, for the error.
        options: what is set.
        takes: names of the options that the API has.
        provider: its name, for the error.

    Raises:
        ConfigError: something is set that it does not have; the text lists what it has.
    """
    if options is None:
        return
    # One at a time: the next one is told when this is removed.
    if foreign := sorted(options.asked_for() - takes):
        known = ", ".join(sorted(takes - {"reasons"}))
        raise ConfigError(
            f"[models.named.{name}] {foreign[0]}: the API of the provider {provider!r} does not have it; it has: {known}"
        )


def for_chat(options: Options, dialect: Dialect, *, tools: bool) -> dict[str, Any]:
    """Parameters for Chat Completions.

    Args:
        options: what is set.
        dialect: how the endpoint turns reasoning off.
        tools: whether the request has tools; a choice among none is refused.
    """
    said: dict[str, Any] = {
        "temperature": options.temperature,
        "top_p": options.top_p,
        "stop": [*options.stop] or None,
        "seed": options.seed,
        "reasoning_effort": options.effort,
        "prompt_cache_key": options.prompt_cache_key,
        "service_tier": options.service_tier,
    }
    if tools:
        said["parallel_tool_calls"] = options.parallel_tool_calls
        said["tool_choice"] = _chosen(
            options.tool_choice, lambda name: {"type": "function", "function": {"name": name}}
        )
    # Each endpoint has its own way to turn it off; some have none.
    off = dict(dialect.thinking_off) if options.reasons is False else {}
    return _without_none(said) | off | dict(options.extra_body)


def for_responses(options: Options, *, reasons: bool, tools: bool) -> dict[str, Any]:
    """Parameters for the Responses API.

    Args:
        options: what is set.
        reasons: whether the model may reason; others refuse to be told how.
        tools: whether the request has tools.
    """
    said: dict[str, Any] = {
        "temperature": options.temperature,
        "top_p": options.top_p,
        "prompt_cache_key": options.prompt_cache_key,
        "service_tier": options.service_tier,
    }
    if tools:
        said["parallel_tool_calls"] = options.parallel_tool_calls
        said["tool_choice"] = _chosen(options.tool_choice, lambda name: {"type": "function", "name": name})
    effort = options.effort or ("none" if options.reasons is False else None)
    if reasons and effort is not None:
        said["reasoning"] = {"effort": effort}
    return _without_none(said) | dict(options.extra_body)


def for_messages(options: Options, *, tools: bool) -> dict[str, Any]:
    """Parameters for the Messages API.

    Args:
        options: what is set.
        tools: whether the request has tools.
    """
    said: dict[str, Any] = {
        "stop_sequences": [*options.stop] or None,
        "service_tier": options.service_tier,
        "output_config": {"effort": options.effort} if options.effort else None,
    }
    if tools and (options.tool_choice is not None or options.parallel_tool_calls is not None):
        kinds = {None: "auto", "auto": "auto", "none": "none", "required": "any"}
        kind = kinds.get(options.tool_choice, "tool")
        choice: dict[str, Any] = {"type": kind} | ({"name": options.tool_choice} if kind == "tool" else {})
        if options.parallel_tool_calls is not None and kind != "none":
            choice["disable_parallel_tool_use"] = not options.parallel_tool_calls
        said["tool_choice"] = choice
    return _without_none(said) | dict(options.extra_body)


def _chosen(choice: str | None, named: Any) -> Any:
    return choice if choice in (None, "auto", "none", "required") else named(short_name(choice))


def _without_none(said: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value is not None}
