"""Toolsets: what is configured, what each server offers, and what is wrong with it."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from .answers import answer
from .backend import BACKEND
from .body import path_id, read_json
from .controls import Nothing

__all__ = ["list_toolsets", "reload_tools"]


async def list_toolsets(request: web.Request) -> web.Response:
    """Every server with its tools. ``problems``: what keeps tools from being offered, name clashes among it (DISC-4); ``offered``: whether a
    new conversation gets the tool."""
    backend = request.app[BACKEND]
    servers, catalog = await asyncio.gather(backend.toolsets(), backend.runtime.catalogs.current())
    offers = [offer for name in catalog.names() if (offer := catalog.find(name)) is not None]
    offered = {(offer.toolset, offer.operation) for offer in offers}
    return answer(
        {
            "toolsets": [_with_offers(server, offered) for server in servers],
            "problems": [
                *(
                    f"tool server {server['name']}: {server['problem']}"
                    for server in servers
                    if server["problem"]
                ),
                *(problem for problem in catalog.problems if not _told(problem, servers)),
            ],
        }
    )


async def reload_tools(request: web.Request) -> web.Response:
    """Fetch the definitions for a thread's tree again; what it is offered now, and what is not and why."""
    await read_json(request, Nothing, optional=True)
    catalog = await request.app[BACKEND].runtime.reload_tools(path_id(request))
    return answer({"tools": catalog.names(), "problems": list(catalog.problems)})


def _with_offers(server: dict[str, Any], offered: set[tuple[str, str]]) -> dict[str, Any]:
    tools = [{**tool, "offered": (server["toolset"], tool["name"]) in offered} for tool in server["tools"]]
    return {**server, "tools": tools}


def _told(problem: str, servers: list[dict[str, Any]]) -> bool:
    """Whether it is a server's own problem, which stands beside the server."""
    return any(problem == server["problem"] for server in servers)
