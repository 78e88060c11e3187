"""One daemon owns a database: how it comes to, how it notices that it does not any more, how it ends (R12;
docs/decisions/0021-one-owner.md).

Two things together: a lock of the server, which says at once when the owner's connection ends, and the
epoch, which every transaction of the owner compares. The lock alone would not be enough, because an
owner may lose it without noticing; the epoch alone would leave an owner sending until its next
transaction. Anyone who is in doubt sends nothing (``watch``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from infinity.backoff import Backoff
from infinity.errors import InfinityError, StoreLocked
from infinity.supervision import spawn

from .connections import Connection
from .epoch import Epoch, Owner, raise_epoch, read_owner, write_owner
from .failure import translate
from .lock import Lock
from .transactions import Transactions

__all__ = ["Claim", "Ownership"]

log = logging.getLogger("infinity.store")

_ENDING = 10.0
"""Seconds in which an owner that was told to end must have let go."""
_LOOKS = Backoff(first=0.2, longest=2.0)
"""Between looks at the record, where there is no lock to wait for; only while a start waits."""
_AGAIN = Backoff(first=0.1, longest=5.0)
"""Between tries to have the lock back, after its connection broke."""


@dataclass(frozen=True, slots=True)
class Claim:
    """How a process wants to own a database.

    ``home``: a digest of the claimant's home, which it holds alone; ``name``: how others are told of
    it; ``wait``: seconds to wait for the present owner to stop; ``take_over``: from anyone who owns the
    database now.
    """

    home: str = ""
    name: str = ""
    wait: float = 20.0
    take_over: bool = False


class Ownership:
    """Of one process, from ``claim`` to ``release``. ``watch`` says who is told of what becomes of it."""

    def __init__(
        self, transactions: Transactions, claim: Claim, connect: Callable[[], Awaitable[Connection]]
    ) -> None:
        """Claim nothing yet.

        Args:
            transactions: of the database; ``claim`` puts the fence into them.
            claim: what is claimed, and how.
            connect: opens the connection that holds the lock.
        """
        self._transactions = transactions
        self._claim = claim
        self._owner = Owner(claim.home, claim.name, free=False)
        self._lock = Lock(connect, self._broke) if transactions.platform.locks else None
        self._releasing = False
        self._regaining: asyncio.Task[None] | None = None
        self._failure: StoreLocked | None = None
        self.epoch: Epoch
        """Once it is claimed."""
        self._on_doubt: Callable[[], None] = lambda: None
        self._on_certainty: Callable[[], None] = lambda: None
        self._on_loss: Callable[[InfinityError], None] = lambda _: None

    async def claim(self) -> None:
        """Become the owner.

        Raises:
            StoreLocked: another process owns the database and has not let go in time; the error names
                it.
            StoreError: the server does not answer.
        """
        try:
            number = await (self._claim_by_lock() if self._lock is not None else self._claim_by_record())
        except BaseException as error:
            # Whatever failed: a lock that was taken on the way would keep everybody out.
            await self.release()
            if isinstance(error, (InfinityError, asyncio.CancelledError)):
                raise
            raise translate(error, self._transactions.where) from error
        self.epoch = Epoch(number, self._transactions.platform, self._transactions.where)
        self.epoch.lost = self._lose
        # From here on no transaction of this process writes without comparing the epoch.
        self._transactions.fence = self.epoch.fence

    def watch(
        self,
        *,
        doubted: Callable[[], None],
        certain: Callable[[], None],
        lost: Callable[[InfinityError], None],
    ) -> None:
        """Say who is told of what becomes of the ownership. What has happened already is told at once.

        Args:
            doubted: the lock is gone, somebody else may own the database: send and take nothing.
            certain: nobody did meanwhile: go on.
            lost: somebody does, for good.
        """
        self._on_doubt, self._on_certainty, self._on_loss = doubted, certain, lost
        # What happened before anybody listened is told now.
        if self._failure is not None:
            lost(self._failure)
        elif self._regaining is not None:
            doubted()

    async def end(self, connection: Connection) -> None:
        """Record the orderly end, so that the next owner need not wait.

        Args:
            connection: within the last transaction.
        """
        await write_owner(connection, replace(self._owner, free=True))

    async def release(self) -> None:
        """Let go of the lock, whether or not it was had. No listener is told."""
        self._releasing = True
        if self._regaining is not None:
            self._regaining.cancel()
            await asyncio.wait([self._regaining])
        if self._lock is not None:
            await self._lock.close()

    # -- becoming the owner

    async def _claim_by_lock(self) -> int:
        lock = self._lock
        assert lock is not None
        await lock.open()
        if not await lock.take(0):
            if self._claim.take_over:
                # First of all nothing of the other one is written or taken any more, whether or not it hears
                # of it.
                await self._raise()
                await lock.end_others()
            within = max(self._claim.wait, _ENDING) if self._claim.take_over else self._claim.wait
            if within > 0:
                log.warning("%s; waiting up to %g s for it to stop", await self._held(), within)
            if not await lock.take(within):
                raise StoreLocked(f"{await self._held()}. {self._advice()}")
        return await self._raise()

    async def _claim_by_record(self) -> int:
        """Where the server has no locks: an owner that stopped in order is free, and so is one of our own
        home, which we hold.
        """
        loop = asyncio.get_running_loop()
        deadline, tries = loop.time() + self._claim.wait, 0
        while True:
            # Look and claim are one transaction: of two that start at once, one raises the epoch and the
            # other sees it.
            number = await self._raise(only_free=not self._claim.take_over)
            if number:
                return number
            if loop.time() >= deadline:
                raise StoreLocked(f"{await self._held()}. {self._advice()}")
            if not tries:
                log.warning("%s; waiting up to %g s for it to stop", await self._held(), self._claim.wait)
            await asyncio.sleep(min(_LOOKS.wait(tries), max(deadline - loop.time(), 0.01)))
            tries += 1

    async def _raise(self, *, only_free: bool = False) -> int:
        """The new epoch, which is ours; 0 if somebody else owns the database."""

        async def work(connection: Connection, _: bool) -> int:
            found = await read_owner(connection)
            if only_free and not found.free and found.home != self._claim.home:
                return 0
            return await raise_epoch(connection, self._owner)

        return await self._transactions.write(work)

    async def _held(self) -> str:
        owner = await self._transactions.look(lambda connection, _: read_owner(connection))
        return f"another daemon owns the database {self._transactions.where}: {owner.name or 'it has not said who it is yet'}"

    def _advice(self) -> str:
        return "Stop it, or give it longer to stop (--wait SECONDS); if it is gone or cannot be stopped, run: infinity daemon run --take-over"

    # -- noticing the end

    def _lose(self, error: StoreLocked) -> None:
        if self._failure is None and not self._releasing:
            self._failure = error
            self._on_loss(error)

    def _broke(self) -> None:
        if self._releasing or self._failure is not None or self._regaining is not None:
            return
        log.warning("the connection that holds the lock of the database %s ended", self._transactions.where)
        self._on_doubt()
        self._regaining = spawn(self._regain(), "the lock of the database")

    async def _regain(self) -> None:
        """Until the lock is ours again and nobody was the owner meanwhile, or somebody is."""
        tries = 0
        while True:
            try:
                if await self._has_it_back():
                    break
            except StoreLocked:
                return
            except Exception as error:  # noqa: BLE001 the server is away, or refuses for now: whatever it is, we do not own anything until it passes
                log.warning("the lock of the database %s cannot be had: %s", self._transactions.where, error)
            assert self._lock is not None
            self._lock.terminate()
            await asyncio.sleep(_AGAIN.wait(tries))
            tries += 1
        self._regaining = None
        log.warning("the lock of the database %s is held again; nobody else had it", self._transactions.where)
        self._on_certainty()

    async def _has_it_back(self) -> bool:
        lock = self._lock
        assert lock is not None
        await lock.open()
        if not await lock.take(0):
            # The server may not have noticed yet that our own connection is gone.
            if not await lock.end_others(ours=True):
                await self._compare()
                raise self._somebody_else()
            if not await lock.take(_ENDING):
                return False
        await self._compare()
        return True

    async def _compare(self) -> None:
        await self._transactions.look(lambda connection, _: self.epoch.compare(connection))

    def _somebody_else(self) -> StoreLocked:
        error = StoreLocked(
            f"another daemon holds the lock of the database {self._transactions.where}; this one has stopped sending and writes nothing"
        )
        self._lose(error)
        return error
