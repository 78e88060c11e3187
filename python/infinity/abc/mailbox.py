"""A mailbox service: FIFO per thread, one taker per thread. Rust channels in the daemon, SQS FIFO groups on AWS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from infinity._core import Batch, Message


class Mailbox(Protocol):
    """Delivers durable messages to slices. Losing what it holds loses nothing: the store has it (I2)."""

    def put(self, messages: Sequence[Message]) -> None:
        """Queue; an id already queued or taken is dropped."""
        ...

    def give_back(self, messages: Sequence[Message]) -> None:
        """Queue messages that were put aside before anything that is queued now came: in front of it, even if the taken batch holds them."""
        ...

    async def take(self) -> Batch:
        """Wait for the next ready thread; its whole queue, exclusively, until ``release``."""
        ...

    def more(self, thread: str) -> list[Message]:
        """What arrived for a taken thread since; joins the batch. Empty where the service cannot tell."""
        ...

    def queued(self, thread: str) -> int:
        """How many messages wait behind a taken batch; 0 where the service cannot tell."""
        ...

    def release(self, thread: str, *, keep: bool = False) -> None:
        """End the taking; ``keep`` puts the batch back at the front."""
        ...
