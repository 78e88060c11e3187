"""MCP tasks: the server answers a call with a handle, and is asked now and then whether it is done.

The agent sleeps meanwhile. The handle is on record, so that the asking goes on after a restart of the
bridge. Here: the extension ``io.modelcontextprotocol/tasks`` of 2026-07-28; ``early_tasks`` has those of
2025-11-25.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Literal, Protocol

from mcp.client import ClientSession
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.session import ClientRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, ErrorData, InputRequest, Request, RequestParams, Result
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

from infinity.rap.server import ToolError

from .calls import RunningCall, current
from .early_tasks import EarlyTask
from .ledger import Ledger

EXTENSION = "io.modelcontextprotocol/tasks"
SHORTEST, USUAL, LONGEST = 0.2, 2.0, 60.0
"""Seconds between two questions; the server may suggest others within these bounds."""
CANCEL_SECONDS = 1.0

_input_request: TypeAdapter[InputRequest] = TypeAdapter(InputRequest)


class TaskState(Result):
    """What ``tasks/get`` tells."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow")

    task_id: str
    status: Literal["working", "input_required", "completed", "failed", "cancelled"]
    status_message: str | None = None
    poll_interval_ms: int | None = None
    input_requests_: dict[str, Any] | None = Field(default=None, alias="inputRequests")
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class CreatedTask(Result):
    """What a call is answered with instead of its result."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow")

    result_type: Literal["task"] = "task"
    task_id: str
    poll_interval_ms: int | None = None


class TaskParams(RequestParams):
    task_id: str = Field(alias="taskId")
    input_responses: dict[str, Any] | None = Field(default=None, alias="inputResponses")


class TaskRequest(Request[TaskParams, str]):
    """``tasks/get``, ``tasks/update`` or ``tasks/cancel``; servers in a cluster are found by the task's id."""

    name_param = "taskId"


class Tasks(ClientExtension):
    """Tells servers that they may answer with tasks, and sees them through."""

    identifier = EXTENSION

    def __init__(self, ledger: Ledger, stopping: asyncio.Event) -> None:
        self._ledger = ledger
        self._stopping = stopping

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=CreatedTask, resolve=self._resolve)]

    async def _resolve(self, created: CreatedTask, context: ClaimContext) -> CallToolResult:
        running = current.get()
        assert running is not None, "tools are called in the context of a call"
        # On record before it is asked about: after a crash the task is found, and the call is not sent again.
        await self._ledger.is_task(running.call, created.task_id)
        return await follow(context.session, created.task_id, running, self._stopping)


class State(Protocol):
    """What there is to know about a task in either version."""

    status: Literal["working", "input_required", "completed", "failed", "cancelled"]
    status_message: str | None


class Asked(Protocol):
    """A task at the server, in either version.

    ``pause`` gives the seconds between two questions that the server suggests, if it does. ``answer`` sees
    to questions of the server. ``result`` is asked for once, when the task has ended. ``cancel`` ends it
    there, ``aclose`` only here.
    """

    async def state(self) -> State: ...
    def pause(self, state: Any) -> float | None: ...
    async def answer(self, state: Any) -> None: ...
    async def result(self, state: Any) -> CallToolResult: ...
    async def cancel(self) -> None: ...
    async def aclose(self) -> None: ...


async def follow(
    session: ClientSession, task: str, running: RunningCall, stopping: asyncio.Event
) -> CallToolResult:
    """Ask until a task has ended.

    When the caller is cancelled, so is the task, unless it is only this bridge that is ``stopping``.

    Args:
        session: The SDK's session; its protocol version decides how tasks are asked about.
        task: The server's id.
        running: The call. Each answer is a sign of life, and what the server says is shown as progress.
        stopping: Set when the bridge stops; the task then goes on, and is asked about at the next start.

    Returns:
        The result of the call that became the task.

    Raises:
        ToolError: if the server cancelled the task.
        MCPError: what the server answered, also for a task that failed.
    """
    modern = session.protocol_version in MODERN_PROTOCOL_VERSIONS
    asked: Asked = Task(session, task) if modern else EarlyTask(session, task)
    try:
        while True:
            state = await asked.state()
            running.alive()
            match state.status:
                case "completed" | "failed":
                    return await asked.result(state)
                case "cancelled":
                    raise ToolError(
                        f"the server cancelled the task: {state.status_message or 'it did not say why'}"
                    )
                case "input_required":
                    await asked.answer(state)
                case "working" if state.status_message:
                    await running.progress(0, None, state.status_message)
            suggested = asked.pause(state)
            await asyncio.sleep(USUAL if suggested is None else min(max(suggested, SHORTEST), LONGEST))
    except asyncio.CancelledError:
        if not stopping.is_set():
            # Best effort within a second: the caller has gone, and the bridge may be about to end.
            with contextlib.suppress(MCPError, TimeoutError):
                async with asyncio.timeout(CANCEL_SECONDS):
                    await asked.cancel()
        raise
    finally:
        await asked.aclose()


class Task:
    """Since 2026-07-28: questions and results are part of its state."""

    def __init__(self, session: ClientSession, task: str) -> None:
        self._session = session
        self._task = task
        self._answered: set[str] = set()

    async def state(self) -> TaskState:
        request = TaskRequest(method="tasks/get", params=TaskParams(taskId=self._task))
        return await self._session.send_request(request, TaskState)

    def pause(self, state: TaskState) -> float | None:
        return None if state.poll_interval_ms is None else state.poll_interval_ms / 1000

    async def answer(self, state: TaskState) -> None:
        """Put each question once; the server may list it until it has taken notice of the answer."""
        responses: dict[str, Any] = {}
        for key, request in (state.input_requests_ or {}).items():
            if key in self._answered:
                continue
            context = ClientRequestContext(session=self._session, request_id=key)
            response = await self._session.dispatch_input_request(
                context, _input_request.validate_python(request, by_name=False)
            )
            if isinstance(response, ErrorData):
                raise MCPError.from_error_data(response)
            responses[key] = response.model_dump(by_alias=True, mode="json", exclude_none=True)
        if responses:
            await self._send("tasks/update", TaskParams(taskId=self._task, inputResponses=responses))
            # Only when the server has them: answers that could not be sent are asked for again.
            self._answered |= responses.keys()

    async def result(self, state: TaskState) -> CallToolResult:
        if state.status == "failed":
            raise MCPError.from_error_data(ErrorData.model_validate(state.error or {}))
        return CallToolResult.model_validate(state.result or {}, by_name=False)

    async def cancel(self) -> None:
        await self._send("tasks/cancel", TaskParams(taskId=self._task))

    async def aclose(self) -> None:
        """Nothing goes on besides."""

    async def _send(self, method: str, params: TaskParams) -> None:
        await self._session.send_request(TaskRequest(method=method, params=params), Result)
