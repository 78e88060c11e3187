"""Toolsets: what is configured, what each server offers, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infinity.api.responses import Answer, answer
from infinity.rap.discovery import Problem
from infinity.rap.manifest import Toolset
from infinity.tools.catalog import TreeCatalog

__all__ = ["described", "listing", "offered"]


def described(name: str, base_url: str, toolset: Toolset | None, problem: Problem | None) -> dict[str, Any]:
    """One server: how it is, and what it offers."""
    return {
        "name": name,
        "url": base_url,
        "problem": problem.text if problem else None,
        "rule": problem.rule if problem else None,
        "cached": problem is not None and problem.cached,
        "needs_migration": toolset is not None and toolset.needs_migration,
        "toolset": toolset.name if toolset else None,
        "description": toolset.description if toolset else None,
        "tools": [
            {"name": tool.name, "description": tool.description, "annotations": tool.annotations}
            for tool in (toolset.tools if toolset else ())
        ],
    }


def listing(servers: Sequence[dict[str, Any]], catalog: TreeCatalog) -> Answer:
    """Every server with its tools. ``problems``: what keeps tools from being offered, name clashes among it (DISC-4); ``offered``: whether a
    new conversation gets the tool."""
    offers = [offer for name in catalog.names() if (offer := catalog.find(name)) is not None]
    operations = {(offer.toolset, offer.operation) for offer in offers}
    return answer(
        {
            "toolsets": [_with_offers(server, operations) for server in servers],
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


def offered(catalog: TreeCatalog) -> Answer:
    """What a thread's tree is offered now, and what it is not and why."""
    return answer({"tools": catalog.names(), "problems": list(catalog.problems)})


def _with_offers(server: dict[str, Any], operations: set[tuple[str, str]]) -> dict[str, Any]:
    tools = [{**tool, "offered": (server["toolset"], tool["name"]) in operations} for tool in server["tools"]]
    return {**server, "tools": tools}


def _told(problem: str, servers: Sequence[dict[str, Any]]) -> bool:
    """Whether it is a server's own problem, which stands beside the server."""
    return any(problem == server["problem"] for server in servers)
