"""Between the two protocols: which MCP request an invocation is, and what its answer or failure means for the model."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from mcp.client import Client
from mcp.client.extension import ClientExtension
from mcp.shared.exceptions import MCPError, UrlElicitationRequiredError
from mcp_types import METHOD_NOT_FOUND, URL_ELICITATION_REQUIRED, CallToolResult
from pydantic import ValidationError

from infinity.errors import ToolsetError
from infinity.rap.server import Call, Result, ToolError

from . import questions
from .authorization import Authorization, Unhurried
from .calls import RunningCall
from .connection import Connection, Lost
from .content import resource_result, result_of
from .ledger import Ledger
from .listing import LONGEST_DESCRIPTION, EndlessList, list_resources, list_tools, offered
from .specification import ServerSpecification
from .tasks import Tasks, follow
from .web import WebServer

log = logging.getLogger("infinity.mcp")

START_PATIENCE = 4.0
"""Seconds for which a conversation that begins is held up by a server that starts; a runtime's discovery waits little longer (B1)."""
LIST_PATIENCE = 1.5
"""The same for one that is slow to list its tools again; the last list does instead."""
TASK_RETRY = 5.0
CONNECTED = "Access is granted. The tools are offered in conversations that begin from now on."
INTERRUPTED = (
    "the bridge to the MCP server was restarted while {operation} was running; it may or may not have taken effect. "
    "Check before trying again."
)


@dataclass(frozen=True, slots=True)
class Listing:
    """What the server offers. ``entries``: as the manifest lists them."""

    entries: Sequence[dict[str, Any]] = ()
    description: str = ""
    annotations: Mapping[str, dict[str, Any]] = field(default_factory=dict)


class Bridge:
    """One MCP server, from the side of RAP."""

    def __init__(self, specification: ServerSpecification, ledger: Ledger) -> None:
        self.specification = specification
        self.stopping = asyncio.Event()
        """Set before calls are cancelled because the bridge stops: they go on at the next start."""
        self._ledger = ledger
        self.listing = Listing()
        self.authorization = self._authorization()
        self._connections: dict[str, Connection] = {}
        self._connection = self._connected("")
        self._refreshing: asyncio.Task[None] | None = None
        self._refreshing_since = 0.0

    @property
    def connect(self) -> str:
        return f"{self.specification.name}_connect"

    @property
    def list_resources(self) -> str:
        return f"{self.specification.name}_list_resources"

    @property
    def read_resource(self) -> str:
        return f"{self.specification.name}_read_resource"

    async def refresh(self) -> None:
        """List the tools anew (DISC-5). ``ToolsetError``: there is no list; the text says why."""
        loop = asyncio.get_running_loop()
        if self._refreshing is None:
            self._refreshing_since = loop.time()
            self._refreshing = asyncio.create_task(self._list(), name=f"list {self.specification.name}")
        task = self._refreshing
        patience = LIST_PATIENCE if self.listing.entries or self._connection.problem else START_PATIENCE
        await asyncio.wait((task,), timeout=max(0.05, self._refreshing_since + patience - loop.time()))
        if task.done():
            self._refreshing = None
            task.result()
        elif not self.listing.entries:
            state = (
                f"{self._connection.problem}; it is tried again"
                if self._connection.problem
                else "is still starting"
            )
            raise ToolsetError(
                f"MCP server {self.specification.name} {state}; conversations that begin later will have its tools"
            )

    async def call(self, operation: str, arguments: Mapping[str, Any], call: Call) -> Result:
        """Make the call and wait for its answer. ``ToolError`` tells the model what went wrong and what it may do."""
        running = RunningCall(call, operation, self.specification.call_timeout)
        try:
            async with running:
                return await self._answer(operation, dict(arguments), running)
        except Lost as error:
            effect = "; it may or may not have taken effect, check before trying again" if error.done else ""
            raise ToolError(
                f"MCP server {self.specification.name} {error} while {operation} was running{effect}"
            ) from error
        except ToolsetError as error:
            raise ToolError(str(error)) from error
        except EndlessList as error:
            raise ToolError(f"{operation}: {error}") from error
        except MCPError as error:
            status = f" (HTTP {running.http_status})" if running.http_status is not None else ""
            raise ToolError(
                _with(f"{operation} was refused: {error.message}{status}", running.notes)
            ) from error
        except ValidationError as error:
            raise ToolError(
                f"MCP server {self.specification.name} answered {operation} with something that is no MCP result; its operator has to look"
            ) from error

    async def stop(self) -> None:
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait((self._refreshing,))
        await asyncio.gather(*(each.stop() for each in self._connections.values()))

    # -- requests

    async def _answer(self, operation: str, arguments: dict[str, Any], running: RunningCall) -> Result:
        repeatable = self._repeatable(operation)
        connection = await self._connection_of(running.call)
        if operation == self.connect:
            await connection.request(running, list_tools, repeatable=True)
            return Result(text=CONNECTED)
        if self.specification.resources and operation == self.list_resources:
            return await connection.request(running, _list_resources, repeatable=True)  # type: ignore[no-any-return]
        if self.specification.resources and operation == self.read_resource:
            uri = str(arguments.get("uri", ""))
            found = await connection.request(
                running, lambda client: client.read_resource(uri), repeatable=True
            )
            return resource_result(found.contents)
        first, task = await self._ledger.begin(running.call)
        if task is None and not first and not repeatable:
            raise ToolError(INTERRUPTED.format(operation=operation))
        if task is None:
            try:
                return result_of(
                    await self._call_tool(connection, operation, arguments, running), running.notes
                )
            except Lost:
                _, task = await self._ledger.begin(running.call)
                if task is None:
                    raise
        return result_of(await self._follow(connection, task, running), running.notes)

    async def _follow(self, connection: Connection, task: str, running: RunningCall) -> CallToolResult:
        """See a task through, for as long as the call has patience, whatever becomes of the connection."""

        def send(client: Client) -> Awaitable[CallToolResult]:
            return follow(client.session, task, running, self.stopping)

        while True:
            try:
                return await connection.request(running, send, repeatable=True)  # type: ignore[no-any-return]
            except (Lost, ToolsetError) as error:
                log.info("task of call %s: %s", running.call.id, error)
                await asyncio.sleep(TASK_RETRY)

    async def _call_tool(
        self, connection: Connection, operation: str, arguments: dict[str, Any], running: RunningCall
    ) -> CallToolResult:
        name = operation.removeprefix(self.specification.prefix)
        repeatable = self._repeatable(operation)

        def send(client: Client) -> Awaitable[CallToolResult]:
            return client.call_tool(name, arguments, progress_callback=running.progress)

        try:
            return await connection.request(running, send, repeatable=repeatable)  # type: ignore[no-any-return]
        except MCPError as error:
            if error.code != URL_ELICITATION_REQUIRED or not await _visited(running, error):
                raise
            return await connection.request(running, send, repeatable=repeatable)  # type: ignore[no-any-return]
        except (
            RuntimeError
        ) as error:  # the SDK's way to say that a result breaks the tool's own output schema, or never comes
            raise ToolError(f"{operation}: {error}") from error

    def _repeatable(self, operation: str) -> bool:
        annotations = self.listing.annotations.get(operation, {})
        return bool(annotations.get("readOnly") or annotations.get("idempotent"))

    # -- the list

    async def _list(self) -> None:
        name = self.specification.name
        within = self.specification.start_timeout
        connection = await self._connection_for_lists()
        try:
            client = await connection.client()
            async with asyncio.timeout(within):
                tools = await connection.request(None, list_tools, repeatable=True)
        except ToolsetError:
            if not connection.access_needed:
                raise
            about = "Its tools are there once a user has granted access."
            self.listing = Listing([self._connect_tool()], about)
            return
        except TimeoutError:
            connection.discard(client)
            raise ToolsetError(f"MCP server {name} did not list its tools within {within:g} s") from None
        except EndlessList as error:
            raise ToolsetError(f"MCP server {name} cannot be used: {error}") from error
        except (Lost, MCPError) as error:
            raise ToolsetError(f"MCP server {name} did not list its tools: {error}") from error
        except ValidationError as error:
            raise ToolsetError(f"MCP server {name} lists its tools in a way that is not MCP") from error
        entries, left_out = offered(tools, self.specification.prefix)
        if self.specification.resources and client.server_capabilities.resources is not None:
            entries += self._resource_tools()
        if not entries:
            reason = (
                f"none of its tools can be offered: {'; '.join(left_out)}" if left_out else "it has no tools"
            )
            raise ToolsetError(f"MCP server {name}: {reason}"[:2_000])
        about = client.instructions or (client.server_info.description if client.server_info else None) or ""
        if left_out:
            log.warning("MCP server %s: not offered: %s", name, "; ".join(left_out))
            about = f"{about}\nNot offered: {'; '.join(left_out)}".strip()
        annotations = {entry["name"]: entry["annotations"] for entry in entries}
        self.listing = Listing(entries, about[:LONGEST_DESCRIPTION], annotations)

    def _connect_tool(self) -> dict[str, Any]:
        name = self.specification.name
        return {
            "name": self.connect,
            "description": f"Ask the user for access to {name}, whose tools cannot be used without. Conversations that begin afterwards have them.",
            "inputSchema": {"type": "object", "properties": {}, "additionalProperties": False},
            "annotations": {"requiresAuth": name},
        }

    def _resource_tools(self) -> list[dict[str, Any]]:
        name = self.specification.name
        uri = {"type": "string", "description": "As listed, or as another tool named it."}
        return [
            {
                "name": self.list_resources,
                "description": f"The resources of {name}: addresses of what can be read with {self.read_resource}.",
                "inputSchema": {"type": "object", "properties": {}, "additionalProperties": False},
                "annotations": {"readOnly": True},
            },
            {
                "name": self.read_resource,
                "description": f"Read a resource of {name}.",
                "inputSchema": {
                    "type": "object",
                    "properties": {"uri": uri},
                    "required": ["uri"],
                    "additionalProperties": False,
                },
                "annotations": {"readOnly": True},
            },
        ]

    def _extensions(self) -> Sequence[ClientExtension]:
        return (Tasks(self._ledger, self.stopping),)

    def _authorization(self) -> Authorization | None:
        """For a server that is reached by URL, and whose operator has not settled the matter."""
        specification = self.specification
        settled = any(name.lower() == "authorization" for name in specification.headers)
        return Authorization(specification.url, self._ledger) if specification.url and not settled else None

    def _connected(self, user: str) -> Connection:
        """A user's own connection. Where nobody has to grant anything, there is one for all."""
        if user not in self._connections:
            web = partial(self._web, user) if self.specification.url is not None else None
            self._connections[user] = Connection(self.specification, self._extensions, web)
        return self._connections[user]

    def _web(self, user: str, unhurried: Unhurried) -> WebServer:
        specification = self.specification
        assert specification.url is not None
        provider = self.authorization.provider(user, unhurried) if self.authorization is not None else None
        return WebServer(specification.url, specification.headers, provider)

    async def _connection_of(self, call: Call) -> Connection:
        if self.authorization is None or not (self._connection.access_needed or await self._ledger.users()):
            return self._connection
        return self._connected(f"user {call.user_id}" if call.user_id is not None else "")

    async def _connection_for_lists(self) -> Connection:
        """Of anybody who has granted access: the tools are the same for all."""
        users = await self._ledger.users() if self.authorization is not None else []
        return self._connected(users[0]) if users else self._connection


async def _list_resources(client: Client) -> Result:
    lines = []
    for each in await list_resources(client):
        kind = f" ({each.mime_type})" if each.mime_type else ""
        about = f": {each.description}" if each.description else ""
        lines.append(f"{each.uri} {each.name}{kind}{about}")
    try:
        templates = (await client.list_resource_templates()).resource_templates
    except MCPError as error:  # not every server with resources has templates
        if error.code != METHOD_NOT_FOUND:
            raise
        templates = []
    lines += [f"{each.uri_template} {each.name} (fill in the braces)" for each in templates]
    return Result(text="\n".join(lines) or "There are none.")


async def _visited(running: RunningCall, error: MCPError) -> bool:
    """A call that the server makes wait for pages the user has to visit first."""
    for page in UrlElicitationRequiredError.from_error(error.error).elicitations:
        if (await questions.answer(running, page)).action != "accept":
            return False
    return True


def _with(text: str, notes: Sequence[str]) -> str:
    return "\n".join([text, *notes])
