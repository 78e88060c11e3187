"""How tool servers have answered since this process began: whether they do, since when, the last error, and how long they take.

In memory only. What counts is whether a server answers at all: a refusal is an answer, which its call is told of.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from infinity.abc import Delivery, Verdict
from infinity.api.under_way import ServerHealth

__all__ = ["HealthBook"]

_KEPT = 500
"""Answers of a server that its times are told from."""
_LONGEST = 500
"""Characters of an error."""


def _now() -> int:
    return int(time.time() * 1000)


@dataclass(slots=True)
class _Server:
    answers: bool | None = None
    since: int | None = None
    last_ok: int | None = None
    last_error: str | None = None
    failed_at: int | None = None
    took: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))


class HealthBook:
    """By the base URLs of servers."""

    def __init__(self, now: Callable[[], int] = _now) -> None:
        """``now``: ms since the epoch."""
        self._now = now
        self._servers: dict[str, _Server] = {}

    def note(self, base_url: str, delivery: Delivery, seconds: float) -> None:
        """Take down how one try went.

        Args:
            base_url: of the server.
            delivery: its outcome.
            seconds: what it took, with the wait for a free place among the requests to the server.
        """
        found, now = self._servers.setdefault(base_url, _Server()), self._now()
        answers = delivery.verdict is not Verdict.FAILED
        if answers is not found.answers:
            found.answers, found.since = answers, now
        if delivery.verdict is Verdict.DELIVERED:
            found.last_ok = now
        else:
            found.last_error, found.failed_at = delivery.detail[:_LONGEST], now
        if answers:
            found.took.append(seconds * 1000)

    def of(self, base_url: str) -> ServerHealth:
        """What is known of a server.

        Args:
            base_url: one of which nothing is known may be named, too.
        """
        found = self._servers.get(base_url, _Server())
        state = {None: "unknown", True: "answers", False: "fails"}[found.answers]
        took = sorted(found.took)
        return ServerHealth(
            state=state,
            since=found.since,
            last_ok_at=found.last_ok,
            last_error=found.last_error,
            last_error_at=found.failed_at,
            answers=len(took),
            p50_ms=_share(took, 50),
            p95_ms=_share(took, 95),
        )


def _share(took: list[float], percent: int) -> int | None:
    """What so many of a hundred did not take longer than."""
    return round(took[(len(took) * percent + 99) // 100 - 1]) if took else None
