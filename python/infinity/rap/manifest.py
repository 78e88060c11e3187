"""A toolset as its server describes it, checked whole before any of it is used (DISC-2, DISC-3, S10).

Descriptions are untrusted text: they reach the model and change nothing here (DISC-7). Copies that were
kept are read by the same code as fresh ones, so that a rule that became stricter holds for them as
well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NoReturn

import jsonschema_rs
import msgspec

from infinity.errors import ToolsetError
from infinity.schema_work import PATTERNS, SchemaWork

from .address import same_origin, shown, url_problem
from .document import Node

MAX_NAME = 128
"""Characters of the name of a toolset or tool."""
MAX_DESCRIPTION = 65_536
"""Characters of a description."""
MAX_TOOLS = 512
"""Tools of one toolset."""
MAX_SCRIPT = 16_384
"""Characters of a display script."""
MAX_SCHEMA_DEPTH = 64
"""Levels of a schema; the validator recurses on the native stack."""

_FLAGS = ("readOnly", "destructive", "idempotent", "longRunning")


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool of a toolset.

    ``input_schema`` is a JSON Schema whose type is ``object``; known ``annotations`` are checked,
    others are kept (DISC-9).
    """

    name: str
    description: str
    input_schema: dict[str, Any]
    annotations: dict[str, Any] = field(default_factory=dict)
    display_script: str | None = None

    @property
    def read_only(self) -> bool:
        return self.annotations.get("readOnly") is True

    @property
    def destructive(self) -> bool:
        return self.annotations.get("destructive") is True

    @property
    def idempotent(self) -> bool:
        """Whether running it twice with the same arguments does no more than running it once."""
        return self.annotations.get("idempotent") is True

    @property
    def long_running(self) -> bool:
        """Whether its calls have no deadline (RUN-5)."""
        return self.annotations.get("longRunning") is True


@dataclass(frozen=True, slots=True)
class Toolset:
    """All tools of one server. ``endpoint`` is where its invocations go, on the server's own origin
    (INV-1, S3).
    """

    name: str
    description: str
    base_url: str
    endpoint: str
    tools: tuple[Tool, ...]
    needs_migration: bool = False

    def owns(self, url: str) -> bool:
        """Whether a URL that this server named may be called, such as a ``response_url`` (S3).

        Args:
            url: as the server named it.
        """
        return same_origin(url, self.base_url)

    def to_json(self) -> bytes:
        """For durable caching; ``from_json`` reads it back."""
        return msgspec.json.encode({"baseUrl": self.base_url, "manifest": _document(self)})

    @classmethod
    def from_json(cls, data: bytes) -> Toolset:
        """A cached copy, checked like a fresh one.

        Args:
            data: what ``to_json`` made, of this version or an earlier one.

        Raises:
            ToolsetError: it is not a toolset (I8).
        """
        node = Node.parse(data, ToolsetError, "DISC-6")
        # An error of its own: the copy is damaged, not the server's toolset.
        node["manifest"].object("DISC-6")
        return _toolset(node["manifest"], node["baseUrl"].text("DISC-6", 1))


def parse_manifest(body: bytes, base_url: str) -> Toolset:
    """The toolset in a discovery response; never a part of one (DISC-3).

    Args:
        body: as it came.
        base_url: where the server was configured; its endpoint must be there (S3).

    Raises:
        ToolsetError: with server, JSON path and rule of the first defect.
    """
    try:
        return _toolset(Node.parse(body, ToolsetError, "DISC-2"), base_url)
    except ToolsetError as error:
        # Named after the server: people configured addresses, and know no JSON paths without them.
        raise ToolsetError(f"the toolset of {shown(base_url)} is refused: {error}", error.rule) from error


def _toolset(node: Node, base_url: str) -> Toolset:
    name = node["name"].text("DISC-2", 1, MAX_NAME)
    items = node["tools"].items("DISC-2", MAX_TOOLS)
    if not items:
        node["tools"].refuse("a toolset needs at least one tool", "DISC-2")
    tools = tuple(_tool(item) for item in items)
    # Of two tools with one name none could be called reliably; the whole toolset is refused (DISC-3).
    first: dict[str, int] = {}
    for index, tool in enumerate(tools):
        if first.setdefault(tool.name, index) != index:
            items[index]["name"].refuse(f"the name of $.tools[{first[tool.name]}] again", "DISC-4")
    return Toolset(
        name=name,
        description=node["description"].optional_text("DISC-2", MAX_DESCRIPTION) or "",
        base_url=base_url,
        endpoint=_endpoint(node["endpoint"], base_url),
        tools=tools,
        needs_migration=node["needsMigration"].flag("MIG-1"),
    )


def _endpoint(node: Node, base_url: str) -> str:
    endpoint = node.text("DISC-2", 1)
    problem = url_problem(endpoint)
    if problem:
        node.refuse(f"the URL {problem}", "DISC-2")
    if not same_origin(endpoint, base_url):
        node.refuse(
            f"{shown(endpoint)} is not on the configured server {shown(base_url)}; calls go nowhere else",
            "S3",
        )
    return endpoint


def _tool(node: Node) -> Tool:
    node.object("DISC-2")
    name = node["name"].text("DISC-2", 1, MAX_NAME)
    # A name stands in lists and at prompts to people: nothing in it may be invisible (S12).
    if any(character.isspace() or not character.isprintable() for character in name):
        node["name"].refuse("a tool's name has no spaces or control characters", "DISC-2")
    description = node["description"].text("DISC-2", 1, MAX_DESCRIPTION)
    script = node["displayScript"].optional_text("DISC-8", MAX_SCRIPT)
    return Tool(name, description, _schema(node["inputSchema"]), _annotations(node["annotations"]), script)


def _annotations(node: Node) -> dict[str, Any]:
    if not node.present:
        return {}
    annotations = node.object("DISC-9")
    node["requiresAuth"].optional_text("DISC-9")
    for name in _FLAGS:
        node[name].flag("DISC-9")
    return annotations


def _schema(node: Node) -> dict[str, Any]:
    schema = node.object("DISC-2")
    if _depth(schema) > MAX_SCHEMA_DEPTH:
        node.refuse(f"nested more than {MAX_SCHEMA_DEPTH} levels deep", "DISC-2")
    types = schema.get("type", "object")
    if types != "object" and not (isinstance(types, list) and "object" in types):
        node["type"].refuse('arguments are always an object; expected "object"', "DISC-2")
    try:
        # Refuses a schema whose check would take too long, before it is compiled (B10).
        SchemaWork(schema)
        jsonschema_rs.validator_for(schema, retriever=_no_retrieval, pattern_options=PATTERNS)
    except jsonschema_rs.ValidationError as error:
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.instance_path)
        raise ToolsetError(
            f"{node.path}{path}: not a valid JSON Schema: {error.message[:300]}", "DISC-2"
        ) from error
    except ValueError as error:
        node.refuse(f"not a usable JSON Schema: {error}", "DISC-2")
    # The model API wants the type spelled out; without it the schema means the same.
    return schema if "type" in schema else {"type": "object", **schema}


def _no_retrieval(uri: str) -> NoReturn:
    raise ValueError(f"schemas are not fetched from elsewhere ({shown(uri)}); put the definition into $defs")


def _depth(value: Any) -> int:
    """Levels of nesting, counted without recursion: the document comes from a stranger."""
    deepest, rest = 0, [(value, 1)]
    while rest:
        item, level = rest.pop()
        deepest = max(deepest, level)
        children = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        rest.extend((child, level + 1) for child in children if isinstance(child, (dict, list)))
    return deepest


def _document(toolset: Toolset) -> dict[str, Any]:
    tools = [
        {
            "name": tool.name,
            "description": tool.description,
            "inputSchema": tool.input_schema,
            "annotations": tool.annotations,
            "displayScript": tool.display_script,
        }
        for tool in toolset.tools
    ]
    return {
        "name": toolset.name,
        "description": toolset.description,
        "endpoint": toolset.endpoint,
        "needsMigration": toolset.needs_migration,
        "tools": tools,
    }
