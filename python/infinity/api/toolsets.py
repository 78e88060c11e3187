"""Toolsets: what is configured, what each server offers, and what is wrong with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from infinity.rap.discovery import Problem
from infinity.rap.manifest import Toolset

from .backend import Backend
from .requests import Nothing, Request
from .responses import OfferedTools, Response, Tool, ToolServer, Toolsets, respond

__all__ = ["described", "list_toolsets", "reload_tools"]


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
            Tool(tool.name, tool.description, tool.annotations) for tool in (toolset.tools if toolset else ())
        ],
    )


async def list_toolsets(backend: Backend, _: Request) -> Response:
    """Every server with its tools."""
    servers, catalog = await asyncio.gather(backend.toolsets(), backend.runtime.catalogs.current())
    offers = [offer for name in catalog.names() if (offer := catalog.find(name)) is not None]
    operations = {(offer.toolset, offer.operation) for offer in offers}
    for server in servers:
        for tool in server.tools:
            tool.offered = (server.toolset, tool.name) in operations
    problems = [f"tool server {server.name}: {server.problem}" for server in servers if server.problem]
    problems += [problem for problem in catalog.problems if not _is_of_a_server(problem, servers)]
    return respond(Toolsets(servers, problems))


async def reload_tools(backend: Backend, request: Request) -> Response:
    """Fetch the definitions for a thread's tree again: what it is offered now, and what it is not and why."""
    await request.json(Nothing, optional=True)
    catalog = await backend.runtime.reload_tools(request.id())
    return respond(OfferedTools(catalog.names(), list(catalog.problems)))


def _is_of_a_server(problem: str, servers: Sequence[ToolServer]) -> bool:
    """Whether it is a server's own problem, which stands beside the server."""
    return any(problem == server.problem for server in servers)
