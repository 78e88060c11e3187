"""What the routes work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web

from infinity.abc import Accepted, Store
from infinity.feed import Feed
from infinity.message import Action, Block
from infinity.rap.capability import Capabilities
from infinity.settings import Settings

from ..moving.moves import Moves
from .metrics import Metrics

__all__ = ["BACKEND", "Address", "Backend", "Runs"]


class Runs(Protocol):
    """The part of ``infinity.runtime.Runtime`` that the interface calls."""

    async def create(self, *, model: str | None = None, title: str = "", id: str | None = None) -> str: ...

    async def send(
        self, thread: str, content: str | list[Block], *, key: str | None = None, user_id: str | None = None
    ) -> Accepted: ...

    async def control(
        self, thread: str, action: Action, argument: str | None = None, *, key: str | None = None
    ) -> Accepted: ...

    async def choose(
        self, thread: str, choice_id: str, selected: int | None, *, user_id: str | None = None
    ) -> Accepted: ...

    async def accept_callback(self, thread: str, call_id: str, body: bytes) -> Accepted: ...

    async def explain(self, thread: str) -> Any: ...

    async def reload_tools(self, thread: str) -> Any: ...

    @property
    def catalogs(self) -> Any: ...

    @property
    def settings(self) -> Settings: ...


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
    version: str = ""
    metrics: Metrics = field(default_factory=Metrics)
    moves: Moves | None = None
    """Conversations that leave and arrive; ``None`` for a host that moves none."""


BACKEND = web.AppKey("backend", Backend)
