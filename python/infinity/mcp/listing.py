"""What an MCP server offers, page by page, and which of it can be offered on.

``catalogue`` lists tools with it, ``bridge`` resources. Lists are bounded in pages and in size (I15), and a
tool that breaks the rules costs itself only, with its reason in the manifest's description.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import msgspec
from mcp.client import Client
from mcp_types import Resource, ResourceTemplate, Tool

from infinity.errors import ToolsetError
from infinity.rap.manifest import MAX_TOOLS, parse_manifest

log = logging.getLogger("infinity.mcp")

MOST_PAGES = 100
MOST_RESOURCES = 1_000
MOST_TOOLS = MAX_TOOLS - 2
"""Two are kept for its resources."""
LARGEST_TOOL = 64 << 10
LONGEST_DESCRIPTION = 8_000
_HERE = "http://127.0.0.1"


class EndlessList(Exception):
    """The pages of a list go on for ever."""


class Page(Protocol):
    next_cursor: str | None


P = TypeVar("P", bound=Page)


async def list_tools(client: Client) -> list[Tool]:
    """All tools of a server, in its order.

    Raises:
        EndlessList: if the pages go on for ever.
    """
    pages = await _pages(lambda cursor: client.list_tools(cursor=cursor), "tools")
    return [tool for page in pages for tool in page.tools]


async def list_resources(client: Client) -> tuple[list[Resource], int]:
    """The first ``MOST_RESOURCES`` resources of a server, and how many more there are.

    Raises:
        EndlessList: if the pages go on for ever.
    """
    pages = await _pages(lambda cursor: client.list_resources(cursor=cursor), "resources")
    found = [resource for page in pages for resource in page.resources]
    return found[:MOST_RESOURCES], max(0, len(found) - MOST_RESOURCES)


async def list_templates(client: Client) -> list[ResourceTemplate]:
    """The first ``MOST_RESOURCES`` resource templates of a server.

    Raises:
        MCPError: for a server that has none; not every server with resources knows the request.
        EndlessList: if the pages go on for ever.
    """
    pages = await _pages(lambda cursor: client.list_resource_templates(cursor=cursor), "resource templates")
    return [template for page in pages for template in page.resource_templates][:MOST_RESOURCES]


async def _pages(fetch: Callable[[str | None], Awaitable[P]], what: str) -> list[P]:
    pages = [await fetch(None)]
    seen: set[str] = set()
    while (cursor := pages[-1].next_cursor) is not None:
        # A server that repeats a cursor, or makes up new ones without end, must not hold a conversation up
        # (I15).
        if cursor in seen or len(pages) >= MOST_PAGES:
            raise EndlessList(f"its list of {what} does not end; page {len(pages)} leads back or on for ever")
        seen.add(cursor)
        pages.append(await fetch(cursor))
    return pages


def offered(tools: list[Tool], prefix: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Sort out which tools can be offered: one that breaks the rules would cost the server all of them
    (DISC-3).

    Args:
        tools: In the server's order; of two with one name the first is offered.
        prefix: Put before each name.

    Returns:
        Entries as the manifest lists them, and a sentence for each tool that is left out.
    """
    entries: dict[str, dict[str, Any]] = {}
    left_out: list[str] = []
    for tool in tools:
        entry = {
            "name": prefix + tool.name,
            "description": _description(tool),
            "inputSchema": tool.input_schema,
            "annotations": _annotations(tool),
        }
        problem = _problem(entry, entries)
        if problem:
            left_out.append(f"{tool.name!r} ({problem})")
        else:
            entries[prefix + tool.name] = entry
    return list(entries.values()), left_out


def _problem(entry: dict[str, Any], others: dict[str, dict[str, Any]]) -> str | None:
    if entry["name"] in others:
        return "the name is used twice"
    if len(others) >= MOST_TOOLS:
        return f"a server may have {MOST_TOOLS} tools"
    if len(msgspec.json.encode(entry)) > LARGEST_TOOL:
        return f"larger than {LARGEST_TOOL} bytes"
    try:
        # The runtime's own parser judges each entry alone, as it will judge the manifest as a whole.
        parse_manifest(msgspec.json.encode({"name": "-", "endpoint": _HERE, "tools": [entry]}), _HERE)
    except ToolsetError as error:
        return str(error.__cause__ or error).replace("$.tools[0].", "")
    return None


def _description(tool: Tool) -> str:
    title = tool.title or (tool.annotations.title if tool.annotations else None)
    return (tool.description or title or tool.name)[:LONGEST_DESCRIPTION]


def _annotations(tool: Tool) -> dict[str, Any]:
    """Only what the server says itself: MCP's own default, that every tool is destructive, would ask the user
    about each one.
    """
    hints = tool.annotations
    if hints is None:
        return {}
    spelled = {
        "readOnly": hints.read_only_hint,
        "destructive": hints.destructive_hint and not hints.read_only_hint,
        "idempotent": hints.idempotent_hint,
    }
    return {name: True for name, value in spelled.items() if value}
