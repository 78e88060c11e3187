"""``GET /metrics``: what happened and how much there is, in Prometheus' text format. Names and counts only (S9)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_GAUGES = {
    "threads": "Threads that exist.",
    "entries": "Entries of all histories.",
    "inbox": "Messages that are durable and not yet in a history.",
    "outbox": "Recorded calls and notices that have not left yet.",
    "timers": "Timers that are set.",
    "seen": "Message ids remembered against duplicates.",
    "discards": "Messages that were discarded, with their reason on record.",
    "prompts": "Questions to the user that are open.",
}
STEPS = {"loaded": "slices", "committed": "commits", "sent": "deliveries", "accepted": "messages"}
_STEP_HELP = {
    "slices": "Slices that were begun.",
    "commits": "Commits of slices.",
    "deliveries": "Outbox rows that left.",
    "messages": "Messages that were accepted.",
}


class Metrics:
    """Counters of this process since it started."""

    def __init__(self) -> None:
        self._steps: Counter[str] = Counter()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._callbacks: Counter[str] = Counter()

    def step(self, step: str) -> None:
        """A slice or delivery reached one of ``STEPS`` (``abc.Observer.gate``)."""
        self._steps[STEPS[step]] += 1

    def request(self, method: str, route: str, status: int) -> None:
        """``route``: the pattern, never the path, which holds ids and tokens."""
        self._requests[method, route, status] += 1

    def callback(self, status: str) -> None:
        self._callbacks[status] += 1

    def render(self, counts: Mapping[str, int], *, watching: int) -> str:
        """``counts``: the store's; ``watching``: open event streams."""
        lines: list[str] = []
        for name, text in _GAUGES.items():
            if name in counts:
                _family(lines, f"infinity_{name}", "gauge", text, [("", counts[name])])
        _family(lines, "infinity_event_streams", "gauge", "Event streams that are open.", [("", watching)])
        for name, text in _STEP_HELP.items():
            _family(lines, f"infinity_{name}_total", "counter", text, [("", self._steps[name])])
        callbacks = [(f'{{status="{status}"}}', count) for status, count in sorted(self._callbacks.items())]
        _family(lines, "infinity_callbacks_total", "counter", "Callbacks by outcome.", callbacks)
        requests = [
            (f'{{method="{method}",route="{route}",status="{status}"}}', count)
            for (method, route, status), count in sorted(self._requests.items())
        ]
        _family(
            lines, "infinity_http_requests_total", "counter", "HTTP requests by route and status.", requests
        )
        return "\n".join(lines) + "\n"


def _family(lines: list[str], name: str, kind: str, text: str, samples: list[tuple[str, int]]) -> None:
    lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    lines += [f"{name}{labels} {value}" for labels, value in samples]
