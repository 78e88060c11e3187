"""What the API works with in a function: ``infinity.api.backend.Backend`` over the process's host.

``function_url`` makes one for each request of the receiver and of the API. It answers from the store and
the hints, and leaves work to the agent function: it runs no slice, sets no timer, and never waits for
another function.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from infinity._core import __version__
from infinity.abc import Store, ThreadRow
from infinity.api.backend import Part, Runs
from infinity.api.responses import Deleted, ToolServer
from infinity.api.threads import absent
from infinity.api.toolsets import described
from infinity.callback_keys import kept_keys
from infinity.errors import BadRequest
from infinity.explanation import Explanation, Here, explain
from infinity.rap.capability import MAX_TOKEN, Capabilities

from .environment import read_config

if TYPE_CHECKING:
    from .host import Host

__all__ = ["PAGE_BYTES", "FunctionBackend"]

PAGE_BYTES = 4 << 20
"""Bytes after which a page of a listing ends early: Lambda gives back at most 6 MB, and base64 makes them a
third longer."""
_TOKEN = re.compile(rf"(?=.{{1,{MAX_TOKEN}}}$)v1\.[0-9a-f]{{8}}\.[\w-]+\.[\w-]{{43}}", re.ASCII)
"""What one of ours looks like: for nothing else is the database asked."""


class FunctionBackend:
    """The backend of one request.

    Args:
        host: The process's host, which outlives the request.
        part: The function that the request came to; it decides which routes exist.
    """

    def __init__(self, host: Host, part: Part) -> None:
        self.host = host
        self.part = part
        self.version = __version__
        self.page_bytes: int | None = PAGE_BYTES

    @property
    def runtime(self) -> Runs:
        return self.host.runtime

    @property
    def store(self) -> Store:
        return self.host.store

    async def check(self) -> None:
        """Ask the store one cheap question.

        Raises:
            StoreError: if the store cannot be reached.
        """
        await self.store.next_timer()

    async def explain(self, thread: str) -> Explanation:
        """Whether a slice runs, only its own function knows; why the last one failed is on record."""
        return await explain(self.store, thread, Here(failing=await self.host.hints.failing(thread)))

    async def failing_from_the_start(self, thread: str) -> str | None:
        """Why the first slice of a thread fails, of which nothing is in the database yet.

        Args:
            thread: An id that the database does not know.

        Returns:
            ``None`` if nothing is on record.
        """
        return await self.host.hints.failing(thread)

    async def out_of_service(self, row: ThreadRow) -> str | None:
        """Why a conversation rests here, if it was exported; ``None`` if it is in service."""
        return absent(row.root, await self.store.retired(row.root))

    async def delete(self, root: str) -> tuple[Deleted, bool]:
        """Mark the tree as deleted; the agent function then removes what is left of it.

        Returns:
            The deletion and its time, and ``False``: it is never over when this returns.

        Raises:
            UnknownThread: if there is no such thread.
            ThreadDeleted: if its deletion is over already.
            BadRequest: if the thread is not a root; the text names its root.
            AwsError: if the erasure could not be sent; the sweep sends it again, because the tree is
                marked.
        """
        now = self.host.now()
        await self.host.store.mark_deleted(root, now)
        stone = await self.host.store.tombstone(root)
        await self.host.send_erasure(root)
        return Deleted(root, stone.at if stone is not None else now), False

    async def toolsets(self) -> list[ToolServer]:
        servers = self.host.runtime.servers.toolsets
        loaded = await servers.load()
        # A server that an `infinity.Agent` names has no name in the configuration.
        configured = read_config(self.host.environment).toolsets
        names = {
            config.url.rstrip("/"): name for name, config in configured.items() if config.url is not None
        }
        offered = {toolset.base_url: toolset for toolset in loaded.toolsets}
        problems = {problem.base_url: problem for problem in loaded.problems}
        return [
            described(
                names.get(url) or urlsplit(url).netloc.rpartition("@")[2],
                url,
                offered.get(url),
                problems.get(url),
            )
            for url in (server.base_url for server in servers.servers)
        ]

    async def open_callback(self, token: str) -> tuple[str, str]:
        """Open the token of a callback URL (CB-5).

        A process that lives for hours may meet a token of a key that was made since. So it reads the keys
        again before it refuses one, and keeps the newer keys if they open it.

        Returns:
            Thread id and call id.

        Raises:
            BadRequest: if no key opens the token.
        """
        runtime = self.host.runtime
        try:
            return runtime.capabilities.open(token)
        except BadRequest:
            # Everybody may call the receiver. Only what looks like a token of ours may cost a question to the
            # database (S1, G6).
            if not _TOKEN.fullmatch(token):
                raise
        newer = Capabilities(await kept_keys(self.host.store), self.host.resources.public_url or None)
        opened = newer.open(token)
        runtime.capabilities = newer
        return opened

    async def pass_on(self, thread: str, call_id: str, body: bytes) -> None:
        """No conversation leaves this host."""

    def count_callback(self, outcome: str) -> None:
        """The platform counts requests."""
