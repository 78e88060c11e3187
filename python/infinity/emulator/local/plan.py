"""What is deployed, as the person who starts it says it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Plan", "ToolFunction"]


@dataclass(frozen=True)
class ToolFunction:
    """A toolset of ``infinity.rap`` that would be a function: ``handler`` is ``module.name`` in the directory
    ``code``.
    """

    code: Path
    handler: str


@dataclass(frozen=True)
class Plan:
    """``code``: the directory with ``infinity.toml`` and the agent's modules. ``state``: where everything is
    kept.

    ``store``: the database; without it a PostgreSQL server is started in ``state``. ``agent``:
    ``module:name`` of an ``infinity.Agent``. ``environment``: further variables of the functions.
    ``toolsets``: tools that are functions too, by name; calls to them are signed. ``timeout``: seconds of
    a slice; ``receives``: deliveries before a message is a dead letter; ``concurrency``: threads that run
    at once. ``ports``: of AWS, the receiver and the API; those that are not given stay the same from run
    to run, because callback URLs contain them. ``restored``: the database was put back to an earlier time.
    """

    code: Path
    state: Path
    store: str | None = None
    agent: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    toolsets: Mapping[str, ToolFunction] = field(default_factory=dict)
    layers: Sequence[Path] = ()
    timeout: int = 300
    receives: int = 20
    concurrency: int = 8
    ports: Mapping[str, int] = field(default_factory=dict)
    restored: bool = False
    python: str = sys.executable
