"""What the routes work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from infinity.abc import Store
from infinity.api.runs import Runs
from infinity.feed import Feed
from infinity.models.registry import Models
from infinity.rap.capability import Capabilities

from ..moving.moves import Moves
from .metrics import Metrics

__all__ = ["BACKEND", "Address", "Backend"]


@dataclass(frozen=True, slots=True)
class Address:
    """Where the daemon listens and by which names it may be called (S4)."""

    host: str
    port: int
    public_url: str
    hosts: tuple[str, ...] = ()


@dataclass(slots=True)
class Backend:
    """One daemon's parts. ``toolsets``: the state of every configured tool server, for ``GET /v1/toolsets``."""

    runtime: Runs
    store: Store
    feed: Feed
    capabilities: Capabilities
    toolsets: Callable[[], Awaitable[list[dict[str, Any]]]]
    token: str
    address: Address
    home: Path
    max_body: int = 1 << 20
    max_callback: int = 8 << 20
    max_streams: int = 1_000
    version: str = ""
    metrics: Metrics = field(default_factory=Metrics)
    models: Models | None = None
    """Those that are configured."""
    moves: Moves | None = None
    """Conversations that leave and arrive; ``None`` for a host that moves none."""


BACKEND = web.AppKey("backend", Backend)
