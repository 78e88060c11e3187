"""Work in the background: every task and every thread of ours begins here, so that none ends unheard (B11).

What raises in a task that nobody awaits is logged; what must not end is begun again after a back-off. A
test looks for tasks that are made elsewhere.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from infinity.backoff import Backoff

__all__ = ["in_thread", "shared", "spawn", "survivable", "tend"]

log = logging.getLogger("infinity.background")

T = TypeVar("T")

BACKOFF = Backoff(first=1.0, longest=60.0)

_kept: set[asyncio.Task[Any]] = set()
"""Until they end: the event loop itself holds tasks weakly."""


def spawn(
    work: Coroutine[Any, Any, T], name: str, *, context: contextvars.Context | None = None
) -> asyncio.Task[T]:
    """Begin a task that nobody awaits. What it raises is logged (B11).

    Args:
        work: Begun in the current event loop, at its next turn.
        name: For logs, and for who looks at tasks.
        context: By default a copy of the current one.
    """
    return _begin(work, name, _logged, context)


def shared(work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
    """Begin a task whose outcome others wait for, or nobody any more: what it raises is theirs, and is not
    logged.

    Args:
        work: Begun in the current event loop, at its next turn.
        name: For who looks at tasks.
    """
    return _begin(work, name, _seen, None)


def tend(
    work: Callable[[], Coroutine[Any, Any, None]],
    name: str,
    *,
    backoff: Backoff = BACKOFF,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> asyncio.Task[None]:
    """Run something to its end, again after each failure. Only a cancellation of the task ends it early.

    Args:
        work: Makes a new coroutine for each attempt.
        name: For logs.
        backoff: Between attempts.
        sleep: Waits for so many seconds; a host gives its clock's.
    """

    async def tended() -> None:
        failures = 0
        while True:
            try:
                return await work()
            except (Exception, asyncio.CancelledError) as error:
                # A cancellation of something that the work waits for is a failure like any other.
                if not survivable(error):
                    raise
                wait = backoff.wait(failures)
                log.exception("%s failed (%d in a row), begun again in %.1f s", name, failures + 1, wait)
            failures += 1
            await sleep(wait)

    return spawn(tended(), name)


def survivable(error: BaseException) -> bool:
    """Whether the current task goes on after an error: after all but its own cancellation.

    Args:
        error: What was caught. A ``CancelledError`` may be of something that the task waited for, which
            others cancelled.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() == 0
    return isinstance(error, Exception)


async def in_thread(function: Callable[[], T], ended: Callable[[], None] = lambda: None) -> T:
    """Run a function in a thread of its own.

    Not in a pool, asyncio's least of all: functions that hang would use it up, and would keep the process
    from exiting (B12).

    Args:
        function: Called once, with a copy of the current context.
        ended: Called in the event loop when the function has really ended, which may be after we were
            cancelled.

    Returns:
        What the function returned.

    Raises:
        Exception: what the function raised.
        RuntimeError: if the system has no thread left.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
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
        # A daemon thread: it cannot be stopped, and must not keep the process alive.
        threading.Thread(target=run, daemon=True, name="infinity function").start()
    except RuntimeError:
        ended()
        raise
    return await future


def _begin(
    work: Coroutine[Any, Any, T],
    name: str,
    ended: Callable[[asyncio.Task[Any]], None],
    context: contextvars.Context | None,
) -> asyncio.Task[T]:
    task = asyncio.get_running_loop().create_task(work, name=name, context=context)
    _kept.add(task)
    task.add_done_callback(ended)
    return task


def _logged(task: asyncio.Task[Any]) -> None:
    _kept.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s ended by an error that nobody expected", task.get_name(), exc_info=error)


def _seen(task: asyncio.Task[Any]) -> None:
    _kept.discard(task)
    # Asked for, or asyncio would complain that nobody did.
    if not task.cancelled():
        task.exception()
