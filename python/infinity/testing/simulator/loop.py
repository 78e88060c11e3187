"""An event loop in which time does not pass by itself: it goes on to whatever is due next as soon as nothing else is left to do.

``asyncio.sleep``, time-outs and ``call_later`` follow the virtual time, so a wait of three days takes no time, and the same work always runs in the
same order.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

__all__ = ["OWNER", "SimulatedLoop", "Stalled"]

T = TypeVar("T")

OWNER: ContextVar[object] = ContextVar("OWNER", default=None)
"""The process of the simulation in which a task runs; inherited by the tasks that it begins."""
_REAL_WAIT = 10.0
"""Seconds. The longest that a function in a thread of its own is waited for."""
_THREAD = "infinity function"


class Stalled(Exception):
    """Nothing is left to run, and nothing is due: what the simulation waits for never comes."""


class _Selector(selectors.DefaultSelector):
    """Waits only for threads, which are outside the virtual time."""

    loop: SimulatedLoop

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0)
        if found or timeout == 0:
            return found
        if any(thread.name == _THREAD for thread in threading.enumerate()):
            return super().select(_REAL_WAIT)
        if timeout is None:
            raise Stalled("nothing is left to run, and nothing is due")
        self.loop.elapsed += timeout
        return found


class SimulatedLoop(asyncio.SelectorEventLoop):
    """``elapsed``: virtual seconds since the loop was made."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)
        self._owners: WeakKeyDictionary[asyncio.Task[Any], object] = WeakKeyDictionary()
        self.set_task_factory(self._make)  # type: ignore[arg-type]

    def time(self) -> float:
        return self.elapsed

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> Any:  # type: ignore[override]
        """At once, here: a pool of threads has an order of its own."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  it is raised where the future is awaited
            future.set_exception(error)
        return future

    def tasks_of(self, owner: object) -> list[asyncio.Task[Any]]:
        """The tasks that a process of the simulation has begun and that have not ended, oldest first."""
        return [task for task, of in list(self._owners.items()) if of is owner and not task.done()]

    def _make(
        self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T], **how: Any
    ) -> asyncio.Task[T]:
        context = how.get("context")
        task = asyncio.Task(work, loop=loop, **how)
        owner = OWNER.get() if context is None else context.get(OWNER)
        if owner is not None:
            self._owners[task] = owner
        return task
