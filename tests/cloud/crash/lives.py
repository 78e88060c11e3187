"""The life of one process that is played in this one: everything that it begins is known, so that it can be ended as SIGKILL ends a process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar, copy_context
from typing import Any, TypeVar
from weakref import WeakSet

from infinity.aws.breaker import Breaker

T = TypeVar("T")

BURIED_WITHIN = 10.0
_BETWEEN = 0.05

_current: ContextVar[Life | None] = ContextVar("life", default=None)


class Died(asyncio.CancelledError):
    """Raised where a process ended: nothing after it runs, and nobody handles it."""


class Life:
    """``connections``: to the database. ``closing``: what gives back this process's sockets once it is over."""

    def __init__(self) -> None:
        self.tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
        self.connections: list[Any] = []
        self.closing: list[Callable[[], Awaitable[object]]] = []
        self.breaker = Breaker("dynamodb")
        self.over = False
        self.ended = asyncio.Event()

    def run(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Work of this process."""
        context = copy_context()
        context.run(_current.set, self)
        return asyncio.create_task(work, context=context)

    def end(self) -> None:
        """At once: its connections are cut, and no task of it goes on."""
        if self.over:
            return
        self.over = True
        self.ended.set()
        for connection in self.connections:
            connection.terminate()
        for task in list(self.tasks):
            if task is not asyncio.current_task():
                task.cancel()

    async def bury(self) -> None:
        """Wait until nothing of it is left; a task that survives its process fails the test."""
        async with asyncio.timeout(BURIED_WITHIN):
            while left := [task for task in self.tasks if not task.done()]:
                for task in left:
                    task.cancel()
                await asyncio.wait(left, timeout=_BETWEEN)
        for close in self.closing:
            await close()


def current() -> Life | None:
    """The process that runs now; ``None``: the test itself."""
    return _current.get()


def watch_over(loop: asyncio.AbstractEventLoop) -> None:
    """From now on every task is counted among what its process has begun."""

    def begin(loop: asyncio.AbstractEventLoop, work: Any, **how: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **how)
        context = how.get("context")
        life = _current.get() if context is None else context.get(_current)
        if life is not None:
            life.tasks.add(task)
            if life.over:
                task.cancel()
        return task

    loop.set_task_factory(begin)
