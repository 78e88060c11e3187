"""Lists of an MCP server as they come in, before the SDK sees them.

The SDK refuses a whole list for one item; here one bad item costs itself only. ``session`` puts it between
the transport and the SDK's client. It looks at lists and passes everything else on untouched.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from mcp_types import JSONRPCResponse, Resource, ResourceTemplate, Tool
from mcp_types.methods import validate_server_result
from pydantic import BaseModel, ValidationError

__all__ = ["checked", "keep_good"]

_ITEMS: dict[str, tuple[str, type[BaseModel]]] = {
    "tools": ("tools/list", Tool),
    "resources": ("resources/list", Resource),
    "resourceTemplates": ("resources/templates/list", ResourceTemplate),
}
_NEEDED = ("name", "title", "description", "inputSchema", "annotations", "uri", "uriTemplate", "mimeType")
"""Members of an item that it is offered by; without the others it can be used all the same."""


def checked(
    transport: AbstractAsyncContextManager[Any],
    version: Callable[[], str],
    left_out: MutableMapping[str, str],
) -> AbstractAsyncContextManager[Any]:
    """Wrap a transport so that lists are checked item by item before the SDK reads them.

    Args:
        transport: Of the SDK: a context manager of a read stream and more.
        version: The protocol version that was agreed, empty before it was.
        left_out: Gets the name of each bad tool, and what is wrong with it.
    """

    @asynccontextmanager
    async def run() -> AsyncGenerator[Any]:
        async with transport as (read, *rest):
            yield (_Checked(read, version, left_out), *rest)

    return run()


class _Checked:
    """Whatever else the SDK wants of the stream, it gets from the stream itself."""

    def __init__(self, stream: Any, version: Callable[[], str], left_out: MutableMapping[str, str]) -> None:
        self._stream = stream
        self._version = version
        self._left_out = left_out

    async def receive(self) -> Any:
        return self._check(await self._stream.receive())

    def __aiter__(self) -> _Checked:
        return self

    async def __anext__(self) -> Any:
        return self._check(await self._stream.__anext__())

    async def __aenter__(self) -> _Checked:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> Any:
        return await self._stream.__aexit__(*error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _check(self, item: Any) -> Any:
        message = getattr(item, "message", None)
        if isinstance(message, JSONRPCResponse) and _ITEMS.keys() & message.result.keys():
            # Before a version is agreed there are no lists; the SDK judges what a later one calls so.
            with contextlib.suppress(RuntimeError, ValueError, KeyError):
                keep_good(message.result, self._version(), self._left_out)
        return item


def keep_good(result: dict[str, Any], version: str, left_out: MutableMapping[str, str]) -> None:
    """Leave in a list what the SDK takes of it.

    What is plainly meant is put in: the ``type`` of a schema that says nothing of it.

    Args:
        result: Of a JSON-RPC response; changed in place. Results of calls, which have ``content``, are left
            alone.
        version: The protocol version that the SDK validates by.
        left_out: As for ``checked``.
    """
    if "content" in result:
        return
    for key, (method, kind) in _ITEMS.items():
        items = result.get(key)
        # A result that is wrong even without its items is none of this kind; the SDK shall judge it as it is.
        if not isinstance(items, list) or _problem({**result, key: []}, method, version) is not None:
            continue
        good = []
        for place, item in enumerate(items):
            found, problem = _usable(result, key, item, version)
            if found is not None:
                good.append(found)
            elif kind is Tool:
                left_out[_name(item, place)] = problem
        result[key] = good


def _usable(result: dict[str, Any], key: str, item: Any, version: str) -> tuple[dict[str, Any] | None, str]:
    if not isinstance(item, dict):
        return None, "it is not a JSON object"
    method, kind = _ITEMS[key]
    item = _with_type(item) if kind is Tool else item
    problem = ""
    # As it is first; then reduced to the members that it is offered by, because a bad member besides costs
    # nothing.
    for candidate in (item, {name: value for name, value in item.items() if name in _NEEDED}):
        found = _problem({**result, key: [candidate]}, method, version)
        if found is None:
            try:
                kind.model_validate(candidate, by_name=False)
            except ValidationError as error:
                found = _told(error)
        if found is None:
            return candidate, ""
        problem = problem or found
    return None, problem


def _with_type(tool: dict[str, Any]) -> dict[str, Any]:
    schema = tool.get("inputSchema")
    if schema is None or (isinstance(schema, dict) and "type" not in schema):
        return {**tool, "inputSchema": {"type": "object", **(schema or {})}}
    return tool


def _problem(result: dict[str, Any], method: str, version: str) -> str | None:
    try:
        validate_server_result(method, version, result)
    except ValidationError as error:
        return _told(error)
    return None


def _told(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"] if not isinstance(part, int) and part != "tools")
    return f"{place or 'it'}: {first['msg']}"


def _name(item: Any, place: int) -> str:
    name = item.get("name") if isinstance(item, dict) else None
    return name[:128] if isinstance(name, str) and name else f"tool {place + 1}"
