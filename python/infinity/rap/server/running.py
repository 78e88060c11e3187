"""Running one function so that it always comes to an end here, whatever it does: raise, block, never return, swallow its cancellation."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .call import ToolError
from .turn import Turn

log = logging.getLogger("infinity.rap.server")


class Functions:
    """Those that run. Cancelled ones stay here until they have really ended."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    async def run(
        self,
        name: str,
        function: Callable[..., Any],
        arguments: dict[str, Any],
        turn: Turn,
        seconds: float | None,
    ) -> Any:
        """What the function returns or raises. ``ToolError`` if it takes longer than ``seconds``, or is cancelled but not by us."""
        await turn.take()
        task = asyncio.create_task(_guarded(name, function, arguments, turn), name=f"function {name}")
        self._running.add(task)
        task.add_done_callback(self._ended)
        try:
            async with asyncio.timeout(seconds) as turn.deadline:
                # Not awaited itself: a function that swallows its cancellation would keep us here.
                await asyncio.wait({task})
        except TimeoutError:
            log.error(
                "%s took longer than %s s and is cancelled; a blocking call in it may go on", name, seconds
            )
            raise ToolError(
                f"{name} took longer than {seconds:g} s and was stopped; it may or may not have taken effect"
            ) from None
        finally:
            turn.deadline = None
            if not task.done():
                turn.cancelled.set()
                task.cancel()
        if task.cancelled():
            raise ToolError(f"{name} failed: something that it waited for was cancelled")
        return task.result()

    async def stop(self, grace: float) -> None:
        """Give what was cancelled a moment to clean up (seconds)."""
        if self._running:
            for task in self._running:
                task.cancel()
            await asyncio.wait(self._running, timeout=grace)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # one that nobody waits for any more is not worth a warning


async def _guarded(name: str, function: Callable[..., Any], arguments: dict[str, Any], turn: Turn) -> Any:
    try:
        if inspect.iscoroutinefunction(function):
            try:
                return await function(**arguments)
            finally:
                turn.give_back()
        value = await in_thread(functools.partial(function, **arguments), turn.give_back)
        return await value if inspect.isawaitable(value) else value
    except (Exception, asyncio.CancelledError):
        raise
    except BaseException as error:  # sys.exit() in a tool ends the call, not the server
        raise ToolError(f"{name} failed: {type(error).__name__}: {error}") from error


async def in_thread(function: Callable[[], Any], ended: Callable[[], None]) -> Any:
    """Run a function in a thread of its own; ``ended`` is called when it has really ended, which may be after we were cancelled.

    Not in a pool: functions that hang would use it up, and would keep the process from exiting.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def settle(value: Any, error: BaseException | None) -> None:
        ended()
        if future.done():
            return
        if isinstance(error, StopIteration):  # which futures do not carry
            error = RuntimeError("StopIteration")
        future.set_result(value) if error is None else future.set_exception(error)

    def run() -> None:
        value, failure = None, None
        try:
            value = context.run(function)
        except BaseException as error:  # noqa: BLE001  it is raised where the function was called
            failure = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(settle, value, failure)

    try:
        threading.Thread(target=run, daemon=True, name="tool function").start()
    except RuntimeError:
        ended()
        raise
    return await future
