"""Hot threads: states kept between slices, so that a wake reads nothing that did not change."""

from __future__ import annotations

from collections import OrderedDict

from infinity._core import Thread

MOST_ENTRIES = 50_000
"""Entries that all hot threads together may hold, so that a few long ones do not fill the memory."""


class HotThreads:
    """The threads used last. A state is out while its slice runs and comes back only after its commit (I1).

    ``sole_writer``: nobody else commits to the store, so a state in here is current without asking.
    """

    def __init__(self, capacity: int, *, sole_writer: bool) -> None:
        self._capacity = capacity
        self._threads: OrderedDict[str, tuple[Thread, int]] = OrderedDict()
        self._entries = 0
        self.sole_writer = sole_writer

    def take(self, id: str) -> Thread | None:
        thread, entries = self._threads.pop(id, (None, 0))
        self._entries -= entries
        return thread

    def keep(self, thread: Thread) -> None:
        if thread.status == "closed":
            return  # What still comes is discarded; it takes no place from those that live (G3).
        entries = thread.live_entries()
        self._threads[thread.id] = (thread, entries)
        self._entries += entries
        while len(self._threads) > self._capacity or (
            self._entries > MOST_ENTRIES and len(self._threads) > 1
        ):
            _, (_, gone) = self._threads.popitem(last=False)
            self._entries -= gone

    def __len__(self) -> int:
        return len(self._threads)
