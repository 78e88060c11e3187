"""Amazon EventBridge, as far as a rule that invokes a function again and again at a rate."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

from .clock import Alarm, Timeline
from .lambdas import Function
from .lambdas.events import Events

__all__ = ["Rules"]


class Rules:
    def __init__(self, timeline: Timeline, events: Events) -> None:
        self._timeline = timeline
        self._events = events
        self._alarms: dict[str, Alarm] = {}

    def every(self, seconds: float, function: Function) -> Callable[[], None]:
        """Invoke the function at this rate from now on, the first time when one period is over. Gives the way to stop that."""
        name = function.name

        def fire() -> None:
            self._events.accept(function, _event(self._timeline.now()))
            self._alarms[name] = self._timeline.at(self._timeline.now() + int(seconds * 1000), fire)

        self._alarms[name] = self._timeline.at(self._timeline.now() + int(seconds * 1000), fire)
        return lambda: self._alarms[name].cancel()


def _event(now: int) -> bytes:
    moment = datetime.fromtimestamp(now / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.dumps({"source": "aws.events", "detail-type": "Scheduled Event", "time": moment}).encode()
