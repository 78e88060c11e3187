"""Amazon EventBridge, as far as a rule that invokes a function again and again at a rate."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from .clock import Alarm, Timeline
from .failure import AwsError
from .lambdas import Function
from .lambdas.events import Events
from .protocols import JsonService, Operation

__all__ = ["Rules"]


class Rules(JsonService):
    """A rule is named like its function. ``disabled``: those that do nothing when their time has come."""

    name = "events"
    target = "AWSEvents"
    version = "1.1"
    namespace = "com.amazonaws.events"

    def __init__(self, timeline: Timeline, events: Events) -> None:
        super().__init__()
        self._timeline = timeline
        self._events = events
        self._alarms: dict[str, Alarm] = {}
        self.disabled: set[str] = set()

    def offered(self) -> dict[str, Operation]:
        return {"DescribeRule": self._describe, "EnableRule": self._enable, "DisableRule": self._disable}

    def _describe(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        name = self._found(arguments)
        return {"Name": name, "State": "DISABLED" if name in self.disabled else "ENABLED"}

    def _enable(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        self.disabled.discard(self._found(arguments))
        return {}

    def _disable(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        self.disabled.add(self._found(arguments))
        return {}

    def _found(self, arguments: Mapping[str, Any]) -> str:
        name = str(arguments.get("Name", ""))
        if name not in self._alarms:
            raise AwsError("ResourceNotFoundException", f"Rule {name} does not exist on EventBus default.")
        return name

    def every(self, seconds: float, function: Function) -> Callable[[], None]:
        """Invoke a function at a rate from now on, the first time when one period is over.

        Args:
            seconds: The period, by the emulator's clock.
            function: The target. Its name becomes the rule's.

        Returns:
            Stops it.
        """
        name = function.name

        def fire() -> None:
            # A disabled rule keeps its rhythm, and does nothing when its time has come.
            if name not in self.disabled:
                self._events.accept(function, _event(self._timeline.now()))
            self._alarms[name] = self._timeline.at(self._timeline.now() + int(seconds * 1000), fire)

        self._alarms[name] = self._timeline.at(self._timeline.now() + int(seconds * 1000), fire)
        return lambda: self._alarms[name].cancel()


def _event(now: int) -> bytes:
    moment = datetime.fromtimestamp(now / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.dumps({"source": "aws.events", "detail-type": "Scheduled Event", "time": moment}).encode()
