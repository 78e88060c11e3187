"""A call while the MCP server works on it: its time, its progress, and what else the model is to be told.

``bridge`` opens one for each call; ``connection``, ``tasks`` and ``questions`` report to it. Its clock
stands still while a person is asked, so that nobody's thinking is taken for a server that has died.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from infinity.rap.server import Call, ToolError

PROGRESS = "progress"
"""The view under which clients see how far a call is."""
BETWEEN_VIEWS = 1.0


class RunningCall:
    """One call in a session. Use it as ``async with``.

    Args:
        call: The invocation.
        tool: The tool's name, for texts.
        patience: Seconds without a sign of life after which the call is given up. Time in which a person is
            asked does not count.

    Raises:
        ToolError: on leaving the block, if the server showed no sign of life for so long.
    """

    def __init__(self, call: Call, tool: str, patience: float) -> None:
        self.call = call
        self.notes: list[str] = []
        """Sentences for the model, put after the result."""
        self.http_status: int | None = None
        """Of the last answer that was an error."""
        self._tool = tool
        self._patience = patience
        self._waiting = 0
        self._counting = False
        self._limit = asyncio.timeout(None)
        self._viewed = float("-inf")

    async def __aenter__(self) -> RunningCall:
        await self._limit.__aenter__()
        self._counting = True
        self._wind_up()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._counting = False
        try:
            await self._limit.__aexit__(*error)  # type: ignore[arg-type]
        except TimeoutError:
            raise ToolError(
                f"{self._tool} gave no sign of life for {self._patience:g} s and was cancelled; it may or may not have taken effect"
            ) from None

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Stop the clock while a person is asked. May be nested: the clock goes on when the last question is
        answered.
        """
        self._waiting += 1
        self._wind_up()
        try:
            yield
        finally:
            self._waiting -= 1
            self._wind_up()

    def alive(self) -> None:
        """The server has given a sign of life."""
        self._wind_up()

    async def progress(self, progress: float, total: float | None, message: str | None) -> None:
        """Show people what the server reports, at most once a second and when it is complete. It is a sign of
        life.

        Args:
            progress: How far the call is, in units of the server's own.
            total: In the same units, if the server knows it.
            message: The server's words, if any.
        """
        self._wind_up()
        now = asyncio.get_running_loop().time()
        if now - self._viewed < BETWEEN_VIEWS and progress != total:
            return
        self._viewed = now
        await self.call.view(
            PROGRESS,
            {
                "call_id": self.call.id,
                "tool": self._tool,
                "progress": progress,
                "total": total,
                "message": message,
            },
        )

    def _wind_up(self) -> None:
        # A limit that has expired cannot be set again; the cancellation is on its way then.
        if self._counting and not self._limit.expired():
            now = asyncio.get_running_loop().time()
            self._limit.reschedule(None if self._waiting else now + self._patience)


current: ContextVar[RunningCall | None] = ContextVar("mcp_call", default=None)
"""The call on whose behalf something is sent. The HTTP transport hands what comes back the same context."""
