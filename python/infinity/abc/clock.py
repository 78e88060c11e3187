"""A clock. Time enters the engine only here, so that the same engine runs in a simulator.

Code of the engine calls neither ``time.time`` nor ``asyncio.sleep``; both would pass unseen by the
simulator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """The wall clock of one host, and the one alarm that may wake it (I9)."""

    def now(self) -> int:
        """Milliseconds since the Unix epoch."""
        ...

    def wake_at(self, due_at: int | None, due: Callable[[], None]) -> None:
        """Arm the one alarm of this clock. A later call replaces the earlier one.

        Args:
            due_at: ms since the epoch; a time that has passed fires soon, not within this call.
                ``None`` disarms.
            due: called in the event loop, once. It must not block and must not raise.
        """
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait inside a slice or a delivery, as a back-off.

        An agent's own waiting is never a sleep: it is a timer in the store, which survives a restart
        (L14).

        Args:
            seconds: how long; a simulated clock passes them without waiting.
        """
        ...
