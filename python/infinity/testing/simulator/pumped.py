"""A store with threads of its own, made deterministic: each operation is carried out at once while the simulation stands still."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from infinity._core import Delta, Journal, Message
from infinity.abc import Accepted
from infinity.readable import readable
from infinity.stores.sqlite.store import JournalStore
from infinity.stores.sqlite.wakeup import Wakeup

__all__ = ["PumpedStore", "PumpedWakeup"]

T = TypeVar("T")

_LONGEST = 60.0
"""Seconds. No operation of a small journal takes as long."""


class PumpedWakeup(Wakeup):
    def start(self) -> None:
        """The loop does not look; the store does, while it carries something out."""


class PumpedStore:
    """``abc.Store`` over a real journal on disk."""

    def __init__(self, path: Path, wakeup: Wakeup, committed: Callable[[Delta], None]) -> None:
        self.path = path
        self._committed = committed
        self.accepted: list[tuple[str, str]] = []
        """Thread and id of what was accepted in this life."""
        self.is_open = True
        self._wakeup = wakeup
        self._journal = Journal.open(str(path), wakeup.wake)
        self._store = JournalStore(self._journal, wakeup, gathers=False)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not callable(found):
            return found

        async def done(*given: Any, **how: Any) -> Any:
            return self._now(found(*given, **how))

        return done

    @property
    def orphaned(self) -> Callable[[Sequence[Message]], None]:
        return self._store.orphaned

    @orphaned.setter
    def orphaned(self, put: Callable[[Sequence[Message]], None]) -> None:
        self._store.orphaned = put

    async def commit(self, delta: Delta) -> list[Message]:
        messages = self._now(self._store.commit(delta))
        self._committed(delta)
        return messages

    async def accept(self, *given: Any, **how: Any) -> Accepted:
        accepted = self._now(self._store.accept(*given, **how))
        if accepted.message is not None:
            self.accepted.append((accepted.message.thread, accepted.message.id))
        return accepted

    async def close(self) -> None:
        """In order, with the mark that says so."""
        self._journal.close()
        self.is_open = False

    def release(self) -> None:
        """Give the file back; what a killed process left of it was copied before."""
        self._journal.close()

    def _now(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it to its end, whatever it waits for in the core."""
        try:
            while True:
                future = work.send(None)
                while not future.done():
                    assert readable(self._wakeup.wake.fileno(), _LONGEST), "the journal has not answered"
                    self._wakeup._readable()
        except StopIteration as end:
            result: T = end.value
            return result
