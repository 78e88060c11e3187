"""``limits.queued_messages`` where a queue holds the messages: anyone who says more to a thread is told to wait
(429, G2).

SQS does not tell how many messages one thread has. So what people say is counted where it comes in, in
DynamoDB, up to a bound. Anyone who reaches the bound asks the database how far the thread has come: of every
tenth part of the limit one message is known by its id. What that leaves of the count is queued. The count
is never too strict by more than a tenth, and never for long; without DynamoDB nobody is refused. Results
and events are bounded by the calls that they belong to.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from infinity.errors import LimitReached, StoreError

from .hints import HintTable, Said

__all__ = ["QueueLimit"]

log = logging.getLogger("infinity.cloud")

PARTS = 10
"""Of the limit; in each of them one message is marked."""

Consumed = Callable[[str, Sequence[str]], Awaitable[list[str]]]
"""Of a thread's messages, those that it has consumed."""


class QueueLimit:
    """Counts what people say to each thread.

    Args:
        hints: Where it is counted.
        most: Messages of one thread that may wait, ``limits.queued_messages``.
        consumed: Asks the database which of a thread's messages it has processed.
    """

    def __init__(self, hints: HintTable, most: int, consumed: Consumed) -> None:
        self._hints, self._most, self._consumed = hints, most, consumed
        self._step = max(1, most // PARTS)

    async def admit(self, thread: str, message_id: str) -> bool:
        """Count one message that is about to be queued.

        Args:
            thread: The thread that it is for.
            message_id: The message's id.

        Returns:
            ``True`` if it was counted; ``False`` if counting was impossible, and nothing is to be given
            back.

        Raises:
            LimitReached: if as many messages wait as may.
        """
        try:
            queued = await self._count(thread, message_id)
        # The last two: an item that is not one of ours.
        except (StoreError, KeyError, ValueError) as error:
            log.warning("whether %s has too many messages cannot be known now: %s", thread, error)
            return False
        if queued:
            raise LimitReached(
                f"{thread} has {queued} messages waiting (limits.queued_messages); try again when it has read some"
            )
        return True

    async def give_back(self, thread: str) -> None:
        """Uncount a message that could not be queued. If this fails, it counts as queued until the bound is
        next reached.
        """
        try:
            await self._hints.uncount_said(thread)
        except (StoreError, ValueError) as error:
            log.warning("a message for %s that was not queued stays counted: %s", thread, error)

    async def _count(self, thread: str, message_id: str) -> int:
        """0 once it is counted, else how many wait."""
        said = await self._hints.count_said(thread, message_id, self._most)
        if said is None:
            reached = await self._hints.said(thread)
            if reached is None:
                return 0
            read = await self._read(thread, reached)
            if read + self._most <= reached.number:
                return reached.number - read
            await self._hints.bound_said(thread, read + self._most)
            said = await self._hints.count_said(thread, message_id, self._most)
        # The marks of two limits are kept: at most one limit waits, so the last processed message lies among
        # them.
        if said is not None and said.number % self._step == 0:
            await self._hints.mark_said(thread, (*said.marks, (said.number, message_id))[-2 * PARTS :])
        return 0

    async def _read(self, thread: str, said: Said) -> int:
        """The number of the last message that is known to be consumed."""
        numbered = [*said.marks, (said.number, said.last)]
        consumed = set(await self._consumed(thread, [message_id for _, message_id in numbered]))
        return max((number for number, message_id in numbered if message_id in consumed), default=0)
