"""Figures of the agent function for CloudWatch: one line of its log per batch, in the embedded metric format.
That takes no request and no permission.

``counting`` begins a batch, and whatever runs in it adds to ``figures()``; ``write`` ends it. What the
figures raise alarms for is here too (``FAILING``), so that the construct and the tests speak of the same
alarm. A process that dies writes nothing: Lambda counts its error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infinity._core import Delta
    from infinity.abc import Observer

__all__ = [
    "FAILING",
    "METRICS",
    "NAMESPACE",
    "Counting",
    "Figures",
    "Threshold",
    "counting",
    "figures",
    "write",
]

NAMESPACE = "Infinity"
DIMENSION = "FunctionName"
METRICS = {
    "FailedSlices": "Count",
    "Completions": "Count",
    "Tokens": "Count",
    "Dollars": "None",
    "CommitToDone": "Milliseconds",
    "Receives": "Count",
}
"""Units by name. ``CommitToDone``: until everything that a commit recorded had left; ``Receives``: how often
a message had come."""
_MOST = 100
"""Values of one metric in a line."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """An alarm on the sum of a metric: at least ``least`` in ``breaching`` of the last ``periods``, each of
    so many ``seconds``.
    """

    metric: str
    least: int
    seconds: int
    periods: int
    breaching: int


FAILING = Threshold("FailedSlices", least=1, seconds=300, periods=3, breaching=2)
"""Failures that go on. One that a retry mends within minutes wakes nobody."""


@dataclass(slots=True)
class Figures:
    """What one batch did. ``done_after`` is in milliseconds, ``receives`` counts deliveries, ``microdollars``
    are 1e-6 USD.
    """

    failed: int = 0
    completions: int = 0
    tokens: int = 0
    microdollars: int = 0
    done_after: list[int] = field(default_factory=list)
    receives: list[int] = field(default_factory=list)

    def line(self, function: str, now: int) -> str:
        """The line for the log, in CloudWatch's embedded metric format.

        Args:
            function: Name of the function, the one dimension of all metrics.
            now: Milliseconds since the epoch.
        """
        values: dict[str, Any] = {
            "FailedSlices": self.failed,
            "Completions": self.completions,
            "Tokens": self.tokens,
            "Dollars": self.microdollars / 1_000_000,
            "CommitToDone": self.done_after[:_MOST],
            "Receives": self.receives[:_MOST],
        }
        # An empty list of values makes CloudWatch reject the whole line.
        values = {name: value for name, value in values.items() if value != []}
        about = {
            "Namespace": NAMESPACE,
            "Dimensions": [[DIMENSION]],
            "Metrics": [{"Name": name, "Unit": METRICS[name]} for name in values],
        }
        embedded = {"Timestamp": now, "CloudWatchMetrics": [about]}
        return json.dumps({"_aws": embedded, DIMENSION: function, **values})


_current: ContextVar[Figures | None] = ContextVar("infinity_figures", default=None)


@contextmanager
def counting() -> Iterator[Figures]:
    """Begin the figures of a batch: whatever runs in this task, and in tasks that it starts, adds to them."""
    found = Figures()
    token = _current.set(found)
    try:
        yield found
    finally:
        _current.reset(token)


def figures() -> Figures:
    """Those of the batch that runs; of none, outside of one."""
    return _current.get() or Figures()


def write(environment: Mapping[str, str], found: Figures, now: int) -> None:
    """Print the figures of a batch as one line, if ``INFINITY_METRICS`` is set, as the construct does.

    Args:
        environment: The function's variables.
        found: What was counted.
        now: Milliseconds since the epoch.
    """
    if environment.get("INFINITY_METRICS"):
        _print(found.line(environment.get("AWS_LAMBDA_FUNCTION_NAME", "agent"), now))


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Counting:
    """``abc.Observer`` in front of another one: what was bought is counted as it becomes durable.

    Args:
        behind: The observer that every call is passed on to.
    """

    def __init__(self, behind: Observer) -> None:
        self._behind = behind

    def live(self, thread: str, kind: str, data: dict[str, Any]) -> None:
        self._behind.live(thread, kind, data)

    def committed(self, change: Delta) -> None:
        """Count what a commit bought, then pass it on.

        Args:
            change: The commit; ``spent`` is tokens and millionths of a dollar.
        """
        # Here and not at the model: what is counted is what the thread's budget was charged with.
        found = figures()
        tokens, microdollars = change.spent
        found.tokens += tokens
        found.microdollars += microdollars
        found.completions += sum(
            json.loads(body)["rounds"] for _, kind, body in change.feed if kind == "slice"
        )
        self._behind.committed(change)

    def gate(self, step: str) -> None:
        self._behind.gate(step)
