"""Reading a server's description of itself: everything that is wrong with it, where a runtime stops at the
first.

The rules are those of ``rap.manifest``, applied by its own code, so that the inspection and the runtime
never disagree.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from infinity.errors import ToolsetError
from infinity.rap.discovery import MAX_MANIFEST, WELL_KNOWN
from infinity.rap.manifest import Tool, Toolset, parse_manifest

from .report import Report
from .visit import Reply, Visit

CHECK = "description"
_FIT = re.compile(r"[a-zA-Z0-9_-]+")
_SOUND = {"name": "sound", "description": "Sound.", "inputSchema": {"type": "object"}}


async def discover(visit: Visit, reserved: frozenset[str] = frozenset()) -> Toolset | None:
    """Fetch and examine the description.

    Args:
        visit: the server; findings go to its report.
        reserved: names of built-in tools, which a runtime would not offer (DISC-4).

    Returns:
        The toolset as a runtime would load it; ``None`` if it would refuse it.
    """
    report = visit.report
    reply = await visit.get(visit.base_url + WELL_KNOWN)
    # Any answer at all: what is wrong with it is another matter.
    report.reachable = reply.status != 0
    if reply.status != 200:
        report.failed("DISC-1" if reply.status else "DISC-6", "discovery", _missing(reply), refused=True)
        return None
    report.passed("DISC-1", "discovery", f"GET {WELL_KNOWN} answered in {reply.seconds * 1000:.0f} ms")
    if reply.content_type != "application/json":
        report.advised("DISC-1", "content type", f"{reply.content_type or 'none'}; expected application/json")
    return examine(reply.body, visit.base_url, report, reserved)


def examine(
    body: bytes, base_url: str, report: Report, reserved: frozenset[str] = frozenset()
) -> Toolset | None:
    """Examine a description that was fetched.

    Args:
        body: as it came.
        base_url: where the server is.
        report: where findings go.
        reserved: names of built-in tools.

    Returns:
        As for ``discover``.
    """
    try:
        if len(body) > MAX_MANIFEST:
            raise ToolsetError(f"larger than {MAX_MANIFEST} bytes", "DISC-2")
        toolset = parse_manifest(body, base_url)
    except ToolsetError as error:
        _all_defects(body, base_url, report, error)
        return None
    report.toolset = {
        "name": toolset.name,
        "description": toolset.description,
        "endpoint": toolset.endpoint,
        "needs_migration": toolset.needs_migration,
        "tools": [{"name": tool.name, "annotations": tool.annotations} for tool in toolset.tools],
    }
    names = ", ".join(tool.name for tool in toolset.tools[:6]) + (", …" if len(toolset.tools) > 6 else "")
    report.passed("DISC-2", CHECK, f"{toolset.name}: {len(toolset.tools)} tools ({names})")
    for tool in toolset.tools:
        _advise(tool, report, reserved)
    _same_when_rewritten(toolset, report)
    return toolset


def _all_defects(body: bytes, base_url: str, report: Report, first: ToolsetError) -> None:
    """A runtime refuses the whole for its first defect (DISC-3); anyone who repairs it wants all of them."""
    found = [first]
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        tools = document.get("tools")
        # Each part is tried beside sound ones, because the reader stops at the first defect that it meets.
        candidates = [{**document, "tools": [_SOUND]}]
        for tool in tools if isinstance(tools, list) else []:
            sound = {"name": "sound", "endpoint": f"{base_url}/invoke", "needsMigration": False}
            candidates.append({**sound, "tools": [tool]})
        for index, candidate in enumerate(candidates):
            try:
                parse_manifest(json.dumps(candidate).encode(), base_url)
            except ToolsetError as error:
                found.append(
                    ToolsetError(str(error).replace("$.tools[0]", f"$.tools[{index - 1}]"), error.rule)
                )
    # Each defect once, in the order in which it was found.
    for text, rule in dict.fromkeys((_plain(str(error)), error.rule or "DISC-2") for error in found):
        report.failed(rule, CHECK, text, refused=True)


def _plain(text: str) -> str:
    return text.partition(" is refused: ")[2] or text


def _advise(tool: Tool, report: Report, reserved: frozenset[str]) -> None:
    """What a runtime puts up with, but people will notice."""
    if tool.name in reserved:
        # Which names a runtime keeps for itself, no server can know.
        report.advised(
            "DISC-4", "names", f"{tool.name!r} is the name of a built-in tool; it will not be offered"
        )
    if not _FIT.fullmatch(tool.name):
        text = f"{tool.name!r} has characters that model providers refuse; use letters, digits, '_' and '-'"
        report.advised("DISC-2", "names", text)
    if tool.read_only and tool.destructive:
        report.failed("DISC-9", "annotations", f"{tool.name!r} is both readOnly and destructive")
    if tool.display_script is not None and not _displays(tool):
        text = (
            f"the displayScript of {tool.name!r} fails for sample arguments; people will see the plain call"
        )
        report.failed("DISC-8", "display scripts", text)


def _same_when_rewritten(toolset: Toolset, report: Report) -> None:
    fitting = Counter(re.sub(r"[^a-zA-Z0-9_-]", "_", tool.name) for tool in toolset.tools)
    for name in (name for name, count in fitting.items() if count > 1):
        text = f"several tools become {name!r} for the model; none of them will be offered"
        report.failed("DISC-4", "names", text)


def _displays(tool: Tool) -> bool:
    from infinity._core import display

    sample = json.dumps({name: _sample(schema) for name, schema in _properties(tool).items()})
    return display(tool.display_script or "", sample.encode()) is not None


def _properties(tool: Tool) -> dict[str, Any]:
    properties = tool.input_schema.get("properties", {})
    return properties if isinstance(properties, dict) else {}


def _sample(schema: Any) -> Any:
    """Some value that the schema might take; it only has to have the right type."""
    if not isinstance(schema, dict):
        return "text"
    for name in ("default", "const"):
        if name in schema:
            return schema[name]
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type", "string")
    samples: dict[str, Any] = {
        "integer": 1,
        "number": 1.5,
        "boolean": True,
        "array": [],
        "object": {},
        "null": None,
    }
    return samples.get(kind if isinstance(kind, str) else "string", "text")


def _missing(reply: Reply) -> str:
    if 300 <= reply.status < 400:
        return f"HTTP {reply.status}: redirects are not followed; configure the address it leads to"
    if reply.status in (401, 403):
        return f"GET {WELL_KNOWN}: {reply}; the server wants a token: put it into INFINITY_TOOLS_TOKEN"
    return f"GET {WELL_KNOWN}: {reply}; expected 200 and a JSON object"
