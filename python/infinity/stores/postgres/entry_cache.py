"""Entries that this process has read or written.

They are never rewritten, so that a thread which another process has moved on is read only from there
(I10). The cloud host uses it; a daemon keeps whole threads in memory instead.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

__all__ = ["EntryCache"]

MOST_BYTES = 32 << 20
"""Of all records together."""

Owner = tuple[str, int]
"""A thread and when it was created: one that was deleted and made anew under its old id is another one."""


class EntryCache:
    """Records by position, of the threads used last."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        """Begin empty.

        Args:
            most_bytes: of all records; the threads used longest ago go first.
        """
        self._most = most_bytes
        self._threads: OrderedDict[Owner, dict[int, bytes]] = OrderedDict()
        self._bytes = 0

    def known(self, owner: Owner, start: int, end: int) -> list[tuple[int, bytes]]:
        """What is here of ``[start, end)`` without a gap, from its start on.

        Args:
            owner: the thread and when it was created.
            start: the first position.
            end: behind the last.
        """
        records = self._threads.get(owner)
        if records is None:
            return []
        self._threads.move_to_end(owner)
        found: list[tuple[int, bytes]] = []
        for position in range(start, end):
            record = records.get(position)
            # A gap: behind it the caller reads everything from the database, in one range.
            if record is None:
                break
            found.append((position, record))
        return found

    def add(self, owner: Owner, entries: Iterable[tuple[int, bytes]]) -> None:
        """Keep what has been committed, and only that: what a transaction read and then rolled back may be
        written differently later.

        Args:
            owner: the thread and when it was created.
            entries: position and record.
        """
        records = self._threads.setdefault(owner, {})
        self._threads.move_to_end(owner)
        for position, record in entries:
            self._bytes += len(record) - len(records.get(position, b""))
            records[position] = record
        while self._bytes > self._most and self._threads:
            _, gone = self._threads.popitem(last=False)
            self._bytes -= sum(map(len, gone.values()))
