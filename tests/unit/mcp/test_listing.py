"""Lists that come in pages, and how much of them is taken."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from mcp_types import Resource, ResourceTemplate, Tool

from infinity.mcp import listing
from infinity.mcp.bridge import _list_resources
from infinity.mcp.listing import EndlessList, list_resources, list_templates, list_tools, offered


class Server:
    """Gives ``size`` things on ``pages`` pages; the last page leads to ``then``."""

    def __init__(self, pages: int, size: int, then: str | None = None) -> None:
        self._pages = pages
        self._size = size
        self._then = then
        self.asked: list[str | None] = []

    def _page(self, cursor: str | None, made: Any, field: str) -> Any:
        self.asked.append(cursor)
        number = int(cursor or 0)
        things = [made(number * self._size + each) for each in range(self._size)]
        last = number + 1 >= self._pages
        return SimpleNamespace(next_cursor=self._then if last else str(number + 1), **{field: things})

    async def list_tools(self, *, cursor: str | None) -> Any:
        return self._page(cursor, lambda n: Tool(name=f"t{n}", input_schema={"type": "object"}), "tools")

    async def list_resources(self, *, cursor: str | None) -> Any:
        return self._page(cursor, lambda n: Resource(name=f"r{n}", uri=f"memo://{n}"), "resources")

    async def list_resource_templates(self, *, cursor: str | None) -> Any:
        def made(number: int) -> ResourceTemplate:
            return ResourceTemplate(name=f"p{number}", uri_template=f"memo://{number}/{{day}}")

        return self._page(cursor, made, "resource_templates")


async def test_every_page_is_fetched_in_order() -> None:
    server: Any = Server(3, 2)
    assert [tool.name for tool in await list_tools(server)] == ["t0", "t1", "t2", "t3", "t4", "t5"]
    assert server.asked == [None, "1", "2"]
    assert len(await list_templates(server)) == 6


async def test_pages_that_lead_back_or_go_on_for_ever_are_given_up() -> None:
    with pytest.raises(EndlessList, match="page 3 leads back"):
        await list_tools(Server(3, 1, then="1"))  # type: ignore[arg-type]
    endless: Any = Server(1_000_000, 1)
    with pytest.raises(EndlessList):
        await list_resources(endless)
    assert len(endless.asked) == listing.MOST_PAGES


async def test_more_resources_than_a_model_looks_through_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_RESOURCES", 3)
    server: Any = Server(2, 4)
    told = (await _list_resources(server)).text or ""
    assert told.splitlines()[:4] == [
        "memo://0 r0",
        "memo://1 r1",
        "memo://2 r2",
        "… and 5 more, which are not listed here.",
    ]
    assert "memo://0/{day} p0 (fill in the braces)" in told


def test_a_tool_that_breaks_the_rules_costs_the_server_only_itself() -> None:
    tools = [
        Tool(name="fine", input_schema={"type": "object"}),
        Tool(name="has spaces", input_schema={"type": "object"}),
        Tool(name="fine", input_schema={"type": "object"}),
        Tool(name="huge", description="x", input_schema={"type": "object", "title": "x" * 70_000}),
        Tool(name="elsewhere", input_schema={"$ref": "https://evil.example/schema"}),
    ]
    entries, left_out = offered(tools, "p_")
    assert [entry["name"] for entry in entries] == ["p_fine"]
    assert [why.partition(" (")[0] for why in left_out] == ["'has spaces'", "'fine'", "'huge'", "'elsewhere'"]
    assert "the name is used twice" in left_out[1] and "larger than 65536 bytes" in left_out[2]
