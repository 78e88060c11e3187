"""Running one function so that it always comes to an end here, whatever it does: raise, block, never return, swallow its cancellation."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from infinity.supervision import in_thread, shared

from .failure import ToolError, error_text
from .rendering import is_plain
from .turn import Turn

__all__ = ["Runner", "Work", "is_async"]

log = logging.getLogger("infinity.functions")

SLOW_AFTER = 5.0
"""Seconds after which a function is a slow one, and makes room for quick ones."""


@dataclass(frozen=True, slots=True)
class Work:
    """``function`` without arguments; ``finish`` makes of its value what is wanted of it, in its thread if that may take time. ``seconds`` that it may take."""

    name: str
    function: Callable[[], Any]
    finish: Callable[[Any], Any]
    turn: Turn
    seconds: float | None


class Runner:
    """Those that run. Cancelled ones stay here until they have really ended."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    async def run(self, work: Work) -> Any:
        """What the function returns, finished, or what it raises. ``ToolError`` if it takes too long, is cancelled but not by us, or raises what is no ``Exception``."""
        turn = work.turn
        await turn.take()
        task = shared(_guarded(work), f"function {work.name}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            async with asyncio.timeout(work.seconds) as turn.deadline:
                # Not awaited itself: a function that swallows its cancellation would keep us here.
                await asyncio.wait({task}, timeout=SLOW_AFTER)
                if not task.done():
                    await turn.make_room()
                    await asyncio.wait({task})
        except TimeoutError:
            log.error(
                "%s took longer than %s s and is cancelled; a blocking call in it may go on",
                work.name,
                work.seconds,
            )
            raise ToolError(
                f"{work.name} took longer than {work.seconds:g} s and was stopped; it may or may not have taken effect"
            ) from None
        finally:
            turn.deadline = None
            if not task.done():
                turn.cancelled.set()
                task.cancel()
        if task.cancelled():
            raise ToolError(f"{work.name} failed: something that it waited for was cancelled")
        return task.result()

    async def stop(self, grace: float) -> None:
        """Give what was cancelled a moment to clean up (seconds)."""
        if self._running:
            for task in self._running:
                task.cancel()
            await asyncio.wait(self._running, timeout=grace)


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it makes a coroutine: also an object's ``__call__``, or a ``partial``."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004
    )


async def _guarded(work: Work) -> Any:
    try:
        if is_async(work.function):
            try:
                value = await work.function()
            finally:
                work.turn.give_back()
            return await _finished(work, value)
        value, finished = await in_thread(functools.partial(_called, work), work.turn.give_back)
        return value if finished else await _finished(work, await value)
    except (Exception, asyncio.CancelledError):
        raise
    except BaseException as error:  # sys.exit() in a tool ends the call, not the process
        raise ToolError(error_text(work.name, error).removeprefix("Error: ")) from error


def _called(work: Work) -> tuple[Any, bool]:
    """In its thread."""
    value = work.function()
    return (value, False) if inspect.isawaitable(value) else (work.finish(value), True)


async def _finished(work: Work, value: Any) -> Any:
    return work.finish(value) if is_plain(value) else await in_thread(functools.partial(work.finish, value))
