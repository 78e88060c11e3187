"""Toolsets: what is configured, what each server offers, and what is wrong with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec import UNSET

from infinity.abc import Catalog, Store
from infinity.errors import DamagedStore, NewerStore
from infinity.explanation import call_began
from infinity.rap.discovery import Problem
from infinity.rap.manifest import Toolset

from .backend import Backend
from .errors import Refused
from .requests import Nothing, Request
from .responses import DescribedToolset, OfferedTools, OpenCall, Response, Tool, ToolServer, Toolsets, respond

__all__ = ["described", "get_toolset", "list_toolsets", "reload_tools"]

_THREADS = 500
"""Threads that are looked at for open calls."""
_CALLS = 100


def described(name: str, base_url: str, toolset: Toolset | None, problem: Problem | None) -> ToolServer:
    """One server: how it is, and what it offers."""
    return ToolServer(
        name=name,
        url=base_url,
        problem=problem.text if problem else None,
        rule=problem.rule if problem else None,
        cached=problem is not None and problem.cached,
        needs_migration=toolset is not None and toolset.needs_migration,
        toolset=toolset.name if toolset else None,
        description=toolset.description if toolset else None,
        tools=[
            Tool(tool.name, tool.description, tool.annotations, input_schema=tool.input_schema)
            for tool in (toolset.tools if toolset else ())
        ],
    )


async def list_toolsets(backend: Backend, _: Request) -> Response:
    """Every server with its tools."""
    servers, catalog = await asyncio.gather(backend.toolsets(), backend.runtime.catalogs.current())
    _say_what_is_offered(servers, catalog)
    for server in servers:
        server.health = UNSET
        for tool in server.tools:
            tool.input_schema = UNSET
    problems = [f"tool server {server.name}: {server.problem}" for server in servers if server.problem]
    problems += [problem for problem in catalog.problems if not _is_of_a_server(problem, servers)]
    return respond(Toolsets(servers, problems))


async def get_toolset(backend: Backend, request: Request) -> Response:
    """One server: its tools with their schemas, and the open calls that go to it. 404 where no server is configured under the name."""
    name = request.parameters["name"]
    servers, catalog = await asyncio.gather(backend.toolsets(), backend.runtime.catalogs.current())
    found = next((server for server in servers if server.name == name), None)
    if found is None:
        raise Refused(404, "not_found", f"no tool server is configured as {name[:200]}")
    _say_what_is_offered([found], catalog)
    calls, more = await _open_calls(backend.store, found.toolset) if found.toolset else ([], False)
    return respond(DescribedToolset(found, calls, more))


def _say_what_is_offered(servers: Sequence[ToolServer], catalog: Catalog) -> None:
    offers = [offer for name in catalog.names() if (offer := catalog.find(name)) is not None]
    operations = {(offer.toolset, offer.operation) for offer in offers}
    for server in servers:
        for tool in server.tools:
            tool.offered = (server.toolset, tool.name) in operations


async def _open_calls(store: Store, toolset: str) -> tuple[list[OpenCall], bool]:
    """Of the threads that wait or were stopped and changed last. What cannot be read is named by the list of threads."""
    found: list[OpenCall] = []
    more = False
    for status in ("waiting", "stopped"):
        rows = await store.threads(status=status, limit=_THREADS)
        more = more or len(rows) == _THREADS
        for row in rows:
            try:
                calls = await store.calls(row.id)
            except (DamagedStore, NewerStore):
                continue
            found += [
                OpenCall(row.id, call.id, call.tool, state, await call_began(store, call))
                for call, state in calls
                if call.toolset == toolset and state in ("planned", "sent")
            ]
            if len(found) >= _CALLS:
                return found[:_CALLS], True
    return found, more


async def reload_tools(backend: Backend, request: Request) -> Response:
    """Fetch the definitions for a thread's tree again: what it is offered now, and what it is not and why."""
    await request.json(Nothing, optional=True)
    catalog = await backend.runtime.reload_tools(request.id())
    return respond(OfferedTools(catalog.names(), list(catalog.problems)))


def _is_of_a_server(problem: str, servers: Sequence[ToolServer]) -> bool:
    """Whether it is a server's own problem, which stands beside the server."""
    return any(problem == server.problem for server in servers)
