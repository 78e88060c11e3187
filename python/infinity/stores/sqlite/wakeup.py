"""The one reason why a resting daemon wakes: a single file descriptor in the event loop.

The core signals it for finished store work, for a thread that became ready and for the alarm. Nothing
here ticks (I9).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from infinity._core import Wake

__all__ = ["Wakeup"]

log = logging.getLogger("infinity.local")


class Wakeup:
    """Watches a ``Wake`` and tells who is interested.

    Listeners run in the event loop in the order of their registration: the store first, so that what it
    finished is visible to the mailbox and the clock that are told after it.
    """

    def __init__(self, wake: Wake) -> None:
        """Watch nothing yet; ``start`` does.

        Args:
            wake: the core's descriptor, owned by the caller.
        """
        self.wake = wake
        self._listeners: list[Callable[[], None]] = []
        self._alarms: list[Callable[[], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def on_signal(self, listener: Callable[[], None]) -> None:
        """Call this listener whenever the descriptor became readable, for whatever reason.

        Args:
            listener: runs in the event loop; it must not block, and must not raise.
        """
        self._listeners.append(listener)

    def on_alarm(self, listener: Callable[[], None]) -> None:
        """Call this listener when the alarm went off or the wall clock was stepped.

        Args:
            listener: as for ``on_signal``; called after those.
        """
        self._alarms.append(listener)

    def start(self) -> None:
        """Watch in the running event loop. Starting twice is harmless."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self.wake.fileno(), self._readable)

    def stop(self) -> None:
        """Watch no longer; what finishes from now on is heard by nobody."""
        if self._loop is not None:
            self._loop.remove_reader(self.wake.fileno())
            self._loop = None

    def _readable(self) -> None:
        # Drained before the listeners look: what finishes while they look makes the descriptor readable
        # again.
        alarm = self.wake.drain()
        for listener in [*self._listeners, *(self._alarms if alarm else ())]:
            try:
                listener()
            except Exception:
                # The others must hear of it all the same: an alarm that nobody heard does not ring again
                # (B11).
                log.exception("a listener of the wake-up descriptor failed")
