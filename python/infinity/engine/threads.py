"""Hot threads: states kept between slices, so that a wake reads nothing that did not change."""

from __future__ import annotations

from collections import OrderedDict

from infinity._core import Thread


class HotThreads:
    """The threads used last. A state is out while its slice runs and comes back only after its commit (I1).

    ``sole_writer``: nobody else commits to the store, so a state in here is current without asking.
    """

    def __init__(self, capacity: int, *, sole_writer: bool) -> None:
        self._capacity = capacity
        self._threads: OrderedDict[str, Thread] = OrderedDict()
        self.sole_writer = sole_writer

    def take(self, id: str) -> Thread | None:
        return self._threads.pop(id, None)

    def keep(self, thread: Thread) -> None:
        self._threads[thread.id] = thread
        self._threads.move_to_end(thread.id)
        while len(self._threads) > self._capacity:
            self._threads.popitem(last=False)

    def clear(self) -> None:
        self._threads.clear()

    def __len__(self) -> int:
        return len(self._threads)
