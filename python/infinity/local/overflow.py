"""Messages that a thread's channel had no room for: they rest in the store's inbox and are read back in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from infinity._core import Message
from infinity.backoff import Backoff
from infinity.supervision import tend

__all__ = ["Overflow"]

BACKOFF = Backoff(first=1.0, longest=30.0)


class Overflow:
    """Bounds memory, not acceptance (G2): a message is durable before it gets here, so that it is enough to remember where to read on.

    ``inbox(after)`` reads a page of the store's inbox by place; ``append`` puts into the channel and says whether it fitted.
    """

    def __init__(
        self, inbox: Callable[[int], Awaitable[list[Message]]], append: Callable[[Message], bool]
    ) -> None:
        self._inbox = inbox
        self._append = append
        self._from: dict[str, int] = {}
        self._readers: dict[str, asyncio.Task[None]] = {}

    def holds(self, message: Message) -> bool:
        return message.thread in self._from

    def add(self, message: Message) -> None:
        place = self._from.get(message.thread, message.seq)
        self._from[message.thread] = min(place, message.seq)

    def released(self, thread: str) -> None:
        """There is room again: read back, in the background."""
        if thread in self._from and thread not in self._readers:
            task = tend(partial(self._read_back, thread), f"read back {thread}", backoff=BACKOFF)
            self._readers[thread] = task
            task.add_done_callback(lambda _: self._readers.pop(thread, None))

    async def close(self) -> None:
        tasks = list(self._readers.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read_back(self, thread: str) -> None:
        place = self._from[thread]
        while True:
            # What arrives during the read lowers nothing below ``place`` but shows that the page may be short of it.
            self._from[thread] = _NOTHING
            try:
                page = await self._inbox(place - 1)
                for message in page:
                    if message.thread == thread and not self._append(message):
                        self._from[thread] = message.seq
                        return
                    place = message.seq + 1
            except BaseException:
                # The messages are safe where they are; reading goes on there when the store does (I8).
                self._from[thread] = min(place, self._from[thread])
                raise
            if not page and self._from[thread] == _NOTHING:
                del self._from[thread]
                return


_NOTHING = 1 << 62
