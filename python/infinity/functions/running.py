"""Running one function so that it always comes to an end here.

The function may do anything: raise, block, never return, swallow its cancellation, call ``sys.exit``.
The host of functions (``tools/functions.py``) and the tool server (``rap/server/work.py``) run theirs
here. The event loop never waits for a function itself, only for a task with a deadline; a blocking
function runs in a thread of its own, which nobody can stop, and which therefore must hold nothing that
others need.
"""

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
    """One function that is to be run.

    ``function`` takes no arguments any more. ``finish`` makes of its value what is wanted of it, in a
    thread if that may take time. ``turn`` is its place among those that run. ``seconds`` is the time
    that it may take; ``None``: any.
    """

    name: str
    function: Callable[[], Any]
    finish: Callable[[Any], Any]
    turn: Turn
    seconds: float | None


class Runner:
    """The functions of one host that run. Cancelled ones stay here until they have really ended."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    async def run(self, work: Work) -> Any:
        """Run one function to its end, or to the end of its time.

        Args:
            work: the function; its ``turn`` is taken here, which may wait.

        Returns:
            What ``work.finish`` made of the value.

        Raises:
            ToolError: it takes too long, gets no place, is cancelled but not by us, or raises what is
                no ``Exception``.
            Exception: whatever else the function raised.
        """
        turn = work.turn
        await turn.take()
        # A task of its own: if the caller is cancelled, the function hears of it and the caller need not wait
        # for it.
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
                # For functions in threads, which cannot be cancelled and may look at this instead.
                turn.cancelled.set()
                task.cancel()
        if task.cancelled():
            raise ToolError(f"{work.name} failed: something that it waited for was cancelled")
        return task.result()

    async def stop(self, grace: float) -> None:
        """Cancel what runs and give it a moment to clean up. What blocks in a thread goes on.

        Args:
            grace: seconds.
        """
        if self._running:
            for task in self._running:
                task.cancel()
            await asyncio.wait(self._running, timeout=grace)


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it makes a coroutine.

    Args:
        function: a function, a ``partial``, or an object with ``__call__``.
    """
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004
    )


async def _guarded(work: Work) -> Any:
    try:
        if is_async(work.function):
            try:
                value = await work.function()
            finally:
                # At once: what follows is our work, and must not keep a place from another function.
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
