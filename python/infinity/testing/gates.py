"""Crash gates: pull the plug at a step of the engine, for real, so that recovery is tested and not
believed.

``INFINITY_CRASH_GATE=committed:2`` kills the process with SIGKILL when the second commit is through;
see ``abc.Observer.gate`` for the steps. ``INFINITY_CRASH_AFTER_MS=137`` kills it that long after its
parts are put together, wherever it is. ``infinity daemon run`` honours both. Nothing here may clean up:
a crash does not.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

from infinity._core import Delta
from infinity.abc import Observer
from infinity.errors import ConfigError

STEPS = (
    "accepted",
    "loaded",
    "prepared",
    "completed",
    "dispatched",
    "committed",
    "sending",
    "posted",
    "sent",
    "fired",
    "delivered",
    "notified",
    "woken",
    "yielded",
)
"""Steps of a slice or delivery.

``delivered``, ``notified`` and ``woken`` are passed on the cloud host only, which flushes the effects
of a commit before it yields.
"""

DELETING = ("marked", "warned", "erased", "compacted")
"""Steps of a deletion."""

GATE = "INFINITY_CRASH_GATE"
"""The variable with a step and the time that it is passed."""
AFTER = "INFINITY_CRASH_AFTER_MS"
"""The variable with a number of milliseconds."""


class CrashGates:
    """An observer in front of another one, which dies at the given gate."""

    def __init__(self, behind: Observer, step: str, times: int) -> None:
        """Stand in front of an observer.

        Args:
            behind: hears everything first, also of the step that kills.
            step: one of ``STEPS`` or ``DELETING``.
            times: which time that it is passed kills; at least 1.

        Raises:
            ConfigError: there is no such step.
        """
        if step not in STEPS + DELETING:
            raise ConfigError(
                f"{GATE}: there is no step {step!r}; the steps are {', '.join(STEPS + DELETING)}"
            )
        self._behind = behind
        self._step = step
        self._left = times

    def live(self, thread: str, kind: str, data: dict[str, Any]) -> None:
        self._behind.live(thread, kind, data)

    def committed(self, change: Delta) -> None:
        self._behind.committed(change)

    def gate(self, step: str) -> None:
        # First: what stands behind has seen the step when the plug is pulled.
        self._behind.gate(step)
        if step == self._step:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def armed(observer: Observer) -> Observer:
    """The observer, behind the gate that the environment asks for, if it asks for one.

    Args:
        observer: of the host.

    Raises:
        ConfigError: the environment asks for nonsense.
    """
    after = os.environ.get(AFTER)
    if after:
        timer = threading.Timer(_number(AFTER, after) / 1000, os.kill, (os.getpid(), signal.SIGKILL))
        # A process that ends before its time must not wait for it.
        timer.daemon = True
        timer.start()
    asked = os.environ.get(GATE)
    if not asked:
        return observer
    step, _, times = asked.partition(":")
    return CrashGates(observer, step, _number(GATE, times or "1"))


def _number(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ConfigError(f"{name}: {text!r} is not a positive whole number")
    return int(text)
