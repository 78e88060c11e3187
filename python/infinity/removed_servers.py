"""Calls, questions and subscriptions of a tool server that is not configured any more end with words: nobody
would ever answer them.

Looked at only when a configured address is gone since the last time, and then only the threads that wait
or are stopped are read.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import msgspec

from infinity._core import Call, Message
from infinity.abc import Accepted, Catalog, Expect, Store, ThreadRow, pages
from infinity.engine import prompts
from infinity.message import Body, Event, Result, encode, text_blocks
from infinity.rap.address import same_origin
from infinity.rap.discovery import Toolsets

__all__ = ["RemovedServers"]

log = logging.getLogger("infinity.runtime")

META = "tool_servers_configured"
_WAITING = ("waiting", "stopped")
"""States in which a thread can have open calls or subscriptions."""


class Host(Protocol):
    """What the search needs of a runtime."""

    @property
    def store(self) -> Store: ...

    async def catalog_of(self, root: str) -> Catalog: ...

    async def accept(self, message: Message, expect: Expect, call_id: str) -> Accepted: ...


class RemovedServers:
    """One search for what belongs to servers that are gone.

    Args:
        host: The runtime.
        toolsets: What is configured now.
    """

    def __init__(self, host: Host, toolsets: Toolsets) -> None:
        self._host = host
        self._toolsets = toolsets
        self._names: frozenset[str] | None = None

    async def end(self, now: int) -> int:
        """End what is left of servers that are gone. What fails midway is done at the next start.

        Args:
            now: Milliseconds since the epoch.

        Returns:
            How many calls and subscriptions that were.

        Raises:
            StoreError: if the store cannot be read or written.
        """
        urls = sorted(server.base_url for server in self._toolsets.servers)
        record = msgspec.json.encode(urls)
        before = await self._host.store.meta(META)
        # Every start but those after a change of the configuration ends here, with one read.
        if before == record:
            return 0
        ended = 0
        if before is None or set(msgspec.json.decode(before, type=list[str])) - set(urls):
            async for row in self._waiting():
                for call, _ in await self._host.store.calls(row.id):
                    if call.toolset and await self._is_gone(row, call, urls):
                        await self._end(row, call, now)
                        ended += 1
        # Last: as long as this is not written, the next start searches again. Messages that were accepted
        # before count once (I3).
        await self._host.store.put_meta(META, record)
        if ended:
            log.warning(
                "%d calls and subscriptions of tool servers that are not configured any more were ended",
                ended,
            )
        return ended

    async def _waiting(self) -> AsyncIterator[ThreadRow]:
        for status in _WAITING:
            async for rows in pages(self._host.store, status=status):
                for row in rows:
                    yield row

    async def _is_gone(self, row: ThreadRow, call: Call, urls: Sequence[str]) -> bool:
        offer = (await self._host.catalog_of(row.root)).find(call.tool)
        if offer is not None and offer.toolset == call.toolset:
            if not offer.endpoint.startswith("http"):
                return False  # A function of this program: its call is its own delivery, and ends there.
            return not any(same_origin(offer.endpoint, url) for url in urls)
        # The tree's tools were fetched again since, so only the name of the toolset is left to go by.
        names = await self._known_names()
        return names is not None and call.toolset not in names

    async def _known_names(self) -> frozenset[str] | None:
        """Of all configured toolsets; ``None`` while one is not known."""
        if self._names is None:
            loaded = await self._toolsets.load()
            # A server that does not answer now may offer the toolset: nothing is concluded from silence (I8).
            if any(not problem.cached for problem in loaded.problems):
                return None
            self._names = frozenset(toolset.name for toolset in loaded.toolsets)
        return self._names

    async def _end(self, row: ThreadRow, call: Call, now: int) -> None:
        content = text_blocks(prompts.removed(call.tool, call.toolset, subscription=call.subscription))
        body: Body
        if call.subscription:
            message_id, expect = f"removed.{call.id}", Expect.EVENT
            body = Event(call_id=call.id, content=content, associative=True, final=True)
        else:
            message_id, expect = call.id, Expect.CALL
            body = Result(call_id=call.id, content=content, failed=True)
        await self._host.accept(
            Message(row.id, message_id, body.kind, encode(body), accepted_at=now), expect, call.id
        )
