"""A thread as it was before one of its entries, read from the store: entries never change, so that what was sent then can be rendered again."""

from __future__ import annotations

from infinity._core import CoreError, Thread, covered, ranges
from infinity.abc import Store, ThreadRow, read_header
from infinity.errors import from_core

__all__ = ["before"]

_PAGE = 200
"""Entries that are read at once."""


async def before(store: Store, row: ThreadRow, position: int) -> Thread:
    """The thread as it was just before one of its own entries; to be rendered, never to be changed.

    Summaries replace each other: from the one in force now, each says where the entries began that were live before it.

    Args:
        store: Where the thread is.
        row: The thread.
        position: Of the entry.

    Raises:
        RuleBroken: The position is not one of its own entries.
        DamagedStore: An entry that was sent then is missing or cannot be read (I8).
        NewerStore: A newer version wrote one.
    """
    header = read_header(row)
    start, summary = header.live_start, header.summary
    try:
        while summary is not None and summary >= position:
            replaced = await _read(store, row.header, summary, summary + 1)
            covers = covered(replaced[0][1]) if replaced else None
            # Without the summary nobody knows what was live before it: all is, which the core then refuses unless it is so.
            start = covers[0] if covers is not None else 0
            summary = await _last_summary(store, row.header, start, summary)
        return Thread.past(row.header, position, await _read(store, row.header, start, position))
    except CoreError as error:
        raise from_core(error) from error


async def _read(store: Store, header: bytes, start: int, end: int) -> list[tuple[int, bytes]]:
    """The entries there are from ``start`` to ``end``, the thread's own and those that it inherits."""
    found: list[tuple[int, bytes]] = []
    for owner, first, last in ranges(header, start, end):
        after = first - 1
        while after < last - 1:
            rows = await store.entries(owner, after, min(_PAGE, last - 1 - after))
            rows = [row for row in rows if row[0] < last]
            if not rows:
                break
            found += rows
            after = rows[-1][0]
    return found


async def _last_summary(store: Store, header: bytes, start: int, end: int) -> int | None:
    """The position of the last summary from ``start`` to ``end``."""
    for first in reversed(range(start, end, _PAGE)):
        for position, record in reversed(await _read(store, header, first, min(first + _PAGE, end))):
            if covered(record) is not None:
                return position
    return None
