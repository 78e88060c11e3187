"""Which messages of a mailbox in memory the store still has: after a lost claim, for somebody else may have consumed them (R11)."""

from __future__ import annotations

from collections.abc import Sequence

from infinity._core import Message
from infinity.abc import Store

__all__ = ["still_queued"]


async def still_queued(store: Store, messages: Sequence[Message]) -> list[Message]:
    """Those that rest in the durable inbox under their id and place, in their order. Reads the inbox between the first and the last of them."""
    places = {message.seq for message in messages}
    found: set[tuple[str, str, int]] = set()
    after, last = min(places, default=0) - 1, max(places, default=0)
    while after < last and (page := await store.inbox(after)):
        found.update((one.thread, one.id, one.seq) for one in page if one.seq in places)
        after = page[-1].seq
    return [message for message in messages if (message.thread, message.id, message.seq) in found]
