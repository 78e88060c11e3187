"""MCP tasks (``io.modelcontextprotocol/tasks``): the server answers a call with a handle, and is asked now and then whether it is done.

The agent sleeps meanwhile. The handle is on record, so that the asking goes on after a restart of the bridge.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Literal

from mcp.client import ClientSession
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.session import ClientRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, ErrorData, InputRequest, Request, RequestParams, Result
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

from infinity.rap.server import ToolError

from .calls import RunningCall, current
from .ledger import Ledger

EXTENSION = "io.modelcontextprotocol/tasks"
SHORTEST, USUAL, LONGEST = 0.2, 2.0, 60.0
"""Seconds between two questions; the server may suggest others within these bounds."""

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
        await self._ledger.is_task(running.call, created.task_id)
        return await follow(context.session, created.task_id, running, self._stopping)


async def follow(
    session: ClientSession, task: str, running: RunningCall, stopping: asyncio.Event
) -> CallToolResult:
    """Ask until the task has ended. Cancelled: so is the task, unless it is only this bridge that is ``stopping``."""
    answered: set[str] = set()
    try:
        while True:
            state = await _get(session, task)
            running.alive()
            match state.status:
                case "completed":
                    return CallToolResult.model_validate(state.result or {}, by_name=False)
                case "failed":
                    raise MCPError.from_error_data(ErrorData.model_validate(state.error or {}))
                case "cancelled":
                    raise ToolError(
                        f"the server cancelled the task: {state.status_message or 'it did not say why'}"
                    )
                case "input_required":
                    await _answer(session, state, answered)
                case "working" if state.status_message:
                    await running.progress(0, None, state.status_message)
            await asyncio.sleep(_pause(state))
    except asyncio.CancelledError:
        if stopping.is_set():
            raise
        with contextlib.suppress(MCPError, TimeoutError):
            async with asyncio.timeout(1.0):
                await _send(session, "tasks/cancel", TaskParams(taskId=task))
        raise


async def _answer(session: ClientSession, state: TaskState, answered: set[str]) -> None:
    """Put each question once; the server may list it until it has taken notice of the answer."""
    responses: dict[str, Any] = {}
    for key, request in (state.input_requests_ or {}).items():
        if key in answered:
            continue
        context = ClientRequestContext(session=session, request_id=key)
        response = await session.dispatch_input_request(
            context, _input_request.validate_python(request, by_name=False)
        )
        if isinstance(response, ErrorData):
            raise MCPError.from_error_data(response)
        responses[key] = response.model_dump(by_alias=True, mode="json", exclude_none=True)
    if responses:
        await _send(session, "tasks/update", TaskParams(taskId=state.task_id, inputResponses=responses))
        answered |= responses.keys()


async def _get(session: ClientSession, task: str) -> TaskState:
    return await session.send_request(
        TaskRequest(method="tasks/get", params=TaskParams(taskId=task)), TaskState
    )


async def _send(session: ClientSession, method: str, params: TaskParams) -> None:
    await session.send_request(TaskRequest(method=method, params=params), Result)


def _pause(state: TaskState) -> float:
    suggested = USUAL if state.poll_interval_ms is None else state.poll_interval_ms / 1000
    return min(max(suggested, SHORTEST), LONGEST)
