"""An examination: everything in the store that somebody may have to do something about, and what was looked at to say so (I14).

Asked for by ``infinity doctor``. Threads that rest with a problem, wait or are stopped are read, by their indices and a page at a time, and the event loop
goes on in between; idle ones without a problem are counted, however many there are. What is damaged, the store finds itself.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any

from infinity._core import Call, CoreError, Thread
from infinity.abc import Header, Store, ThreadRow, pages, queued, read_header
from infinity.errors import DamagedStore, InfinityError, NewerStore, from_core
from infinity.explanation import call_began
from infinity.models import planning
from infinity.models.lessons import META, told
from infinity.models.registry import Models
from infinity.stores.sqlite.store import JournalStore

from .backend import Backend, Runs
from .requests import Request
from .responses import Examination, Finding, ModelState, Needed, OpenCall, Response, respond

__all__ = ["examine", "get_examination", "get_models"]

PAGE = 500
"""Threads that are read at once."""
OLDEST = 20
"""Waiting calls that are named."""
NEEDED = 1000
"""Threads that need a person and are named, one for each reason."""
AT_ONCE = 50
"""Look-ups that run at the same time."""
_OWN = "python"
_DAMAGED = re.compile(r"(?:entries: .*\bof )?thread ([^\s:]+)")
"""A finding of the journal that names the thread whose history is damaged."""


class _Examination:
    def __init__(self, runtime: Runs, store: Store, toolsets: Collection[str] | None) -> None:
        self._runtime = runtime
        self._store = store
        self._toolsets = toolsets
        self.problems: list[Finding] = []
        self.calls: list[OpenCall] = []
        self._damaged_headers = set[str]()
        self.looked: dict[str, int] = {"threads": 0, "calls": 0, "prompts": 0, "queued": 0}

    async def threads(self) -> None:
        async for rows in self._pages(troubled=True):
            for row in rows:
                self._problem(row)
        for thread, why in sorted(self._runtime.all_failing().items()):
            self._found(thread, "failing", f"its last slice failed and is tried again: {why}")
        for status in ("waiting", "stopped"):
            async for rows in self._pages(status=status):
                readable = [row for row in rows if self._header(row) is not None]
                for start in range(0, len(readable), AT_ONCE):
                    await asyncio.gather(*map(self._open_calls, readable[start : start + AT_ONCE]))
        self.looked["threads"] = (await self._store.counts())["threads"]

    async def _pages(self, **which: Any) -> AsyncIterator[list[ThreadRow]]:
        async for rows in pages(self._store, limit=PAGE, **which):
            yield rows
            await asyncio.sleep(0)

    def _header(self, row: ThreadRow) -> Header | None:
        try:
            return read_header(row)
        except (DamagedStore, NewerStore) as error:
            if row.id not in self._damaged_headers:
                self._damaged_headers.add(row.id)
                self._found(row.id, "damaged", f"its record cannot be read: {error}")
            return None

    def _problem(self, row: ThreadRow) -> None:
        header = self._header(row)
        if header is not None and header.problem and row.status != "closed":
            self._found(row.id, "problem", header.problem)

    async def _open_calls(self, row: ThreadRow) -> None:
        try:
            for call, state in await self._store.calls(row.id):
                if call.toolset and call.toolset != _OWN:
                    self.looked["calls"] += 1
                    await self._call(call, state)
        except (DamagedStore, NewerStore) as error:
            self._found(row.id, "damaged", f"its open calls cannot be read: {error}")

    async def _call(self, call: Call, state: str) -> None:
        what = "subscription" if call.subscription else "call"
        if self._toolsets is not None and call.toolset not in self._toolsets:
            self._found(
                call.thread,
                "toolset",
                f"the {what} {call.id} of {call.tool} belongs to the toolset {call.toolset}, whose tool server is not configured; "
                "configure it again, or end it",
            )
        if not call.subscription:
            since = await call_began(self._store, call)
            self.calls.append(OpenCall(call.thread, call.id, call.tool, state, since))
            self.calls.sort(key=lambda each: each.since or 0)
            del self.calls[OLDEST:]

    async def queued(self) -> None:
        """Threads with queued messages, and failed attempts on record: a slice of theirs fails, in this process or in one before."""
        threads = set[str]()
        async for messages in queued(self._store):
            self.looked["queued"] += len(messages)
            threads.update(message.thread for message in messages)
        named = {found.thread for found in self.problems}
        for thread in sorted(threads - named):
            try:
                snapshot = await self._store.load(thread)
                attempts = Thread.load(snapshot).attempts if snapshot is not None else 0
            except (CoreError, InfinityError) as error:
                self._damaged(thread, "it cannot be loaded", error)
                continue
            if attempts:
                text = f"{attempts} attempts have failed since its last turn, and messages are queued"
                self._found(thread, "failing", text)

    async def deletions(self) -> None:
        """Conversations that are deleted, of which something could not be removed."""
        for root in await self._store.deletions():
            if (why := self._runtime.removing(root)) is not None:
                text = f"it is deleted, but not everything of it could be removed yet: {why}. It will be retried automatically"
                self._found(root, "deletion", text)

    async def prompts(self) -> None:
        self.looked["prompts"] = len(await self._store.prompts())

    def _damaged(self, thread: str, what: str, error: CoreError | InfinityError) -> None:
        """A store that cannot be read just now is not damaged: that ends the examination."""
        found = from_core(error) if isinstance(error, CoreError) else error
        if not isinstance(found, (DamagedStore, NewerStore)):
            raise found
        self._found(thread, "damaged", f"{what}: {found}")

    def _found(self, thread: str, kind: str, text: str) -> None:
        self.problems.append(Finding(thread, kind, text))


async def examine(
    runtime: Runs,
    store: Store,
    toolsets: Sequence[str | None],
    start: Sequence[str],
    kept: Sequence[str] | None = None,
    *,
    repaired: dict[str, Any] | None = None,
) -> Examination:
    """``toolsets``: of every configured server; ``start``: what the plan of the start has found; ``kept`` and ``repaired``: what the store has found in itself, and its last repair."""
    # A server that has never been reached may be the one that a call belongs to.
    names = None if None in toolsets else {name for name in toolsets if name is not None}
    examination = _Examination(runtime, store, names)
    await examination.threads()
    await examination.queued()
    await examination.prompts()
    await examination.deletions()
    return Examination(
        problems=examination.problems,
        attention=[Needed(*row) for row in await store.attention(limit=NEEDED)],
        store=list(kept or ()),
        store_read=kept is not None,
        repaired=repaired,
        start=list(start),
        calls=examination.calls,
        looked_at={**examination.looked, "tool_servers": len(toolsets)},
        learned=told(await store.meta(META)),
    )


async def get_examination(backend: Backend, _: Request) -> Response:
    runtime, store = backend.runtime, backend.store
    models = runtime.models
    found = planning.examine(models, runtime.settings, named=True) if isinstance(models, Models) else []
    kept, repaired = await store.examine() if isinstance(store, JournalStore) else (None, None)
    for problem in kept or ():
        if (named := _DAMAGED.match(problem)) is not None:
            runtime.damage.setdefault(named[1], problem)
    toolsets = [server.toolset for server in await backend.toolsets()]
    return respond(await examine(runtime, store, toolsets, found, kept, repaired=repaired))


async def get_models(backend: Backend, _: Request) -> Response:
    models, settings = backend.runtime.models, backend.runtime.settings
    if not isinstance(models, Models):
        return respond(ModelState(None, [], None, {}))
    problems = planning.examine(models, settings, named=False)
    return respond(
        ModelState(settings.default_model or models.default, problems, models.notice, models.keys())
    )
