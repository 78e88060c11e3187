"""A clock. Time enters the engine only here, so that the same engine runs in a simulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    def now(self) -> int:
        """Milliseconds since the Unix epoch."""
        ...

    def wake_at(self, due_at: int | None, due: Callable[[], None]) -> None:
        """Call ``due`` in the event loop at this time (past: soon). One alarm: a later call replaces it; ``None`` disarms."""
        ...

    async def sleep(self, seconds: float) -> None:
        """For back-off inside a slice or delivery; never for an agent's waiting."""
        ...
