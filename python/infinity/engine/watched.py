"""Steps of slices, watched one by one: what holds the event loop is known by its thread, whatever it does there (L17)."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any, Protocol, TypeVar

__all__ = ["Unwatched", "Watch", "watched"]

T = TypeVar("T")


class Watch(Protocol):
    """``infinity._core.HeldLoop``, where a host has one."""

    def enter(self, thread: str, /) -> None: ...

    def leave(self) -> None: ...

    def rest(self) -> None: ...


class Unwatched:
    """For hosts whose slices are bounded from outside, or whose loop is somebody else's."""

    def enter(self, thread: str, /) -> None: ...

    def leave(self) -> None: ...

    def rest(self) -> None: ...


def watched(watch: Watch, thread: str, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
    """The same work for a task of its own, each of its steps between ``enter`` and ``leave``."""
    return work if isinstance(watch, Unwatched) else _Steps(watch, thread, work)


class _Steps(Coroutine[Any, Any, T]):
    __slots__ = ("_thread", "_watch", "_work")

    def __init__(self, watch: Watch, thread: str, work: Coroutine[Any, Any, T]) -> None:
        self._watch, self._thread, self._work = watch, thread, work

    def send(self, value: Any) -> Any:
        self._watch.enter(self._thread)
        try:
            return self._work.send(value)
        finally:
            self._watch.leave()

    def throw(self, *what: Any) -> Any:
        self._watch.enter(self._thread)
        try:
            return self._work.throw(*what)
        finally:
            self._watch.leave()

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Generator[Any, Any, T]:
        return self._work.__await__()
