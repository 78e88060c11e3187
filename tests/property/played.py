"""The world of the thread machine: a model that does anything, tools that the machine plays, a store that can be made to fail, and eyes on slices."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from tests.slice.world import Replies, Reply, World, call, say, texts

from infinity._core import Delta, Message, Snapshot
from infinity.abc import Delivery, Store, Turn, Usage, Verdict
from infinity.errors import ModelUnavailable, Overloaded, StoreError
from infinity.tools.catalog import Definitions, ToolDefinition

Json = dict[str, Any]

UNREADABLE = "the disk cannot be read"


class AnyModel(Replies):
    """Does anything a model may do, as the seed has it."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = random.Random(seed)

    def _reply(self, body: Json) -> Reply:
        last = texts(body["messages"][-1])
        if "Summarise the conversation" in last:
            return self._random.choice([say("a summary"), say("a summary"), Turn([])])
        names = [tool["name"] for tool in body["tools"]]
        choice = self._random.random()
        if choice < 0.45:
            return say(f"reply {len(self.requests)}")
        if choice < 0.75:
            wanted = self._random.choices(
                ("slow", "slow", "watch", "nothing_like_it"), k=self._random.randint(1, 3)
            )
            return call(*((name, {}) for name in wanted), text=self._random.choice(("", "calling")))
        if choice < 0.80:
            return call(
                ("spawn_thread", {"instructions": "do a part"}), *[("slow", {})] * self._random.randint(0, 1)
            )
        if choice < 0.84:
            return call(("report_to_parent", {"report": "a report"}))
        if choice < 0.87:
            return call(("sleep", {"seconds": self._random.choice((0, 60))}))
        if choice < 0.90:
            return call(("sleep_until_event_or_input", {}))
        if choice < 0.92 and "thread_ancestors" not in names:
            return (
                call(("close_thread", {})) if "child thread" in str(body["messages"]) else say("not closing")
            )
        if choice < 0.95:
            return Turn([])
        return self._random.choice(
            [Overloaded("busy"), ModelUnavailable("gone"), Turn([], usage=Usage(10, 0))]
        )


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
        return Delivery(Verdict.DELIVERED)

    async def notify(self, base_urls: Any, path: str, body: bytes) -> Json:
        return {}

    async def close(self) -> None:
        return


class Unsteady:
    """The store, whose loads fail as often as it is told to."""

    def __init__(self, store: Store, world: PlayedWorld) -> None:
        self._store = store
        self._world = world
        self.failures = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def load(
        self, thread: str, known_version: int = -1, message_ids: Sequence[str] = ()
    ) -> Snapshot | None:
        if self.failures:
            self.failures -= 1
            raise StoreError(UNREADABLE)
        return await self._store.load(thread, known_version, message_ids)

    async def commit(self, delta: Delta) -> list[Message]:
        """Keeps account of early events, of which only their own commits tell (SUB-9)."""
        kept = self._world.kept
        kept.update({(delta.thread, message.id): about for about, message in delta.kept})
        messages = await self._store.commit(delta)
        gone = {*delta.released, *delta.dropped}
        left = [key for key, about in kept.items() if key[0] == delta.thread and about in delta.ended]
        if forgotten := [key for key in left if kept[key] not in gone]:
            self._world.violations.append(f"their call has ended, and they wait: {forgotten} (I13)")
        for key in [key for key, about in kept.items() if key[0] == delta.thread and about in gone]:
            del kept[key]
        return messages


class PlayedWorld(World):
    """Tools are played, so nothing leaves the process. ``violations``: what was seen to break an invariant while it happened."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.calls: list[tuple[str, str]] = []
        """Thread and id of every call that ever left."""
        self.violations: list[str] = []
        self.kept: dict[tuple[str, str], str] = {}
        """Calls of the early events that are kept, by thread and id."""
        self.unsteady: Unsteady

    async def _open_store(self) -> Any:
        self.unsteady = Unsteady(await super()._open_store(), self)
        return self.unsteady

    async def _open(self) -> None:
        await super()._open()
        self.runtime._transport._http = Taking(self)  # type: ignore[assignment]
        self.runtime.catalogs._sources = [SlowTools()]
        self._watch_slices()

    def _watch_slices(self) -> None:
        """One at a time for each thread, each with what arrived next (I1)."""
        loop, active, last = self.runtime.loop, Counter[str](), Counter[str]()
        genuine = loop.run_slice

        async def watched(thread: str, batch: Sequence[Message]) -> None:
            if active[thread]:
                self.violations.append(f"two slices of {thread} at once (I1)")
            numbers = [message.seq for message in batch]
            if numbers != sorted(numbers):
                self.violations.append(f"{thread} got its messages out of order: {numbers} (I1)")
            active[thread] += 1
            try:
                await genuine(thread, batch)
            finally:
                active[thread] -= 1
            last[thread] = max([last[thread], *numbers])

        loop.run_slice = watched  # type: ignore[method-assign]
