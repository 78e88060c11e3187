"""An observer: who watches a thread live. What it misses it can read from the durable event stream."""

from __future__ import annotations

from typing import Any, Protocol

from infinity._core import Delta


class Observer(Protocol):
    def live(self, thread: str, kind: str, data: dict[str, Any]) -> None:
        """Something that is shown now and never stored: pieces of text, the state of a slice. Must not block or raise."""
        ...

    def committed(self, change: Delta) -> None:
        """This is durable now, ``change.feed`` with it. Children of the change are announced by calls of their own."""
        ...

    def gate(self, step: str) -> None:
        """A slice or delivery reached this step: ``accepted``, ``loaded``, ``prepared``, ``completed``, ``dispatched``, ``committed``, ``sending``, ``posted``, ``sent``, ``yielded``;
        the timers fired: ``fired``. On the cloud host, the effects of a commit are flushed before it yields: rows left for tool servers, ``delivered``; for the output queue, ``notified``;
        each alarm was set, ``woken``.

        Where tracing hooks in and where crash tests pull the plug.
        """
        ...
