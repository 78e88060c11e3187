"""Infinity: a durable runtime for LLM agents that may wait for days and cost nothing while they wait.

    from infinity import Agent, Runtime, tool

Names only; each is imported when it is first used, so that ``import infinity`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infinity.agent import Agent
    from infinity.local.embedded import Runtime
    from infinity.settings import Limits, Policy, Retention, Retries, Timeouts
    from infinity.tools.functions import tool

__all__ = ["Agent", "Limits", "Policy", "Retention", "Retries", "Runtime", "Timeouts", "tool"]

_HOMES = {
    "Agent": "infinity.agent",
    "Limits": "infinity.settings",
    "Policy": "infinity.settings",
    "Retention": "infinity.settings",
    "Retries": "infinity.settings",
    "Runtime": "infinity.local.embedded",
    "Timeouts": "infinity.settings",
    "tool": "infinity.tools.functions",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'infinity' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
