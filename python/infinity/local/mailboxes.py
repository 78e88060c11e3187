"""The daemon's mailboxes: per-thread FIFO channels in the core, awaited from asyncio."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from infinity._core import Batch, CoreError, Mailboxes, Message
from infinity.errors import LimitReached, from_core
from infinity.stores.sqlite.wakeup import Wakeup

from .overflow import Overflow

__all__ = ["LocalMailbox"]


class LocalMailbox:
    """Implements ``abc.Mailbox``. Losing what it holds loses nothing: the daemon requeues the store's inbox when it starts (I2).

    ``inbox`` reads the store's durable inbox: what does not fit a thread's channel stays there and is read back when there is room.
    """

    def __init__(
        self, boxes: Mailboxes, wakeup: Wakeup, inbox: Callable[[int], Awaitable[list[Message]]]
    ) -> None:
        self._boxes = boxes
        self._takers: deque[asyncio.Future[Batch]] = deque()
        self._overflow = Overflow(inbox, self._append)
        wakeup.on_signal(self._hand_out)

    def put(self, messages: Sequence[Message]) -> None:
        for message in messages:
            # Behind messages that did not fit, nothing may overtake them (THR-1).
            if self._overflow.holds(message) or not self._append(message):
                self._overflow.add(message)
        self._hand_out()

    def give_back(self, messages: Sequence[Message]) -> None:
        for thread in dict.fromkeys(message.thread for message in messages):
            self._boxes.give_back(thread, [message for message in messages if message.thread == thread])
        self._hand_out()

    async def take(self) -> Batch:
        # Who waits already goes first; nothing is ready while somebody waits.
        if not self._takers and (batch := self._boxes.take()) is not None:
            return batch
        taker: asyncio.Future[Batch] = asyncio.get_running_loop().create_future()
        self._takers.append(taker)
        try:
            return await taker
        except asyncio.CancelledError:
            if taker.done() and not taker.cancelled():
                # It was handed over in the same turn of the loop in which its taker was cancelled: it goes back, in order.
                self.release(taker.result().thread, keep=True)
            raise

    def more(self, thread: str) -> list[Message]:
        return self._boxes.more(thread)

    def release(self, thread: str, *, keep: bool = False) -> None:
        self._boxes.release(thread, keep=keep)
        self._overflow.released(thread)
        self._hand_out()

    def queued(self, thread: str) -> int:
        """How many messages wait behind the batch that may be taken now."""
        return self._boxes.queued(thread)

    async def close(self) -> None:
        await self._overflow.close()

    def _append(self, message: Message) -> bool:
        """False if the thread's channel is full."""
        try:
            self._boxes.put(message)
        except CoreError as error:
            refusal = from_core(error)
            if isinstance(refusal, LimitReached):
                return False
            raise refusal from None
        return True

    def _hand_out(self) -> None:
        while self._takers:
            if self._takers[0].done():
                self._takers.popleft()
                continue
            batch = self._boxes.take()
            if batch is None:
                return
            self._takers.popleft().set_result(batch)
