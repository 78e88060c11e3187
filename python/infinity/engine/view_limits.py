"""Views are kept for every client that will ever connect, so how many a thread has, and how large they are together, is bounded (G9)."""

from __future__ import annotations

from collections import OrderedDict

from infinity.abc import Store
from infinity.errors import LimitReached
from infinity.settings import Limits

__all__ = ["ViewLimits"]

KEPT_THREADS = 1_024


class ViewLimits:
    """What views each thread has.

    Args:
        store: Where they are kept.
        limits: ``view_types`` and ``kept_view_bytes``.
        alone: Nobody else writes them, so that what was read once is current.
    """

    def __init__(self, store: Store, limits: Limits, *, alone: bool) -> None:
        self._store = store
        self._types = limits.view_types
        self._bytes = limits.kept_view_bytes
        self._alone = alone
        self._sizes: OrderedDict[str, dict[str, int]] = OrderedDict()

    async def admit(self, thread: str, view_type: str, size: int) -> None:
        """Reserve room for a view before it is written (G9).

        Args:
            thread: Whose view it is.
            view_type: A new one counts against the number of types.
            size: Bytes of its new content, in place of the old.

        Raises:
            LimitReached: says which limit is in the way.
        """
        sizes = self._sizes.get(thread) if self._alone else None
        if sizes is None:
            read = {name: len(content) for name, content in await self._store.views(thread)}
            # Others may have read meanwhile, and reserved.
            sizes = self._sizes.setdefault(thread, read) if self._alone else read
            while len(self._sizes) > KEPT_THREADS:
                self._sizes.popitem(last=False)
        if view_type not in sizes and len(sizes) >= self._types:
            raise LimitReached(
                f"{thread} has {len(sizes)} view types already, as many as limits.view_types allows; update one of them"
            )
        total = sum(sizes.values()) - sizes.get(view_type, 0) + size
        if total > self._bytes:
            raise LimitReached(
                f"the views of {thread} would have {total} bytes together, more than limits.kept_view_bytes ({self._bytes})"
            )
        sizes[view_type] = size

    def forget(self, thread: str) -> None:
        """What was reserved may not have been written: read again."""
        self._sizes.pop(thread, None)
