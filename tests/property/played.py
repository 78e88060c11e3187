"""The world of the thread machine: a model that does anything, tools that the machine plays, a store that can be made to fail, and eyes on slices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from tests.slice.scenes import World

from infinity import Agent
from infinity._core import Delta, Message, Snapshot
from infinity.abc import Delivery, Store, Verdict
from infinity.errors import StoreError
from infinity.settings import Retries
from infinity.stores.sqlite.wakeup import Wakeup
from infinity.testing.replies import Json, Reply, call, texts
from infinity.testing.simulator import model as simulated
from infinity.testing.simulator.faults import FULL, UNREADABLE
from infinity.testing.simulator.witness import Witness
from infinity.tools.catalog import Definitions, ToolDefinition

TROUBLES = [name for name in simulated.TROUBLES if name != "it hangs"]
"""Here nobody waits for what hangs."""


class AnyModel(simulated.AnyModel):
    """What it is told first has it call both tools."""

    violations = ()
    """The world keeps them."""

    def _turn(self, body: Json) -> Reply:
        begins = "begin" in texts(body["messages"][-1]).splitlines()
        return call(("slow", {}), ("watch", {})) if begins else super()._turn(body)


class SlowTools:
    """Two tools whose server never calls back by itself."""

    async def definitions(self) -> Definitions:
        made = [
            ToolDefinition(
                name, "A tool.", {"type": "object"}, {}, None, "played", "http://127.0.0.1:1/invoke"
            )
            for name in ("slow", "watch")
        ]
        return Definitions(made, [])


class Taking:
    """``abc.Transport``: takes every invocation and remembers it. What leaves must be on record by then (I5)."""

    def __init__(self, world: PlayedWorld) -> None:
        self._world = world

    async def post(self, url: str, body: bytes, *, key: str) -> Delivery:
        sent = msgspec.json.decode(body)
        if "operation" in sent:
            if await self._world.store.find_call(sent["id"]) is None:
                self._world.violations.append(f"{sent['id']} left before it was on record (I5)")
            if (sent["group_id"], sent["id"]) not in self._world.calls:
                self._world.calls.append((sent["group_id"], sent["id"]))
        elif self._world.answers.setdefault(key, sent) != sent:
            self._world.violations.append(f"two answers to one question: {sent}, {self._world.answers[key]}")
        return Delivery(Verdict.DELIVERED)

    async def notify(self, base_urls: Any, path: str, body: bytes) -> Json:
        return {}

    async def close(self) -> None:
        return


class Unsteady:
    """The store, whose loads, commits and records of attempts fail as often as it is told to."""

    def __init__(self, store: Store, world: PlayedWorld) -> None:
        self._store = store
        self._world = world
        self.failures = 0
        self.full = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def load(
        self, thread: str, known_version: int = -1, message_ids: Sequence[str] = ()
    ) -> Snapshot | None:
        if self.failures:
            self.failures -= 1
            raise StoreError(UNREADABLE)
        return await self._store.load(thread, known_version, message_ids)

    async def record_attempt(self, *args: Any, **how: Any) -> int:
        self._write()
        return await self._store.record_attempt(*args, **how)

    async def begin(self, now: int) -> int:
        """After a crash the mark that the last process has left is taken away first."""
        if self._world.crashed:
            await self._store.begin(now)
        self._world.crashed = False
        return await self._store.begin(now)

    def _write(self) -> None:
        if self.full:
            self.full -= 1
            raise StoreError(FULL)

    async def commit(self, delta: Delta) -> list[Message]:
        self._write()
        if delta.thread in self._world.unlucky and delta.spent[0]:
            raise StoreError(FULL)
        self._world.submitted(delta)
        messages = await self._store.commit(delta)
        self._world.committed(delta)
        return messages


class PlayedWorld(World, Witness):
    """Tools are played, so nothing leaves the process."""

    def __init__(self, path: Path) -> None:
        World.__init__(self, path, Agent(retries=Retries(completion=2, slices=2)))
        Witness.__init__(self)
        self.answers: dict[str, Json] = {}
        """To questions, as they left, by key."""
        self.calls: list[tuple[str, str]] = []
        """Thread and id of every call that ever left."""
        self.crashed = False
        self.unlucky: set[str] = set()
        """Threads whose turns no disk ever takes."""
        self.unsteady: Unsteady

    async def crash(self) -> None:
        """As SIGKILL leaves it: no last words, and no mark of an end in order."""

        async def nothing() -> None:
            return

        self.runtime.slices.last_words = nothing  # type: ignore[method-assign]
        self.crashed = True
        await self.restart()

    async def _open_store(self, wakeup: Wakeup) -> Any:
        self.unsteady = Unsteady(await super()._open_store(wakeup), self)
        return self.unsteady

    def _made(self) -> None:
        self._assembly.undo.push_async_callback(self._stopped)
        self.unsteady._store.orphaned = self.mailbox.put  # type: ignore[attr-defined]
        self.runtime._transport._http = Taking(self)  # type: ignore[assignment]
        self.runtime.catalogs._sources = [SlowTools()]
        self.watch_slices()

    async def _stopped(self) -> None:
        # A commit that nobody waits for any more may still be written: behind this it is known whether it was.
        await self.unsteady._store.put_meta("ended", b"")
        await self.ended(self.unsteady._store, counted=self.crashed)
