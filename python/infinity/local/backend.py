"""What the daemon's API works with: ``infinity.api.backend.Backend`` over a local runtime."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from infinity.abc import Store, ThreadRow
from infinity.all_events import AllEvents
from infinity.api.backend import Part, Runs
from infinity.api.errors import refusal
from infinity.api.responses import Deleted, Response, ToolServer
from infinity.errors import StoreError
from infinity.explanation import Explanation
from infinity.feed import Feed
from infinity.rap.capability import Capabilities

from .addresses import Address
from .console.access import ConsoleAccess
from .metrics import Metrics
from .moving.moves import Moves

__all__ = ["BACKEND", "Address", "DaemonBackend"]

MARK = "health"
"""The row that a check writes; others may write it at the same time."""


async def _no_servers() -> list[ToolServer]:
    return []


@dataclass(slots=True)
class DaemonBackend:
    """One daemon's parts, or those of a runtime inside another program. ``token``: its API's; ``servers``: the state of every configured tool server."""

    runtime: Runs
    store: Store
    feed: Feed
    capabilities: Capabilities
    token: str
    address: Address
    home: Path
    servers: Callable[[], Awaitable[list[ToolServer]]] = _no_servers
    part: Part = Part.DAEMON
    version: str = ""
    metrics: Metrics = field(default_factory=Metrics)
    moves: Moves | None = None
    """Conversations that leave and arrive; ``None`` for a host that moves none."""
    console: ConsoleAccess | None = None
    """``None`` where it is not served."""
    page_bytes: int | None = None
    all_events: AllEvents | None = None
    """``None`` for a host that serves no stream of them."""

    def watching(self) -> int:
        """Event streams that are open."""
        return self.feed.watching() + (self.all_events.watching() if self.all_events is not None else 0)

    async def check(self) -> None:
        """The store takes a row and gives it back."""
        await self.store.put_meta(MARK, str(time.time_ns()).encode())
        if await self.store.meta(MARK) is None:
            raise StoreError("a row that was written is not there; run 'infinity doctor'")

    async def explain(self, thread: str) -> Explanation:
        return await self.runtime.explain(thread)

    async def failing_from_the_start(self, _: str) -> None:
        """A thread is in the store before its first slice runs."""

    async def out_of_service(self, row: ThreadRow) -> str | None:
        absent = await self.moves.absent(row.id) if self.moves is not None else None
        return absent.text if absent is not None else None

    async def delete(self, root: str) -> tuple[Deleted, bool]:
        stone = await self.runtime.delete(root)
        return Deleted(stone.id, stone.at), True

    async def toolsets(self) -> list[ToolServer]:
        return await self.servers()

    async def open_callback(self, token: str) -> tuple[str, str]:
        return self.capabilities.open(token)

    async def pass_on(self, thread: str, call_id: str, body: bytes) -> Response | None:
        """The response of its new home, 410 where that takes nothing more, 503 while it moves."""
        if self.moves is None or (absent := await self.moves.absent(thread)) is None:
            return None
        if (
            absent.for_good
            and (forwarded := await self.moves.departures.forward(thread, call_id, body)) is not None
        ):
            return Response(*forwarded)
        return self.moved(absent.text, for_good=absent.for_good)

    def moved(self, text: str, *, for_good: bool) -> Response:
        return refusal(410, "moved", text) if for_good else refusal(503, "moving", text)

    def count_callback(self, outcome: str) -> None:
        self.metrics.callback(outcome)


BACKEND = web.AppKey("backend", DaemonBackend)
