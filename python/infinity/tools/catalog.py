"""The catalog: everything one thread tree is offered, merged from built-ins, tool servers and functions of this process.

Made once per root thread and kept under the tree's name, so that all its threads and slices send the same bytes (DISC-5, G4).
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from infinity.abc import Offer, Store
from infinity.errors import DamagedStore
from infinity.tools.builtins import BUILTINS
from infinity.tools.schema import ArgumentSchema

RESERVED = "receive_event__injected"
_UNFIT = re.compile(r"[^a-zA-Z0-9_-]")
KEPT_TREES = 4_096
KEPT_CATALOGS = 64

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
    tools: list[ToolDefinition]
    problems: list[str]


class Source(Protocol):
    """Where definitions come from: tool servers (``infinity.rap``), functions of this process."""

    async def definitions(self) -> Definitions:
        """Fresh ones. What cannot be had is a problem in the list, never an exception (DISC-3, DISC-6)."""
        ...


class TreeCatalog:
    """``abc.Catalog`` over a list of definitions. Names that clash are not offered, neither of them (DISC-4)."""

    def __init__(self, definitions: Definitions) -> None:
        self.problems: list[str] = list(definitions.problems)
        self._offers: dict[str, Offer] = {}
        tools: list[dict[str, Any]] = []
        for tool in BUILTINS:
            self._offers[tool.name] = Offer(
                tool.name, tool.name, builtin=tool, checker=ArgumentSchema(tool.schema)
            )
            tools.append({"name": tool.name, "description": tool.description, "input_schema": tool.schema})
        for definition, name in self._unclashed(definitions.tools):
            self._offers[name] = _offer(name, definition)
            schema = {"type": "object", **definition.input_schema}
            tools.append({"name": name, "description": definition.description, "input_schema": schema})
        self._tools = msgspec.json.encode(tools)

    @property
    def tools(self) -> bytes:
        return self._tools

    def find(self, name: str) -> Offer | None:
        return self._offers.get(name)

    def names(self) -> list[str]:
        return list(self._offers)

    def _unclashed(self, tools: Iterable[ToolDefinition]) -> list[tuple[ToolDefinition, str]]:
        named = [(tool, _UNFIT.sub("_", tool.name)) for tool in tools]
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


def _offer(name: str, definition: ToolDefinition) -> Offer:
    return Offer(
        name=name,
        operation=definition.name,
        toolset=definition.toolset,
        endpoint=definition.endpoint,
        annotations=definition.annotations,
        checker=ArgumentSchema(definition.input_schema),
        display_script=definition.display_script,
    )


class TreeCatalogs:
    """``abc.Catalogs``: fetched fresh for a new root thread, then kept for the life of its tree.

    Trees share what is the same: a catalog is stored and held once, under the digest of its definitions. ``alone``: nobody else has the store, so that
    which catalog a tree has need not be read again.
    """

    def __init__(self, store: Store, sources: Sequence[Source], *, alone: bool = True) -> None:
        self._store = store
        self._sources = sources
        self._alone = alone
        self._digests: OrderedDict[str, str] = OrderedDict()
        self._catalogs: OrderedDict[str, TreeCatalog] = OrderedDict()

    async def of(self, root: str) -> TreeCatalog:
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
            catalog = TreeCatalog(msgspec.json.decode(data, type=Definitions))
        _keep(self._catalogs, digest, catalog, KEPT_CATALOGS)
        return catalog

    async def reload(self, root: str) -> TreeCatalog:
        """Fetch, for a new tree or a user who asks for it (the tree's prompt cache starts anew)."""
        definitions = await self._gather()
        data = msgspec.json.encode(definitions)
        digest = hashlib.sha256(data).hexdigest()
        if digest not in self._catalogs:
            await self._store.put_meta(f"definitions.{digest}", data)
            _keep(self._catalogs, digest, TreeCatalog(definitions), KEPT_CATALOGS)
        await self._store.put_meta(f"catalog.{root}", digest.encode())
        _keep(self._digests, root, digest, KEPT_TREES)
        return self._catalogs[digest]

    async def current(self) -> TreeCatalog:
        """What a new root thread would be offered now."""
        return TreeCatalog(await self._gather())

    async def _gather(self) -> Definitions:
        tools: list[ToolDefinition] = []
        problems: list[str] = []
        for source in self._sources:
            found = await source.definitions()
            tools += found.tools
            problems += found.problems
        return Definitions(tools, problems)


def _keep(kept: OrderedDict[str, T], key: str, value: T, most: int) -> None:
    """The most recently used, at most so many."""
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)
