"""Both directions of moving, as a daemon has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from infinity.abc import Clock
from infinity.api.threads import absent
from infinity.errors import MoveFailed
from infinity.runtime import Runtime

from ..toolsets import ServerSet
from .arrivals import Arrivals
from .departures import Departures

__all__ = ["Absent", "Moves"]


class Absent(NamedTuple):
    """Why a thread cannot be reached here. ``for_good``: asking again here will not help."""

    text: str
    for_good: bool


class Moves:
    """``gate``: passed at each step of a move, for tests that let it fail there."""

    def __init__(self, runtime: Runtime, servers: ServerSet, clock: Clock, home: Path) -> None:
        self._store = runtime.store
        self.gate: Callable[[str], None] = lambda _: None
        self.departures = Departures(runtime, servers, clock, home, lambda step: self.gate(step))
        self.arrivals = Arrivals(runtime, self.departures.welcome_back, self.departures.leaving)
        runtime.deletions.check = self._check_deletable

    async def recover(self) -> None:
        """Before the runtime starts: what was under way when the last process ended is put in order."""
        await self.departures.recover()
        await self.arrivals.recover()

    def _check_deletable(self, root: str) -> None:
        """Where a tree lives that is being moved is decided by the move alone."""
        if self.departures.leaving(root) or self.arrivals.resting(root):
            raise MoveFailed(f"{root} is being moved; delete it where it is when that is done")
        if (left := self.departures.left(root)) is not None:
            raise MoveFailed(f"{left.text}; delete it there")

    async def close(self) -> None:
        await self.departures.close()

    async def absent(self, thread: str) -> Absent | None:
        """``None`` if the thread can be reached, or if there never was such a thread."""
        if (left := self.departures.left(thread)) is not None:
            return Absent(left.text, for_good=True)
        row = await self._store.thread(thread)
        note = await self._store.retired(row.root) if row is not None else None
        if row is None or (text := absent(row.root, note)) is None:
            return None
        soon = self.departures.leaving(row.root) or self.arrivals.resting(row.root)
        return Absent(text, for_good=not soon)
