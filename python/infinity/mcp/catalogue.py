"""What the MCP server offers, as the manifest lists it.

It is fetched for each conversation that begins, and when the server tells of a change; ``server`` asks for
it with each request of the manifest, ``bridge`` to judge calls. A conversation waits for a list for a
bounded time only (B1), and an empty list never replaces one that there was.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mcp.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import Tool
from pydantic import ValidationError

from infinity.errors import ToolsetError
from infinity.supervision import shared, spawn

from .connection import Connection, Lost
from .connections import Connections
from .listing import LONGEST_DESCRIPTION, EndlessList, list_tools, offered
from .specification import ServerSpecification

log = logging.getLogger("infinity.mcp")

START_PATIENCE = 4.0
"""Seconds for which a conversation that begins is held up by a server that starts; a runtime's discovery
waits little longer (B1)."""
LIST_PATIENCE = 1.5
"""The same for one that is slow to list its tools again; the last list does instead."""
BETWEEN_LISTS = 2.0
"""Seconds between two lists that nobody but the server asks for."""
MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Listing:
    """What the server offers. ``entries``: as the manifest lists them; ``tasks``: which of its tools can be
    tasks (2025-11-25), and how.
    """

    entries: Sequence[dict[str, Any]] = ()
    description: str = ""
    annotations: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    tasks: Mapping[str, str] = field(default_factory=dict)


class _Found(NamedTuple):
    """What a session told of its server; ``resources``: whether it has some."""

    tools: list[Tool]
    resources: bool
    about: str


async def _look(client: Client) -> _Found:
    """All in one session: the one that the tools were listed in may be another than the one that was there
    before.
    """
    info = client.server_info
    about = client.instructions or (info.description if info else None) or ""
    return _Found(await list_tools(client), client.server_capabilities.resources is not None, about)


class Catalogue:
    """``listing``: the last one there was."""

    def __init__(self, specification: ServerSpecification, connections: Connections) -> None:
        self.listing = Listing()
        self._specification = specification
        self._connections = connections
        self._listing: asyncio.Task[None] | None = None
        self._began = 0.0
        self._later: asyncio.Task[None] | None = None

    @property
    def connect(self) -> str:
        return f"{self._specification.name}_connect"

    @property
    def list_resources(self) -> str:
        return f"{self._specification.name}_list_resources"

    @property
    def read_resource(self) -> str:
        return f"{self._specification.name}_read_resource"

    async def refresh(self) -> None:
        """List the tools anew, for a conversation that begins (DISC-5).

        It waits ``START_PATIENCE`` for a first list, and ``LIST_PATIENCE`` where an earlier list can serve;
        fetching goes on in the background after that, and callers at the same time share one fetch (B1).

        Raises:
            ToolsetError: if there is no list at all; the text says why.
        """
        task = self._begin()
        problem = self._connections.shared.problem
        patience = LIST_PATIENCE if self.listing.entries or problem else START_PATIENCE
        left = self._began + patience - asyncio.get_running_loop().time()
        await asyncio.wait((task,), timeout=max(0.05, left))
        if task.done():
            task.result()
        elif not self.listing.entries:
            state = f"{problem}; it is tried again" if problem else "is still starting"
            raise ToolsetError(
                f"MCP server {self._specification.name} ({self._specification.reached}) {state}; "
                "conversations that run get its tools when it is ready, or at once with 'infinity tools --reload THREAD'"
            )

    async def known(self) -> Listing:
        """The last listing, or a first one: after a restart, calls go on before any conversation begins.

        An empty listing means that the server could not be asked.
        """
        if not self.listing.entries:
            with contextlib.suppress(ToolsetError):  # the call itself will say so
                await self.refresh()
        return self.listing

    def changed(self) -> None:
        """Fetch the list again, because the server says that it changed; at most every ``BETWEEN_LISTS``
        seconds.

        Conversations that run keep their tools (DISC-5). The new list is what their calls are judged by.
        """
        if self._later is None:
            self._later = spawn(self._list_later(), f"list {self._specification.name} later")

    async def stop(self) -> None:
        tasks = [task for task in (self._listing, self._later) if task is not None and not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # -- one list

    def _begin(self) -> asyncio.Task[None]:
        """The list that is being fetched. One that has ended is of the past, whether anybody waited for it or
        not.
        """
        # Shared, and not cancelled with anyone who began it: a caller that lost patience leaves the fetch to the
        # next one.
        if self._listing is None or self._listing.done():
            self._began = asyncio.get_running_loop().time()
            self._listing = shared(self._list(), f"list {self._specification.name}")
        return self._listing

    async def _list_later(self) -> None:
        await asyncio.sleep(self._began + BETWEEN_LISTS - asyncio.get_running_loop().time())
        self._later = None
        task = self._begin()
        await asyncio.wait((task,))
        if not task.cancelled() and task.exception() is not None:
            log.warning("after a change: %s", task.exception())

    async def _list(self) -> None:
        for connection in await self._connections.for_lists():
            try:
                found = await self._fetch(connection)
            except ToolsetError:
                # A grant that was taken back is not a failure of the server; the next user's may still be good.
                if not connection.access_needed:
                    raise
            else:
                self._take(found, connection.left_out)
                return
        about = "Its tools are there once a user has granted access."
        self.listing = Listing([self._connect_tool()], about)

    async def _fetch(self, connection: Connection) -> _Found:
        name, within = self._specification.name, self._specification.start_timeout
        session = await connection.session()
        # Filled again by the list that follows (see ``lists.py``); what is left from the list before is of
        # the past.
        connection.left_out.clear()
        try:
            async with asyncio.timeout(within):
                return await connection.request(None, _look, repeatable=True)  # type: ignore[no-any-return]
        except TimeoutError:
            problem = f"did not list its tools within {within:g} s"
            # A server that keeps a request waiting for that long is of no use to calls either.
            connection.discard(session, problem)
            raise ToolsetError(f"MCP server {name} {problem}") from None
        except EndlessList as error:
            raise ToolsetError(f"MCP server {name} cannot be used: {error}") from error
        except (Lost, MCPError) as error:
            raise ToolsetError(f"MCP server {name} did not list its tools: {error}") from error
        except ValidationError as error:
            raise ToolsetError(f"MCP server {name} lists its tools in a way that is not MCP") from error

    def _take(self, found: _Found, unusable: Mapping[str, str]) -> None:
        name, prefix = self._specification.name, self._specification.prefix
        entries, left_out = offered(found.tools, prefix)
        left_out = [f"{each!r} ({problem})" for each, problem in unusable.items()] + left_out
        if self._specification.resources and found.resources:
            entries += self._resource_tools()
        if not entries:
            reason = (
                f"none of its tools can be offered: {'; '.join(left_out)}" if left_out else "it has no tools"
            )
            raise ToolsetError(f"MCP server {name}: {reason}"[:2_000])
        about = found.about
        if left_out:
            log.warning("MCP server %s: not offered: %s", name, "; ".join(left_out))
            about = f"{about}\nNot offered: {'; '.join(left_out)}".strip()
        difference = _difference(self.listing.entries, entries)
        if difference:
            log.warning("MCP server %s has changed its tools: %s", name, difference)
        annotations = {entry["name"]: entry["annotations"] for entry in entries}
        support = {
            prefix + tool.name: tool.execution.task_support
            for tool in found.tools
            if tool.execution is not None and tool.execution.task_support in ("optional", "required")
        }
        self.listing = Listing(entries, about[:LONGEST_DESCRIPTION], annotations, support)

    def _connect_tool(self) -> dict[str, Any]:
        name = self._specification.name
        return {
            "name": self.connect,
            "description": f"Ask the user for access to {name}, whose tools cannot be used without. Conversations that begin afterwards have them.",
            "inputSchema": {"type": "object", "properties": {}, "additionalProperties": False},
            "annotations": {"requiresAuth": name},
        }

    def _resource_tools(self) -> list[dict[str, Any]]:
        name = self._specification.name
        uri = {"type": "string", "description": "As listed, or as another tool named it."}
        return [
            {
                "name": self.list_resources,
                "description": f"The resources of {name}: addresses of what can be read with {self.read_resource}.",
                "inputSchema": {"type": "object", "properties": {}, "additionalProperties": False},
                "annotations": {"readOnly": True},
            },
            {
                "name": self.read_resource,
                "description": f"Read a resource of {name}.",
                "inputSchema": {
                    "type": "object",
                    "properties": {"uri": uri},
                    "required": ["uri"],
                    "additionalProperties": False,
                },
                "annotations": {"readOnly": True},
            },
        ]


def _difference(before: Sequence[dict[str, Any]], now: Sequence[dict[str, Any]]) -> str:
    """What an operator should know: a server may change what its tools say they do."""
    if not before:
        return ""
    old, new = ({entry["name"]: entry for entry in entries} for entries in (before, now))
    kinds = {
        "new": sorted(new.keys() - old.keys()),
        "gone": sorted(old.keys() - new.keys()),
        "described otherwise": sorted(name for name in old.keys() & new.keys() if old[name] != new[name]),
    }
    return "; ".join(f"{kind}: {_named(names)}" for kind, names in kinds.items() if names)


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
