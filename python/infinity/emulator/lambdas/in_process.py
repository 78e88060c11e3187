"""An environment that is a callable in this process: fast, on the emulator's clock, and killed only as far as
Python allows.

A coroutine is cancelled where it waits. A plain function runs in a thread, which cannot be stopped: its
result is dropped.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import traceback
from typing import Any

from ..clock import Timeline
from .context import Context
from .invocation import Invocation, Outcome, failed
from .settings import FunctionSettings, Handler

__all__ = ["InProcess"]


class InProcess:
    """One environment. The handler is made at the first run, and kept.

    Args:
        settings: With ``start``, or a callable as ``handler``.
        arn: Of the function.
        timeline: Deadlines are by this clock.
    """

    def __init__(self, settings: FunctionSettings, arn: str, timeline: Timeline) -> None:
        self._settings = settings
        self._arn = arn
        self._timeline = timeline
        self._handler: Handler | None = None
        self._ended: asyncio.Future[Outcome] | None = None
        self.alive = True

    async def run(self, invocation: Invocation) -> Outcome:
        timeline, seconds = self._timeline, self._settings.timeout
        deadline = timeline.now() + int(seconds * 1000)
        ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._ended = ended
        alarm = timeline.at(
            deadline, lambda: self._end(failed("Sandbox.Timedout", _timed_out(invocation, seconds)))
        )
        task = asyncio.create_task(self._call(invocation, deadline))
        try:
            await asyncio.wait([task, ended], return_when=asyncio.FIRST_COMPLETED)
            # Killed or out of time: the coroutine is cancelled where it waits, and whatever it would have
            # returned is dropped.
            if ended.done():
                task.cancel()
                return ended.result()
            return task.result()
        finally:
            task.cancel()
            alarm.cancel()
            self._ended = None

    def kill(self) -> None:
        """End what runs with the outcome that Lambda has for a killed process. The environment is not used
        again.
        """
        self._end(failed("Runtime.ExitError", "Error: Runtime exited with error: signal: killed"))

    async def close(self) -> None:
        self.kill()

    def _end(self, outcome: Outcome) -> None:
        self.alive = False
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(outcome)

    async def _call(self, invocation: Invocation, deadline: int) -> Outcome:
        settings = self._settings
        context = Context(
            invocation.id, settings.name, self._arn, settings.memory, deadline, self._timeline.now
        )
        try:
            if self._handler is None:
                self._handler = settings.start() if settings.start is not None else _callable(settings)
            # Through JSON both ways, so that what could not travel to a real function fails here as well.
            result = await _run(self._handler, json.loads(invocation.payload or b"null"), context)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is the function's error
            trace = traceback.format_exception(error)
            return failed(type(error).__name__, str(error), requestId=invocation.id, stackTrace=trace)
        try:
            return Outcome(json.dumps(result).encode())
        except (TypeError, ValueError) as error:
            return failed(
                "Runtime.MarshalError", f"Unable to marshal response: {error}", requestId=invocation.id
            )


def _callable(settings: FunctionSettings) -> Handler:
    assert callable(settings.handler), "a handler's name needs a process"
    return settings.handler


async def _run(handler: Handler, event: Any, context: Context) -> Any:
    if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__):
        return await handler(event, context)
    return await asyncio.to_thread(handler, event, context)


def _timed_out(invocation: Invocation, seconds: float) -> str:
    return f"RequestId: {invocation.id} Error: Task timed out after {seconds:.2f} seconds"
