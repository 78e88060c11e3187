"""The feed of a daemon that counts what passes."""

from __future__ import annotations

from typing import Any

from infinity._core import Delta
from infinity.abc import Store
from infinity.all_events import AllEvents
from infinity.feed import Feed

from .live_rows import STATES, LiveRows
from .metrics import STEPS, Metrics

__all__ = ["MeteredFeed"]


class MeteredFeed(Feed):
    """Tells those who follow one thread, and those who follow all."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        super().__init__(store)
        self.all_events = AllEvents(store)
        self.rows = LiveRows(self.all_events.followers)
        self._metrics = metrics

    def live(self, thread: str, kind: str, data: dict[str, Any]) -> None:
        super().live(thread, kind, data)
        self.all_events.live(thread, kind, data)
        if kind in STATES:
            self.rows.changed(thread)

    def committed(self, change: Delta) -> None:
        super().committed(change)
        self.all_events.committed(change)
        self.rows.changed(change.thread)

    def close(self) -> None:
        super().close()
        self.all_events.close()

    def gate(self, step: str) -> None:
        if step in STEPS:
            self._metrics.step(step)
