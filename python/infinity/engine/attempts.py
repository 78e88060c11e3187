"""Attempts: a completion that was asked for and brought no turn is on record before anything more is bought (I12).

``record`` is the only way to put one on record; what could not be recorded is kept here, and ``settle`` records it first or raises, so
that nothing is bought meanwhile. One cause is tried at most ``bound`` times: ``retries.completion`` tries in a slice, in a first slice
and ``retries.slices`` further ones. Crashes and slices that fail count. A turn that is bought, or a person who resumes, starts anew.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from infinity.abc import Clock, Store
from infinity.errors import ConfigError, Conflict, StoreError, UnknownThread
from infinity.settings import Retries

__all__ = ["Attempts", "Owed", "bound", "is_outage"]


def bound(retries: Retries) -> int:
    """How often a completion is asked for, for one cause."""
    return retries.completion * (retries.slices + 1)


def is_outage(error: BaseException) -> bool:
    """Whether a slice failed because the store is away, or refuses a login: that is no fault of the thread, and nothing is bought meanwhile."""
    return isinstance(error, (StoreError, ConfigError, OSError)) and not isinstance(error, Conflict)


@dataclass(frozen=True, slots=True)
class Owed:
    """An attempt that is not on record yet. ``code``: of its error; what it used, in tokens and microdollars.

    ``version``: that of a commit which holds it, and of which nobody has waited for the outcome; 0: none was under way.
    """

    code: str
    tokens: int = 0
    microdollars: int = 0
    version: int = 0


class Attempts:
    """One per process. Nothing is bought for a thread that has an entry, so there are as many as one slice leaves behind: a turn and a failure."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._owed: dict[str, list[Owed]] = {}

    def owe(self, thread: str, attempt: Owed) -> None:
        """Keep an attempt that is recorded later: by ``settle``, before the thread buys anything."""
        self._owed.setdefault(thread, []).append(attempt)

    async def record(self, thread: str, attempt: Owed) -> int | None:
        """How many are on record since the last turn that was bought. ``StoreError``: it is not on record yet, and kept."""
        self.owe(thread, attempt)
        return await self.settle(thread)

    def owed(self, thread: str) -> bool:
        """Whether ``settle`` has something to do."""
        return thread in self._owed

    async def settle(self, thread: str) -> int | None:
        """Record what is kept of the thread; ``None`` if there is nothing. Raises ``StoreError`` when that fails."""
        recorded: int | None = None
        while thread in self._owed:
            # Looked up while it is still owed: a caller that is cancelled during a read has recorded nothing.
            version = self._owed[thread][0].version
            on_record = version > 0 and await self._is_on_record(thread, version)
            # Taken out before it is recorded: a caller that is cancelled meanwhile takes nothing back, and must not record it twice.
            kept = self._owed.pop(thread, [])
            if kept[1:]:
                self._owed[thread] = kept[1:]
            if not kept or on_record:
                continue
            owed = kept[0]
            try:
                recorded = await self._store.record_attempt(
                    thread, owed.code, self._clock.now(), tokens=owed.tokens, microdollars=owed.microdollars
                )
            except UnknownThread:
                self.forget(thread)  # Deleted since: there is nobody left to buy anything for.
            except Exception:
                self._owed[thread] = [owed, *self._owed.get(thread, [])]
                raise
        return recorded

    async def settle_commits(self, thread: str) -> None:
        """Find out what became of a commit that nobody has waited for, while no other can have taken its version."""
        if any(owed.version for owed in self._owed.get(thread, ())):
            await self.settle(thread)

    async def _is_on_record(self, thread: str, version: int) -> bool:
        row = await self._store.thread(thread)
        return row is not None and row.version >= version

    def owes(self) -> Collection[str]:
        """Threads with an attempt that is not on record."""
        return list(self._owed)

    def forget(self, thread: str) -> None:
        """The thread is deleted. One that is out of service may come back, and keeps what it owes."""
        self._owed.pop(thread, None)
