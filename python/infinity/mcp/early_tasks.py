"""Tasks as they were in 2025-11-25.

The client asks for one, and fetches the result by a request of its own, over which the server asks the
user. ``bridge`` begins such tasks, ``tasks.follow`` sees them through. What the SDK offers only below its
public interface is used here and nowhere else.
"""

from __future__ import annotations

import asyncio
from typing import Any

from mcp.client import Client, ClientSession
from mcp.shared.dispatcher import CallOptions
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    CancelTaskRequest,
    CancelTaskRequestParams,
    CreateTaskResult,
    GetTaskPayloadRequest,
    GetTaskPayloadRequestParams,
    GetTaskRequest,
    GetTaskRequestParams,
    GetTaskResult,
    Result,
    TaskMetadata,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import TypeAdapter

from infinity.supervision import shared

from .calls import RunningCall
from .ledger import KEEP_SECONDS

_created: TypeAdapter[CreateTaskResult | CallToolResult] = TypeAdapter(CreateTaskResult | CallToolResult)


def knows_tasks(client: Client) -> bool:
    """Whether a server takes calls as tasks in the way of 2025-11-25.

    Args:
        client: After the handshake, when its version and capabilities are known.
    """
    tasks = client.server_capabilities.tasks
    tools = tasks.requests.tools if tasks is not None and tasks.requests is not None else None
    early = client.protocol_version not in MODERN_PROTOCOL_VERSIONS
    return early and tools is not None and tools.call is not None


async def begin(
    session: ClientSession, name: str, arguments: dict[str, Any], running: RunningCall
) -> str | CallToolResult:
    """Make the call as a task.

    Args:
        session: The SDK's session.
        name: The tool's name at the server, without the prefix.
        arguments: The tool's.
        running: The call, which shows progress.

    Returns:
        The task's id, or the result from a server that thinks better of it.

    Raises:
        MCPError: what the server answered.
    """
    params = CallToolRequestParams(name=name, arguments=arguments, task=TaskMetadata(ttl=KEEP_SECONDS * 1000))
    data = CallToolRequest(params=params).model_dump(by_alias=True, mode="json", exclude_none=True)
    options: CallOptions = {"on_progress": running.progress}
    # Below the session's ``send_request``, which takes nothing but a tool's result for an answer to this
    # method.
    session._stamp(data, options)
    answer = _created.validate_python(
        await session._dispatcher.send_raw_request(data["method"], data["params"], options), by_name=False
    )
    return answer.task.task_id if isinstance(answer, CreateTaskResult) else answer


class EarlyTask:
    """A task at a server of 2025-11-25; see ``tasks.Asked``."""

    def __init__(self, session: ClientSession, task: str) -> None:
        self._session = session
        self._task = task
        self._fetching: asyncio.Task[CallToolResult] | None = None

    async def state(self) -> GetTaskResult:
        return await self._session.send_request(
            GetTaskRequest(params=GetTaskRequestParams(task_id=self._task)), GetTaskResult
        )

    def pause(self, state: GetTaskResult) -> float | None:
        return None if state.poll_interval is None else state.poll_interval / 1000

    async def answer(self, state: GetTaskResult) -> None:
        """The questions come while the result is waited for; that it takes long must not keep the asking from
        going on.
        """
        if self._fetching is None:
            self._fetching = shared(self._fetch(), f"result of task {self._task}")
        elif self._fetching.done():
            self._fetching.result()  # refused; a result would have come with another status

    async def result(self, state: GetTaskResult) -> CallToolResult:
        """Of a task that failed: the error that the call would have met."""
        if self._fetching is not None:
            try:
                return await self._fetching
            except MCPError:
                if state.status == "failed":
                    raise
        return await self._fetch()

    async def cancel(self) -> None:
        await self._session.send_request(
            CancelTaskRequest(params=CancelTaskRequestParams(task_id=self._task)), Result
        )

    async def aclose(self) -> None:
        # Waited for, so that no request of this task outlives the session that it was sent in.
        if self._fetching is not None and not self._fetching.done():
            self._fetching.cancel()
            await asyncio.wait((self._fetching,))

    async def _fetch(self) -> CallToolResult:
        return await self._session.send_request(
            GetTaskPayloadRequest(params=GetTaskPayloadRequestParams(task_id=self._task)), CallToolResult
        )
