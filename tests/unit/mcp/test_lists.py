"""One bad item of an MCP server's list costs itself only."""

from __future__ import annotations

from typing import Any

import pytest

from infinity.mcp.lists import keep_good

VERSIONS = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"]
FINE = {"name": "fine", "inputSchema": {"type": "object"}}


def kept(version: str, *tools: Any) -> tuple[list[str], dict[str, str]]:
    result: dict[str, Any] = {"tools": list(tools)}
    left_out: dict[str, str] = {}
    keep_good(result, version, left_out)
    return [tool["name"] for tool in result["tools"]], left_out


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "tool",
    [
        {"name": "t", "inputSchema": {}},
        {"name": "t"},
        {"name": "t", "inputSchema": None},
        {"name": "t", "inputSchema": {"properties": {"a": {"type": "string"}}}},
        {"name": "t", "inputSchema": {"type": "object"}, "outputSchema": {"type": "string"}},
        {"name": "t", "inputSchema": {"type": "object"}, "outputSchema": "wrong"},
        {"name": "t", "inputSchema": {"type": "object"}, "icons": 7, "_meta": 7, "execution": "odd"},
    ],
)
def test_a_tool_that_lacks_what_nobody_needs_is_offered(version: str, tool: Any) -> None:
    names, left_out = kept(version, FINE, tool)
    assert names == ["fine", "t"] and not left_out


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("tool", "name"),
    [
        ({"name": "t", "inputSchema": {"type": "string"}}, "t"),
        ({"name": "t", "inputSchema": []}, "t"),
        ({"name": "t", "inputSchema": "object"}, "t"),
        ({"name": 7, "inputSchema": {"type": "object"}}, "tool 2"),
        ({"inputSchema": {"type": "object"}}, "tool 2"),
        ({"name": "t", "description": 7, "inputSchema": {"type": "object"}}, "t"),
        ("t", "tool 2"),
        (None, "tool 2"),
    ],
)
def test_a_tool_that_cannot_be_used_is_named_and_the_others_are_offered(
    version: str, tool: Any, name: str
) -> None:
    names, left_out = kept(version, FINE, tool, {**FINE, "name": "last"})
    assert names == ["fine", "last"] and list(left_out) == [name] and left_out[name]


def test_a_bad_resource_costs_itself_only() -> None:
    result: dict[str, Any] = {"resources": [{"name": "a", "uri": "file:///a"}, {"name": "b"}]}
    keep_good(result, "2025-11-25", {})
    assert [each["name"] for each in result["resources"]] == ["a"]


def test_what_a_tool_answers_is_no_list() -> None:
    result: dict[str, Any] = {"content": [], "tools": [7]}
    keep_good(result, "2025-11-25", {})
    assert result["tools"] == [7]
