"""Between the two protocols: which MCP request an invocation is, and what its answer or failure means for the
model.

The toolset of the kit calls ``Bridge.call`` for every invocation. Before a call is sent it is in the
ledger, and one that may have taken effect is sent again only if its tool says that it may be repeated.
Every failure ends as a ``ToolError`` with words for the model; nothing that a server sends may end the
bridge.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from mcp.client import Client
from mcp.shared.exceptions import MCPError, UrlElicitationRequiredError
from mcp_types import METHOD_NOT_FOUND, URL_ELICITATION_REQUIRED, CallToolResult
from pydantic import ValidationError

from infinity.errors import ToolsetError
from infinity.rap.server import Call, Result, ToolError

from . import questions
from .calls import RunningCall
from .catalogue import Catalogue
from .connection import Connection, Lost
from .connections import Connections
from .content import resource_result, result_of
from .early_tasks import begin, knows_tasks
from .ledger import Ledger
from .listing import EndlessList, list_resources, list_templates, list_tools
from .specification import ServerSpecification
from .tasks import follow

log = logging.getLogger("infinity.mcp")

TASK_RETRY = 5.0
CONNECTED = "Access is granted. The tools are offered in conversations that begin from now on."
INTERRUPTED = (
    "the bridge to the MCP server was restarted while {operation} was running; it may or may not have taken effect. "
    "Check before trying again."
)


class Bridge:
    """One MCP server, from the side of RAP: invocations in, results out.

    Args:
        specification: How the server is reached and offered.
        ledger: Which calls were sent; opened and closed by the caller.
    """

    def __init__(self, specification: ServerSpecification, ledger: Ledger) -> None:
        self.specification = specification
        self.stopping = asyncio.Event()
        """Set before calls are cancelled because the bridge stops: they go on at the next start."""
        self._ledger = ledger
        self._connections = Connections(
            specification, ledger, self.stopping, lambda: self.catalogue.changed()
        )
        self.catalogue = Catalogue(specification, self._connections)
        self.authorization = self._connections.authorization

    async def call(self, operation: str, arguments: Mapping[str, Any], call: Call) -> Result:
        """Make the call and wait for its answer, for as long as the server shows signs of life.

        Args:
            operation: The tool's name as the manifest lists it, with the prefix.
            arguments: Checked by the runtime against the tool's schema already.
            call: The invocation, by which people can be asked and shown things.

        Returns:
            What the model gets.

        Raises:
            ToolError: tells the model what went wrong and what it may do (M2). Nothing else is raised for
                what the server does.
        """
        name = self.specification.name
        running = RunningCall(call, operation, self.specification.call_timeout)
        try:
            async with running:
                return await self._answer(operation, dict(arguments), running)
        except Lost as error:
            effect = "; it may or may not have taken effect, check before trying again" if error.done else ""
            raise ToolError(f"MCP server {name} {error} while {operation} was running{effect}") from error
        except ToolsetError as error:
            raise ToolError(str(error)) from error
        except EndlessList as error:
            raise ToolError(f"{operation}: {error}") from error
        except MCPError as error:
            status = f" (HTTP {running.http_status})" if running.http_status is not None else ""
            refused = f"{operation} was refused: {error.message}{status}"
            raise ToolError(_with(refused, [*running.notes, *self._gone(operation)])) from error
        except ToolError as error:
            gone = self._gone(operation)
            if gone:
                raise ToolError(_with(str(error), gone)) from error
            raise
        except ValidationError as error:
            # The places only: the values are the server's answer, which may not be logged (S9).
            places = {".".join(map(str, each["loc"])) for each in error.errors(include_input=False)}
            log.warning(
                "MCP server %s answered %s with something that is not an MCP result: wrong at %s",
                name,
                operation,
                ", ".join(sorted(places))[:500],
            )
            raise ToolError(
                f"MCP server {name} answered {operation} with something that is not an MCP result; its operator has to look"
            ) from error

    async def stop(self) -> None:
        await self.catalogue.stop()
        await self._connections.stop()

    # -- requests

    async def _answer(self, operation: str, arguments: dict[str, Any], running: RunningCall) -> Result:
        connection = await self._connections.of(running.call)
        if operation == self.catalogue.connect:
            await connection.request(running, list_tools, repeatable=True)
            return Result(text=CONNECTED)
        if self.specification.resources and operation == self.catalogue.list_resources:
            return await connection.request(running, _list_resources, repeatable=True)  # type: ignore[no-any-return]
        if self.specification.resources and operation == self.catalogue.read_resource:
            uri = str(arguments.get("uri", ""))
            found = await connection.request(
                running, lambda client: client.read_resource(uri), repeatable=True
            )
            return resource_result(found.contents)
        # On record before it is sent (I5). A call that was on record already was sent before a restart, and
        # is sent again only if the tool says that it may be repeated.
        first, task = await self._ledger.begin(running.call)
        if task is None and not first and not await self._repeatable(operation):
            raise ToolError(INTERRUPTED.format(operation=operation))
        if task is None:
            try:
                return result_of(
                    await self._call_tool(connection, operation, arguments, running), running.notes
                )
            except Lost:
                # If the server had made the call a task before the connection was lost, the task goes on, and
                # is asked about.
                _, task = await self._ledger.begin(running.call)
                if task is None:
                    raise
        return result_of(await self._follow(connection, task, running), running.notes)

    async def _follow(self, connection: Connection, task: str, running: RunningCall) -> CallToolResult:
        """See a task through, for as long as the call has patience, whatever becomes of the connection.

        It never gives up by itself: ``RunningCall`` ends it when the server has shown no sign of life for
        too long.
        """

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
        repeatable = await self._repeatable(operation)

        async def send(client: Client) -> CallToolResult:
            # Looked up inside the request, because a repeat in a new session may find that the first one
            # became a task.
            _, task = await self._ledger.begin(running.call)
            if task is None and await self._as_task(operation, client):
                answer = await begin(client.session, name, arguments, running)
                if isinstance(answer, CallToolResult):
                    return answer
                task = answer
                await self._ledger.is_task(running.call, task)
            if task is not None:
                return await follow(client.session, task, running, self.stopping)
            return await client.call_tool(name, arguments, progress_callback=running.progress)

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

    async def _repeatable(self, operation: str) -> bool:
        annotations = (await self.catalogue.known()).annotations.get(operation, {})
        return bool(annotations.get("readOnly") or annotations.get("idempotent"))

    async def _as_task(self, operation: str, client: Client) -> bool:
        """Where a task is what the tool demands, or outlasts the connection, which it does not at the end of
        a pipe.
        """
        if not knows_tasks(client):
            return False
        support = (await self.catalogue.known()).tasks.get(operation)
        return support == "required" or (support == "optional" and self.specification.url is not None)

    def _gone(self, operation: str) -> list[str]:
        """What a model should know whose tools are those of an earlier day."""
        offered = [entry["name"] for entry in self.catalogue.listing.entries]
        if not offered or operation in offered:
            return []
        return [
            f"{self.specification.name} offers no tool {operation} at present. What it offers: {', '.join(offered)[:2_000]}"
        ]


async def _list_resources(client: Client) -> Result:
    found, left_out = await list_resources(client)
    lines = []
    for each in found:
        kind = f" ({each.mime_type})" if each.mime_type else ""
        about = f": {each.description}" if each.description else ""
        lines.append(f"{each.uri} {each.name}{kind}{about}")
    if left_out:
        lines.append(f"… and {left_out} more, which are not listed here.")
    try:
        templates = await list_templates(client)
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
