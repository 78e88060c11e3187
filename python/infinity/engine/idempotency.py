"""Idempotency keys: under one key one thing is said. Other content under a key that was used is refused, never dropped as a repeat."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from infinity._core import Message
from infinity.abc import Store, queued, read_entry, read_header
from infinity.message import Body, UserText, decode, encode

__all__ = ["Keys", "fingerprint"]

KEPT = 4_096
_PAGE = 500


def fingerprint(body: Body) -> str:
    """What tells this content from other content."""
    return hashlib.sha256(encode(body)).hexdigest()[:32]


class Keys:
    """Answers whether a message under a key repeats an earlier one or only has its key.

    What was sent lately is remembered here. Texts are compared with the record after that: queued ones with their body, others by the
    fingerprint that their entry keeps. Of what has no entry (controls), and of texts of versions before, nothing is known then.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._recent: OrderedDict[tuple[str, str], str] = OrderedDict()

    def remember(self, thread: str, message_id: str, fingerprint: str) -> None:
        self._recent[thread, message_id] = fingerprint
        if len(self._recent) > KEPT:
            self._recent.popitem(last=False)

    async def differs(self, thread: str, message_id: str, fingerprint: str) -> bool:
        """Whether ``message_id`` is known to have been other content. Reads the thread's history, so only for what the store calls a duplicate."""
        earlier = self._recent.get((thread, message_id)) or await self._recorded(thread, message_id)
        if earlier is None:
            return False
        self.remember(thread, message_id, earlier)
        return earlier != fingerprint

    async def _recorded(self, thread: str, message_id: str) -> str | None:
        return await self._queued(thread, message_id) or await self._in_history(thread, message_id)

    async def _queued(self, thread: str, message_id: str) -> str | None:
        async for messages in queued(self._store):
            for message in messages:
                if (message.thread, message.id) == (thread, message_id):
                    return _print_of(message)
        return None

    async def _in_history(self, thread: str, message_id: str) -> str | None:
        """From the end, page by page: repeats come soon."""
        row = await self._store.thread(thread)
        if row is None:
            return None
        end = read_header(row).position
        needle = message_id.encode()
        while end > 0:
            start = max(end - _PAGE, 0)
            rows = await self._store.entries(thread, start - 1, end - start)
            for position, record in rows:
                if position < end and needle in record:
                    meta = read_entry(record).meta
                    if meta.get("message_id") == message_id:
                        return str(meta["print"]) if "print" in meta else None
            if not rows or rows[0][0] > start:
                return None  # where a child's own history begins
            end = start
        return None


def _print_of(message: Message) -> str | None:
    try:
        body = decode(message.kind, message.body)
    except ValueError:
        return None
    return body.print if isinstance(body, UserText) else fingerprint(body)
