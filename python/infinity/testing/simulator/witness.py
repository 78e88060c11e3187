"""What is seen of an engine from beside it, while it works: slices, purchases, early events. The simulator and the tests with a real clock watch alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from infinity._core import Delta, Message, Thread
from infinity.abc import Usage
from infinity.runtime import Runtime
from infinity.settings import Settings
from infinity.testing.replies import Reply

from .model import RUNNING
from .purchases import Purchases

__all__ = ["Witness"]

_WORDS = 50
"""Tokens of what a completion says before it breaks off."""
_LOST = 2
"""Attempts that a slice may leave behind unrecorded: a turn and a failure."""


class Witness:
    """Base of a host that is watched; ``Judge`` of its model. ``violations``: what was seen to break an invariant while it happened."""

    runtime: Runtime
    settings: Settings

    def __init__(self) -> None:
        self.violations: list[str] = []
        self.purchases = Purchases(self)
        self.kept: dict[tuple[str, str], str] = {}
        """Calls of the early events that are kept, by thread and id."""
        self.slices = 0
        self.tokens = 0
        """Of all completions that came to their end."""
        self.attempted = 0
        """The most that completions have cost which came to no end."""

    def violated(self, what: str) -> None:
        self.violations.append(what)

    def asked(self, reply: Reply) -> None:
        self.purchases.asked(reply)

    def bought(self, usage: Usage) -> None:
        self.tokens += usage.input + usage.output

    def attempted_for(self, tokens: int) -> None:
        self.attempted += tokens + _WORDS

    def submitted(self, delta: Delta) -> None:
        """What a commit keeps, no matter who hears of its end."""
        self.kept.update({(delta.thread, message.id): about for about, message in delta.kept})

    def committed(self, delta: Delta) -> None:
        """Early events, of which only their own commits tell (SUB-9), and completions that are on record."""
        self.submitted(delta)
        kept = self.kept
        self.purchases.committed(delta.thread, [message for _, message, _ in delta.consumed])
        gone = {*delta.released, *delta.dropped}
        left = [key for key, about in kept.items() if key[0] == delta.thread and about in delta.ended]
        if forgotten := [key for key in left if kept[key] not in gone]:
            self.violated(f"their call has ended, and they wait: {forgotten} (I13)")
        for key in [key for key, about in kept.items() if key[0] == delta.thread and about in gone]:
            del kept[key]

    async def ended(self, store: Any, *, counted: bool) -> None:
        """What a process could not put on record while it lived is lost with it: a turn and a failure at the most, as the guarantees say.

        ``counted``: it was killed, so one attempt is counted at the next start for each thread that has messages. ``store``: read past all faults.
        """
        self.purchases.all_lost()
        queued = {message.thread for message in await store.inbox(0)} if counted else set()
        for thread, bought in self.purchases.in_vain().items():
            if await store.thread(thread) is None:
                continue
            counts = thread in queued
            unrecorded = bought - Thread.load(await store.load(thread)).attempts - counts
            for _ in range(min(unrecorded, _LOST - counts)):
                self.purchases.forgiven(thread)

    def watch_slices(self) -> None:
        """One at a time for each thread, each with what arrived next (I1). Of the present runtime, before it starts."""
        slices, active = self.runtime.slices, Counter[str]()
        genuine = slices.run

        async def watched(thread: str, batch: Sequence[Message], **how: Any) -> None:
            RUNNING.set(thread)
            self.slices += 1
            if active[thread]:
                self.violated(f"two slices of {thread} at once (I1)")
            numbers = [message.seq for message in batch]
            if numbers != sorted(numbers):
                self.violated(f"{thread} got its messages out of order: {numbers} (I1)")
            active[thread] += 1
            try:
                await genuine(thread, batch, **how)
            except Exception:
                if thread not in slices._kept.threads():
                    self.purchases.lost(thread)
                raise
            finally:
                active[thread] -= 1

        slices.run = watched  # type: ignore[method-assign]
