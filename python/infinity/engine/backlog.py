"""What was in the outbox before this process: read in portions, so that a million rows are not a million tasks (I15)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from urllib.parse import urlsplit

from infinity.abc import OutboxRow
from infinity.supervision import tend

MOST = 512
"""Rows for one server that are under way at once."""


class Backlog:
    """``read`` gives rows behind a key, in order of their keys; ``add`` sets one on its way; ``threads``: only those of these, if given.

    Counted per server, because one that does not answer must not keep what is meant for others (B1).
    """

    def __init__(
        self,
        page: Callable[[str], Awaitable[list[OutboxRow]]],
        add: Callable[[OutboxRow], None],
        threads: Collection[str] | None,
    ) -> None:
        self._page = page
        self._add = add
        self._threads = threads
        self._servers: dict[str, str] = {}
        """By key: the server of each row that this has set on its way."""
        self._under_way: Counter[str] = Counter()
        self._behind: dict[str, str] | None = None
        """By server: the key behind which its rows were not read, because enough were under way. ``None``: nothing was read yet."""
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def read(self) -> bool:
        """Set on their way what there is room for; whether that was all."""
        open_ = (
            None if self._behind is None else {s: key for s, key in self._behind.items() if self._has_room(s)}
        )
        after = "" if open_ is None else min(open_.values(), default="")
        full: dict[str, str] = {}
        while open_ is None or open_.keys() - full.keys():
            rows = await self._page(after)
            if not rows:
                break
            for row in rows:
                server = _server(row.target)
                if self._wanted(row, server, open_, full) and not self._take(row, server):
                    full[server] = after
                after = row.key
        self._behind = {
            **{s: key for s, key in (self._behind or {}).items() if open_ is not None and s not in open_},
            **full,
        }
        return not self._behind

    def gone(self, key: str) -> None:
        """A row has left, or was taken back."""
        server = self._servers.pop(key, None)
        if server is not None:
            self._under_way[server] -= 1
            if self._behind and server in self._behind and self._has_room(server):
                self._room.set()

    def go_on(self, done: Callable[[Backlog], None]) -> None:
        """Read the rest in the background, as there is room; then call ``done``."""

        async def rest() -> None:
            while True:
                self._room.clear()
                if not any(map(self._has_room, self._behind or ())):
                    await self._room.wait()
                if await self.read():
                    return done(self)

        self._task = tend(rest, "infinity-backlog")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _wanted(
        self, row: OutboxRow, server: str, open_: dict[str, str] | None, full: dict[str, str]
    ) -> bool:
        if server in full or (self._threads is not None and row.thread not in self._threads):
            return False
        return open_ is None or (server in open_ and row.key > open_[server])

    def _take(self, row: OutboxRow, server: str) -> bool:
        """False if enough are under way to its server."""
        if self._under_way[server] >= MOST:
            return False
        if row.key not in self._servers:
            self._servers[row.key] = server
            self._under_way[server] += 1
            self._add(row)
        return True

    def _has_room(self, server: str) -> bool:
        # A quarter at a time: each look reads a page at least.
        return self._under_way[server] <= MOST * 3 // 4


def _server(target: str) -> str:
    try:
        return urlsplit(target).netloc or target
    except ValueError:
        return target
