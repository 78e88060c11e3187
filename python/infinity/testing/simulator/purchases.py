"""What each thread buys (I12): how often it is asked for in vain since the last turn that is on record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from infinity.abc import Turn
from infinity.engine.attempts import bound
from infinity.engine.memo import glance
from infinity.testing.simulator.model import RUNNING, hanging

if TYPE_CHECKING:
    from .witness import Witness

__all__ = ["Purchases"]


class Purchases:
    """What each thread has asked for since the last turn that is on record. Probes come on top; a person who resumes begins anew."""

    def __init__(self, world: Witness) -> None:
        self._world = world
        self._vain: Counter[str] = Counter()
        self._turns: Counter[str] = Counter()
        """Bought, and not committed yet."""
        self._undecided: dict[str, Any] = {}
        """The last reply by thread, as long as it may be a turn."""
        self._resumed: Counter[str] = Counter()
        self._unread: Counter[str] = Counter()
        """Of those resumes, the ones that wait in a mailbox."""
        self._behind: Counter[str] = Counter()
        """Failures behind a turn that is not committed yet: nobody knows whether it will be lost."""
        self._beyond: Counter[str] = Counter()
        """The most of them behind a turn that was lost: so many more than the bound there may be."""
        self._waited: set[str] = set()
        """Those that have waited for the end of a cause outside them: what fails afterwards is another cause."""

    def asked(self, reply: Any) -> None:
        thread = RUNNING.get()
        self._decide(thread)
        slices = self._world.runtime.slices
        if thread in slices._services.attempts.owes():
            self._world.violations.append(f"{thread} buys while an attempt is not on record (I12)")
        current = slices.running.get(thread)
        # What a slice has bought ends the count for its further rounds.
        first = current is not None and not current.bought and not self._resumed[thread]
        if current is not None and first and current.thread.attempts < self._vain[thread]:
            self._world.violations.append(
                f"{current.thread.attempts} of {self._vain[thread]} attempts of {thread} are on record (I12)"
            )
        if current is not None and glance(current.thread).cause is not None:
            self._waited.add(thread)
        if isinstance(reply, Turn) or reply is hanging:
            self._turns[thread] += 1
            self._undecided[thread] = reply
        elif current is None or not current.probing:
            if self._turns[thread]:
                self._behind[thread] += 1
            self._failed(thread)

    def _decide(self, thread: str) -> None:
        """Somebody asks again: now it is known what became of the reply before, if that was not committed."""
        reply = self._undecided.pop(thread, None)
        if not self._turns[thread]:
            del self._turns[thread]
        elif reply is hanging or (isinstance(reply, Turn) and not reply.blocks):
            # A turn without a word is asked for twice, and is one attempt together with what comes of that (M8).
            self._turns[thread] -= 1
            if not self._turns[thread]:
                del self._turns[thread]
            if reply is hanging:
                self._failed(thread)

    def resumed(self, thread: str) -> None:
        self._resumed[thread] += 1
        self._unread[thread] += 1

    def forgiven(self, thread: str) -> None:
        """A stop in order could not write its last words: one attempt is not on record, which the guarantees say."""
        self._vain[thread] = max(0, self._vain[thread] - 1)

    def in_vain(self) -> dict[str, int]:
        """By thread, how often it was asked for since the last turn that is on record."""
        return {thread: count for thread, count in self._vain.items() if count}

    @property
    def bought(self) -> bool:
        """Whether any turn is not committed yet."""
        return bool(self._turns)

    def committed(self, thread: str, read: Collection[str] = ()) -> None:
        """``read``: the ids of the messages in it. A resume that is read after the turn begins anew once more."""
        self._undecided.pop(thread, None)
        resumes = sum(message.startswith("control.resume") for message in read)
        self._unread[thread] = max(0, self._unread[thread] - resumes)
        if self._turns.pop(thread, 0):
            del self._vain[thread]
            self._resumed[thread] = self._unread[thread]
            self._waited.discard(thread)
            del self._behind[thread], self._beyond[thread]

    def lost(self, thread: str) -> None:
        """A slice has ended without a commit, or the process has."""
        if self._turns.pop(thread, 0):
            self._beyond[thread] = max(self._beyond[thread], self._behind.pop(thread, 0))
            self._failed(thread)

    def all_lost(self) -> None:
        for thread in list(self._turns):
            self.lost(thread)

    def _failed(self, thread: str) -> None:
        self._vain[thread] += 1
        begun = 1 + self._resumed[thread] + (thread in self._waited)
        most = bound(self._world.settings.retries) * begun + max(self._beyond[thread], self._behind[thread])
        if self._vain[thread] > most:
            self._world.violations.append(
                f"{thread} was asked for {self._vain[thread]} times without a turn, not {most} (I12)"
            )
