"""Conversations that leave: stopped, handed over, and only then gone from here. Any failure before the last step puts them back (MIG-2)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec

from infinity.abc import INCOMPLETE, Clock, Verdict
from infinity.engine.missing import missing
from infinity.errors import BadRequest, MoveFailed, MoveUnconfirmed
from infinity.rap import wire
from infinity.runtime import Runtime

from ..toolsets import LocalTransport, ServerSet
from .destination import Destination
from .records import Departed, Roots, read_departed, write_departed

__all__ = ["Departures"]

logger = logging.getLogger("infinity.moving")

MIGRATE_SECONDS = 600.0
"""What a tool server may take to move the state of a session."""
FORWARD_SECONDS = 30.0
START_TRIES = 3


def _mark() -> bytes:
    """Of one departure: it tells a copy that has gone on from another one that has."""
    return secrets.token_bytes(8)


class Departures:
    """``gate``: passed at each step of a move."""

    def __init__(
        self, runtime: Runtime, servers: ServerSet, clock: Clock, home: Path, gate: Callable[[str], None]
    ) -> None:
        self._runtime = runtime
        self._store = runtime.store
        self._servers = servers
        self._transport = LocalTransport(servers, total=MIGRATE_SECONDS)
        self._clock = clock
        self._home = home
        self.gate = gate
        self._departing = Roots(runtime.store, "departing")
        self._departed = Roots(runtime.store, "departed")
        self._moving: set[str] = set()
        self._records: dict[str, Departed] = {}
        self._threads: dict[str, str] = {}
        """Root by thread, of what has left."""
        self._session: aiohttp.ClientSession | None = None

    async def recover(self) -> None:
        """Before anything runs: a move that was not decided when the last process ended has failed, and its conversation goes on here."""
        for root in await self._departed.load():
            self._know(await read_departed(self._store, root))
        for root in await self._departing.load():
            left = self._records.get(root)
            if left is None:
                await self._store.unretire_tree(root, _mark())
            elif left.confirmed:
                await self._store.delete_tree(root)
            else:
                logger.warning(
                    "%s was handed over to %s; migrate it again, to make sure that it runs there",
                    root,
                    left.to,
                )
                continue
            await self._departing.discard(root)

    async def close(self) -> None:
        await self._transport.close()
        if self._session is not None:
            await self._session.close()

    # leaving

    async def migrate(self, root: str, destination: str, token: str) -> Departed:
        """Move a conversation to another daemon, in the order of MIG-2. ``MoveFailed``: it is still here and goes on here."""
        if root in self._moving:
            raise BadRequest(f"{root} is being moved already")
        self._moving.add(root)
        try:
            return await self._migrate(root, destination, token)
        finally:
            self._moving.discard(root)

    async def _migrate(self, root: str, destination: str, token: str) -> Departed:
        if (left := self._records.get(root)) is not None:
            if left.confirmed or left.to != destination.rstrip("/"):
                raise BadRequest(left.text)
            async with Destination(destination, token) as other:
                return await self._confirm(other, left)
        await self._check(root)
        async with Destination(destination, token) as other:
            await self._departing.add(root)
            try:
                left = await self._hand_over(root, other)
            except BaseException as error:
                await self._put_back(root, other)
                if isinstance(error, MoveFailed):
                    raise MoveFailed(f"{error}. Nothing has moved: {root} goes on here") from error
                raise
            return await self._confirm(other, left)

    async def _check(self, root: str) -> None:
        row = await self._store.thread(root)
        if row is None:
            raise await missing(self._store, root)
        if row.parent is not None:
            raise BadRequest(f"{root} is a child thread; a conversation moves as a whole: {row.root}")
        if (note := await self._store.retired(root)) is not None:
            raise BadRequest(f"{root} is out of service here: {note}")

    async def _hand_over(self, root: str, other: Destination) -> Departed:
        threads = await self._runtime.retire(root, f"it is being moved to {other.url}", _mark())
        self.gate("retired")
        await self._migrate_servers(root, other)
        self.gate("servers")
        async with self._file(root) as file:
            self.gate("exported")
            calls = await other.put(root, file)
        self.gate("handed over")
        left = Departed(root=root, to=other.url, at=self._clock.now(), threads=threads, calls=calls)
        # The decision: from here on the tree belongs to the destination, no matter which side crashes.
        await write_departed(self._store, left)
        await self._departed.add(root)
        self._know(left)
        return left

    async def _migrate_servers(self, root: str, other: Destination) -> None:
        """Each server that keeps state for its sessions moves it to its namesake there, completely, or the move fails (MIG-1).

        One that refuses, or is not there at the destination, has nothing to move if no thread of the conversation has ever called a tool of it.
        """
        there = await other.toolsets()
        loaded = await self._runtime.servers.toolsets.load()
        names = {server.base_url: name for name, server in self._servers.addresses.items()}
        for toolset in loaded.toolsets:
            if not toolset.needs_migration:
                continue
            name = names[toolset.base_url]
            if name not in there or there[name]["problem"]:
                if not await self._has_called(root, toolset.name):
                    continue
                why = there[name]["problem"] if name in there else f"{other.url} has no [toolsets.{name}]"
                raise MoveFailed(
                    f"tool server {name} keeps state and cannot be used at the destination: {why}"
                )
            body = wire.encode(wire.Migrate(root, str(there[name]["url"])))
            url, key = toolset.base_url + "/migrate", f"migrate.{root}"
            delivery = await self._transport.post(url, body, key=key, reason=True)
            nothing = delivery.verdict is Verdict.REFUSED and not await self._has_called(root, toolset.name)
            if delivery.verdict is not Verdict.DELIVERED and not nothing:
                raise MoveFailed(f"tool server {name} did not move its state: {delivery.detail}")

    async def _has_called(self, root: str, toolset: str) -> bool:
        for thread in await self._runtime.tree(root):
            if any(call.toolset == toolset for call, _ in await self._store.calls(thread, open_only=False)):
                return True
        return False

    async def _put_back(self, root: str, other: Destination) -> None:
        """The copy over there rests until it is told to start, so that nothing depends on whether it hears of this."""
        self._forget(root)
        await self._departed.discard(root)
        await self._runtime.unretire(root, _mark())
        await self._departing.discard(root)
        with contextlib.suppress(MoveFailed):
            await other.forget(root)

    async def _confirm(self, other: Destination, left: Departed) -> Departed:
        """Start it there, then clean up here. A refusal puts it back; silence leaves it to another try: it may run there already."""
        for attempt in range(1, START_TRIES + 1):
            try:
                self.gate("starting")
                await other.start(left.root)
                break
            except MoveUnconfirmed as error:
                if attempt == START_TRIES:
                    raise MoveUnconfirmed(
                        f"{error}. {left.root} was handed over and may run at {left.to} already; "
                        "run the same command again to make sure, nothing is lost meanwhile"
                    ) from error
                await asyncio.sleep(attempt)
            except MoveFailed as error:
                await self._put_back(left.root, other)
                raise MoveFailed(f"{error}. Nothing has moved: {left.root} goes on here") from error
        left = msgspec.structs.replace(left, confirmed=True)
        await write_departed(self._store, left)
        self._know(left)
        await self._store.delete_tree(left.root)
        await self._departing.discard(left.root)
        return left

    # files

    @asynccontextmanager
    async def export(self, root: str, *, keep: bool) -> AsyncIterator[Path]:
        """The tree as a file, for the time of the block. Unless ``keep``, it is out of service here from then on, until ``unretire``."""
        await self._check(root)
        if not keep:
            await self._runtime.retire(
                root,
                f"it was exported to a file, to be imported elsewhere; to take it back: infinity export {root} --undo",
                _mark(),
            )
        try:
            async with self._file(root) as file:
                yield file
        except BaseException:
            if not keep:
                # As much of the file as came there is older from now on than what is here.
                await self._runtime.unretire(root, _mark())
            raise

    async def undo_export(self, root: str) -> None:
        """Back into service here: only while it runs nowhere else. Its generation is raised, so that the file is older from now on."""
        if root in self._departing or root in self._departed:
            raise BadRequest(f"{root} is being moved, or has moved; it cannot be taken back here")
        if (note := await self._store.retired(root)) is None:
            raise BadRequest(f"{root} is in service already")
        if note == INCOMPLETE or not (await self._store.generation(root)).departed:
            raise BadRequest(f"{root} was not exported, and cannot be taken back: {note}")
        await self._runtime.unretire(root, _mark())

    @asynccontextmanager
    async def _file(self, root: str) -> AsyncIterator[Path]:
        with tempfile.TemporaryDirectory(prefix=".moving.", dir=self._home) as directory:
            file = Path(directory) / "tree.db"
            await self._store.export_tree(root, str(file))
            yield file

    # what still comes here

    def left(self, thread: str) -> Departed | None:
        """Where this thread went, if its tree has left."""
        root = self._threads.get(thread)
        return self._records[root] if root is not None else None

    def leaving(self, root: str) -> bool:
        """Whether a move of it is under way."""
        return root in self._departing

    async def forward(self, thread: str, call_id: str, body: bytes) -> tuple[int, bytes] | None:
        """Pass a callback on to where its call lives now; status and answer from there. ``None`` if it is not ours to pass on.

        A tool server was given an address of this host, and stops for good at a 4xx: its result would be lost.
        """
        left = self.left(thread)
        url = left.calls.get(call_id) if left is not None else None
        if left is None or url is None:
            return None
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        try:
            async with self._session.post(
                url,
                data=body,
                headers={"Content-Type": "application/json"},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=FORWARD_SECONDS),
            ) as response:
                return response.status, await response.content.read(1 << 16)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise MoveUnconfirmed(
                f"the new home of {left.root} cannot be reached ({error}); send it again later"
            ) from None

    async def welcome_back(self, root: str) -> None:
        """It has come here again: what was known of its leaving is void."""
        self._forget(root)
        await self._departed.discard(root)

    def _know(self, left: Departed) -> None:
        self._records[left.root] = left
        self._threads.update(dict.fromkeys(left.threads, left.root))

    def _forget(self, root: str) -> None:
        left = self._records.pop(root, None)
        for thread in left.threads if left is not None else ():
            self._threads.pop(thread, None)
