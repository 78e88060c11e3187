"""A mailbox service: FIFO per thread, one taker per thread. Rust channels in the daemon, SQS FIFO groups
on AWS.

``engine/loop.py`` is its one reader. Messages are durable before they are put; a mailbox is a hint of
work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from infinity._core import Batch, Message


class Mailbox(Protocol):
    """Delivers durable messages to slices. Losing what it holds loses nothing: the store has it (I2)."""

    def put(self, messages: Sequence[Message]) -> None:
        """Queue messages that are durable already. A message whose id is queued or taken is dropped.

        Args:
            messages: of any threads; those of one thread in the order in which they were accepted.
        """
        ...

    def give_back(self, messages: Sequence[Message]) -> None:
        """Queue messages that were put aside before anything that is queued now came.

        They go in front of the queue, in order, even if the taken batch holds them.

        Args:
            messages: all of one thread that the caller has taken.
        """
        ...

    async def take(self) -> Batch:
        """Wait for the next ready thread and take its whole queue.

        Returns:
            A batch of at least one message. The thread is the caller's alone until ``release`` (I1).
        """
        ...

    def more(self, thread: str) -> list[Message]:
        """What has arrived since for a thread that is taken; it joins the batch.

        Args:
            thread: the id of a thread that the caller has taken.

        Returns:
            In order of arrival; empty where the service cannot tell.
        """
        ...

    def queued(self, thread: str) -> int:
        """How many messages wait behind a taken batch.

        Args:
            thread: the id of a thread that the caller has taken.

        Returns:
            A count; 0 where the service cannot tell, so that 0 is not a proof that nothing waits.
        """
        ...

    def release(self, thread: str, *, keep: bool = False) -> None:
        """End the taking. The thread is ready again at once if anything is queued for it.

        Args:
            thread: the id of a thread that the caller has taken.
            keep: put the batch back at the front, because the slice has not consumed it.
        """
        ...
