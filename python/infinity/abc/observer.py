"""An observer: who watches a thread live. What it misses it can read from the durable event stream."""

from __future__ import annotations

from typing import Any, Protocol

from infinity._core import Delta


class Observer(Protocol):
    """Told by the engine, in the event loop, as things happen. No method may block, await or raise."""

    def live(self, thread: str, kind: str, data: dict[str, Any]) -> None:
        """Something that is shown now and never stored: pieces of text, the state of a slice.

        Args:
            thread: the id of the thread.
            kind: the kind of the server-sent event that clients get.
            data: its payload, ready to be encoded as JSON. The observer must not change it.
        """
        ...

    def committed(self, change: Delta) -> None:
        """This is durable now, ``change.feed`` with it.

        Args:
            change: the delta of one thread. Children that were made in it are announced by calls of
                their own.
        """
        ...

    def gate(self, step: str) -> None:
        """A slice or delivery has reached this step. Tracing hooks in here, and crash tests pull the plug.

        Args:
            step: for a slice ``accepted``, ``loaded``, ``prepared``, ``completed``, ``dispatched``,
                ``committed``, ``yielded``; for a delivery ``sending``, ``posted``, ``sent``; ``fired``
                when timers were turned into messages. On the cloud host the effects of a commit are
                flushed before it yields: ``delivered`` after rows left for tool servers, ``notified``
                after rows left for the output queue, ``woken`` after each alarm was set.
        """
        ...
