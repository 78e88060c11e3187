"""Entries: a thread's own history, as it was stored."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from infinity._core import entry_json
from infinity.abc import Store

from .answer import Answer
from .asked import page
from .threads import known

__all__ = ["listing"]


async def listing(store: Store, thread: str, query: Mapping[str, str], *, most: int | None = None) -> Answer:
    """By position, from ``after`` on. A child's positions go on from where it left its parent.

    ``most``: bytes after which the page ends early, for hosts whose answers are bounded; ``next`` says where to go on.
    """
    after, limit = page(query)
    rows = await store.entries(thread, after, limit)
    if not rows:
        await known(store, thread)
    entries: list[bytes] = []
    size, position = 0, after
    for position, record in rows:
        entries.append(b'{"position":%d,%s' % (position, entry_json(record).lstrip()[1:]))
        size += len(entries[-1])
        if most is not None and size > most:
            break
    whole = len(entries) == len(rows) < limit
    following = msgspec.json.encode(None if whole else position)
    return Answer(200, b'{"entries":[' + b",".join(entries) + b'],"next":' + following + b"}")
