"""The feed of a daemon that counts what passes."""

from __future__ import annotations

from infinity.abc import Store
from infinity.feed import Feed

from .metrics import STEPS, Metrics

__all__ = ["MeteredFeed"]


class MeteredFeed(Feed):
    def __init__(self, store: Store, metrics: Metrics) -> None:
        super().__init__(store)
        self._metrics = metrics

    def gate(self, step: str) -> None:
        if step in STEPS:
            self._metrics.step(step)
