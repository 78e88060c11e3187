"""The catalog: everything one thread tree is offered, merged from built-ins, tool servers and functions of
this process.

Made once per root thread and kept under the tree's name, so that all its threads and slices send the same
bytes (DISC-5, G4).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from infinity.abc import Offer, Store
from infinity.backoff import Backoff
from infinity.errors import DamagedStore, StoreError, ToolsetError
from infinity.supervision import spawn
from infinity.tools.builtins import BUILTINS
from infinity.tools.rendering import Names, render
from infinity.tools.schema import ArgumentSchema

RESERVED = "receive_event__injected"
_UNFIT = re.compile(r"[^a-zA-Z0-9_-]")
LONGEST_NAME = 128
KEPT_TREES = 4_096
KEPT_CATALOGS = 64
MOST_TRIES = 40
"""So often a server that was not ready is asked again: with ``BACKOFF`` for about a quarter of an hour."""
BACKOFF = Backoff(first=0.5, longest=30.0)

log = logging.getLogger("infinity.tools")

T = TypeVar("T")


class ToolDefinition(NamedTuple):
    """One tool of a source, valid in itself."""

    name: str
    description: str
    input_schema: dict[str, Any]
    annotations: dict[str, Any]
    display_script: str | None
    toolset: str
    endpoint: str


class Definitions(NamedTuple):
    """``missing``: how many servers were not ready yet; their tools are still to come."""

    tools: list[ToolDefinition]
    problems: list[str]
    missing: int = 0


class Source(Protocol):
    """Where definitions come from: tool servers (``infinity.rap``), functions of this process."""

    async def definitions(self) -> Definitions:
        """Fresh ones. What cannot be had is a problem in the list, never an exception (DISC-3, DISC-6)."""
        ...


class TreeCatalog:
    """``abc.Catalog`` over a list of definitions. Names that clash are not offered, neither of them (DISC-4).

    Args:
        definitions: As the sources gave them. ``problems`` begins with theirs, and gets what is left out
            here.
    """

    def __init__(self, definitions: Definitions) -> None:
        self.problems: list[str] = list(definitions.problems)
        self.definitions = definitions
        self._offers: dict[str, Offer] = {}
        tools: list[dict[str, Any]] = []
        for tool in BUILTINS:
            self._offers[tool.name] = Offer(
                tool.name, tool.name, builtin=tool, checker=ArgumentSchema(tool.schema)
            )
            tools.append({"name": tool.name, "description": tool.description, "input_schema": tool.schema})
        for definition, name in self._unclashed(definitions.tools):
            made = self._made(definition, name)
            if made is not None:
                self._offers[name], tool_for_model = made
                tools.append(tool_for_model)
        # Encoded once: every slice of the tree sends the same bytes, which the provider's prompt cache is
        # found by (G4).
        self._tools = msgspec.json.encode(tools)

    @property
    def tools(self) -> bytes:
        return self._tools

    def find(self, name: str) -> Offer | None:
        return self._offers.get(name)

    def names(self) -> list[str]:
        return list(self._offers)

    def _made(self, definition: ToolDefinition, name: str) -> tuple[Offer, dict[str, Any]] | None:
        """The tool as it is called and as the model is told of it. One that cannot be offered is left out,
        with a problem on record (B13).
        """
        try:
            rendered = render(definition.input_schema)
            offer = _offer(name, definition, rendered.names)
            tool = {"name": name, "description": definition.description, "input_schema": rendered.schema}
            msgspec.json.encode(tool)
        except (KeyboardInterrupt, SystemExit, asyncio.CancelledError):
            raise
        # The validator is native code, and its panics are no ``Exception``. One bad schema must not take
        # every tool away.
        except BaseException as error:  # noqa: BLE001  panics of the validator are no Exception
            why = str(error) if isinstance(error, ToolsetError) else type(error).__name__
            self.problems.append(f"{definition.toolset}: tool {definition.name!r} is not offered: {why}")
            return None
        return offer, tool

    def _unclashed(self, tools: Iterable[ToolDefinition]) -> list[tuple[ToolDefinition, str]]:
        named = [(tool, fit(tool.name)) for tool in tools]
        counts = Counter(name for _, name in named)
        taken = {tool.name for tool in BUILTINS} | {RESERVED}
        kept = []
        for tool, name in named:
            if name in taken:
                self.problems.append(
                    f"{tool.toolset}: tool {tool.name!r} has the name of a built-in and is not offered (DISC-4)"
                )
            elif counts[name] > 1:
                owners = ", ".join(sorted({other.toolset for other, also in named if also == name}))
                self.problems.append(
                    f"{tool.toolset}: tool {tool.name!r} is defined more than once ({owners}); none is offered (DISC-4)"
                )
            else:
                kept.append((tool, name))
        return kept


def fit(name: str) -> str:
    """The name as every API takes it: other characters become ``_``, and what is too long is cut."""
    return _UNFIT.sub("_", name)[:LONGEST_NAME] or "unnamed"


def _offer(name: str, definition: ToolDefinition, names: Names | None) -> Offer:
    return Offer(
        name=name,
        operation=definition.name,
        toolset=definition.toolset,
        endpoint=definition.endpoint,
        annotations=definition.annotations,
        checker=ArgumentSchema(definition.input_schema),
        renamed=names,
        display_script=definition.display_script,
    )


class TreeCatalogs:
    """``abc.Catalogs``: fetched fresh for a new root thread, then kept for the life of its tree.

    Trees share what is the same: a catalog is stored and held once, under the digest of its definitions.

    Args:
        store: Where catalogs are kept.
        sources: Where tools come from, in the order in which they are offered.
        alone: Nobody else has the store, so that which catalog a tree has need not be read again, and a
            tree that began before a server was ready gets that server's tools when it is.
    """

    def __init__(self, store: Store, sources: Sequence[Source], *, alone: bool = True) -> None:
        self._store = store
        self._sources = sources
        self._alone = alone
        self._digests: OrderedDict[str, str] = OrderedDict()
        self._catalogs: OrderedDict[str, TreeCatalog] = OrderedDict()
        self._incomplete: set[str] = set()
        """Roots of trees whose servers were not all ready."""
        self._tries = 0
        self._completing: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        if self._completing is not None:
            self._completing.cancel()
            await asyncio.wait((self._completing,))

    async def of(self, root: str) -> TreeCatalog:
        """The catalog of a tree: the one that it has, or a fresh one for a tree that has none.

        Args:
            root: Id of the tree's root thread.

        Raises:
            DamagedStore: if its record is there and cannot be read. It is never fetched anew for that: the
                calls of the conversation would mean something else (I8).
        """
        # On a store that others write, too, the tree may have been given other tools since.
        digest = self._digests.get(root) if self._alone else None
        if digest is None:
            stored = await self._store.meta(f"catalog.{root}")
            if stored is None:
                return await self.reload(root)
            digest = stored.decode()
            _keep(self._digests, root, digest, KEPT_TREES)
        catalog = self._catalogs.get(digest)
        if catalog is None:
            data = await self._store.meta(f"definitions.{digest}")
            if data is None:
                raise DamagedStore(
                    f"the tools of thread {root} are missing from the store (definitions.{digest})"
                )
            try:
                catalog = TreeCatalog(msgspec.json.decode(data, type=Definitions))
            except msgspec.DecodeError as error:
                raise DamagedStore(
                    f"the tools of thread {root} cannot be read (definitions.{digest}); run 'infinity doctor'"
                ) from error
        _keep(self._catalogs, digest, catalog, KEPT_CATALOGS)
        if catalog.definitions.missing:
            self._complete_later(root)
        return catalog

    def forget(self, root: str) -> None:
        """Drop what is held in this process of a tree that is gone."""
        self._digests.pop(root, None)
        self._incomplete.discard(root)

    async def reload(self, root: str) -> TreeCatalog:
        """Fetch anew, for a new tree or a user who asks for it. The tree's prompt cache starts anew.

        Raises:
            StoreError: if the catalog cannot be kept. A server that fails is a problem in the catalog
                instead.
        """
        catalog = await self._give(root, await self._gather())
        if catalog.definitions.missing:
            self._complete_later(root)
        return catalog

    async def _give(self, root: str, definitions: Definitions) -> TreeCatalog:
        data = msgspec.json.encode(definitions)
        digest = hashlib.sha256(data).hexdigest()
        if digest not in self._catalogs:
            # The definitions before what refers to them: a reference without them would be damage.
            await self._store.put_meta(f"definitions.{digest}", data)
            _keep(self._catalogs, digest, TreeCatalog(definitions), KEPT_CATALOGS)
        await self._store.put_meta(f"catalog.{root}", digest.encode())
        _keep(self._digests, root, digest, KEPT_TREES)
        return self._catalogs[digest]

    def _complete_later(self, root: str) -> None:
        if not self._alone or root in self._incomplete or len(self._incomplete) >= KEPT_TREES:
            return
        self._incomplete.add(root)
        # The count begins anew with each tree that waits: the servers may have been started for it.
        self._tries = 0
        if self._completing is None:
            self._completing = spawn(self._complete(), "tools of servers that start")

    async def _complete(self) -> None:
        """Ask again until every server is ready, a bounded number of times (I9): for all trees that wait
        together.
        """
        try:
            while self._incomplete and self._tries < MOST_TRIES:
                await asyncio.sleep(BACKOFF.wait(self._tries))
                self._tries += 1
                found = await self._gather()
                # A tree may be forgotten while another one is completed.
                for root in list(self._incomplete):
                    if root in self._incomplete:
                        await self._add(root, found)
        finally:
            self._incomplete.clear()
            self._completing = None

    async def _add(self, root: str, found: Definitions) -> None:
        """Put in what has come since. What the tree has stays as it is (DISC-5), so that its calls mean what
        they meant.
        """
        had = (await self.of(root)).definitions
        known = {tool.toolset for tool in had.tools}
        come = [tool for tool in found.tools if tool.toolset not in known]
        if come or found.missing != had.missing:
            await self._give(root, Definitions([*had.tools, *come], found.problems, found.missing))
        if not found.missing:
            self._incomplete.discard(root)

    async def current(self) -> TreeCatalog:
        """What a new root thread would be offered now."""
        return TreeCatalog(await self._gather())

    async def _gather(self) -> Definitions:
        tools: list[ToolDefinition] = []
        problems: list[str] = []
        missing = 0
        for source in self._sources:
            try:
                found = await source.definitions()
            except StoreError:
                # The store's own failure is not a source's: the message that met it stays queued (L10).
                raise
            except Exception as error:
                # A source that fails costs its own tools; the conversation begins without them (B13).
                log.exception("tools could not be fetched")
                problems.append(
                    f"the tools of {type(source).__name__} could not be fetched: {type(error).__name__}"
                )
                continue
            tools += found.tools
            problems += found.problems
            missing += found.missing
        try:
            msgspec.json.encode(tools)
        except (TypeError, ValueError, OverflowError, RecursionError):
            tools = [*filter(partial(_can_be_stored, problems), tools)]
        return Definitions(tools, problems, missing)


def _can_be_stored(problems: list[str], tool: ToolDefinition) -> bool:
    try:
        msgspec.json.encode(tool)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        problems.append(f"{tool.toolset}: tool {tool.name!r} cannot be stored and is not offered: {error}")
        return False
    return True


def _keep(kept: OrderedDict[str, T], key: str, value: T, most: int) -> None:
    """The most recently used, at most so many."""
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)
