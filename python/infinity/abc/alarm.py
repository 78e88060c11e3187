"""An alarm: what sees to it that a thread's timers wake it.

One armed alarm in the daemon, delay queues and schedules on AWS.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Alarm(Protocol):
    """Told of what is durable already: losing what it holds loses nothing, because the store has the
    timers (L14).
    """

    def arm(self, thread: str, timers: Iterable[tuple[str, int]], cancelled: Iterable[str] = ()) -> None:
        """Hear of timers that a commit set or took back. Called after the commit, never before it.

        Args:
            thread: whose timers they are.
            timers: id and due time (ms since the epoch) of those that were set.
            cancelled: ids of those that were taken back. Firing one all the same is harmless: its row
                is gone.
        """
        ...
