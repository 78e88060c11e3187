"""Hot threads: states kept between slices, so that a wake reads nothing that did not change."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from infinity._core import Thread

MOST_ENTRIES, MOST_BYTES = 50_000, 64 << 20
"""What the entries of all hot threads together may be, so that a few long ones, or some with large results, do not fill the memory."""

LOADS = 8
"""States that are read from the store at once: each is in memory twice until it is decoded."""


class HotThreads:
    """The threads used last. A state is out while its slice runs and comes back only after its commit (I1).

    ``sole_writer``: nobody else commits to the store, so a state in here is current without asking.
    """

    def __init__(self, capacity: int, *, sole_writer: bool) -> None:
        self._capacity = capacity
        self._threads: OrderedDict[str, tuple[Thread, int, int]] = OrderedDict()
        self._entries = self._bytes = 0
        self.sole_writer = sole_writer
        self.loads = asyncio.Semaphore(LOADS)

    def take(self, thread_id: str) -> Thread | None:
        thread, entries, size = self._threads.pop(thread_id, (None, 0, 0))
        self._entries -= entries
        self._bytes -= size
        return thread

    def keep(self, thread: Thread) -> None:
        if thread.status == "closed":
            return  # What still comes is discarded; it takes no place from those that live (G3).
        entries, size = thread.live_entries(), thread.live_bytes()
        self._threads[thread.id] = (thread, entries, size)
        self._entries += entries
        self._bytes += size
        while len(self._threads) > self._capacity or (self._too_much() and len(self._threads) > 1):
            self.take(next(iter(self._threads)))

    def _too_much(self) -> bool:
        return self._entries > MOST_ENTRIES or self._bytes > MOST_BYTES

    def __len__(self) -> int:
        return len(self._threads)
