"""Threads of a tree that wait for the end of a cause outside it: a key, an outage, a model that is gone. Their parents are not told, since it passes; anyone who looks at the
root is (I14)."""

from __future__ import annotations

from typing import NamedTuple

from infinity.abc import Store, read_header
from infinity.engine.memo import noted
from infinity.errors import StoreError

__all__ = ["Waiting", "waiting_children"]

MOST = 20
"""Threads of a tree that are looked at."""


class Waiting(NamedTuple):
    thread: str
    problem: str


async def waiting_children(store: Store, root: str) -> list[Waiting]:
    """Below the root; those that changed last first. By an index, of a few."""
    found = []
    for row in await store.threads(root=root, troubled=True, limit=MOST):
        try:
            header = read_header(row)
        except StoreError:
            continue  # Anyone who looks at the thread itself is told that.
        if row.parent is not None and header.problem and noted(header).cause is not None:
            found.append(Waiting(row.id, header.problem))
    return found
