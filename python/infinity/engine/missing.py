"""What is said of a thread that is not there: that there is none, or that it was deleted."""

from __future__ import annotations

from infinity.abc import Store, ThreadRow
from infinity.errors import ThreadDeleted, UnknownThread

__all__ = ["known", "missing"]


async def missing(store: Store, thread: str) -> UnknownThread:
    """The error to raise when ``store.thread`` has found nothing."""
    stone = await store.tombstone(thread)
    if stone is None:
        return UnknownThread(f"thread {thread} not found; run `infinity threads` to list threads")
    return ThreadDeleted(f"thread {thread} was deleted; its id is not used again")


async def known(store: Store, thread: str) -> ThreadRow:
    """Raises ``UnknownThread``, or ``ThreadDeleted``."""
    row = await store.thread(thread)
    if row is None:
        raise await missing(store, thread)
    return row
