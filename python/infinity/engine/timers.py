"""Timers: one durable table, one armed alarm. A due timer becomes a message like any other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from infinity.backoff import Backoff
from infinity.engine.services import Services
from infinity.errors import StoreError
from infinity.supervision import spawn, survivable

log = logging.getLogger("infinity.engine")

BACKOFF = Backoff(first=1.0, longest=60.0)


class Timers:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._armed: int | None = None
        self._firing: asyncio.Task[None] | None = None
        self._again = False
        self._stopped = False
        self._failures = 0
        """In a row."""

    async def start(self) -> None:
        """Arm for what the store has; whatever fell due while nobody ran fires at once (L15)."""
        self._arm(await self._services.store.next_timer())

    async def stop(self) -> None:
        self._stopped = True
        self._services.clock.wake_at(None, self._due)
        if self._firing is not None:
            self._firing.cancel()
            await asyncio.wait([self._firing])

    def arm(self, thread: str, timers: Iterable[tuple[str, int]], cancelled: Iterable[str] = ()) -> None:
        """Implements ``abc.Alarm``. A timer that was taken back rings for nobody: the store decides what is due."""
        self._arm(min((due_at for _, due_at in timers), default=None))

    def _arm(self, due_at: int | None) -> None:
        if due_at is not None and (self._armed is None or due_at < self._armed):
            self._armed = due_at
            self._services.clock.wake_at(due_at, self._due)

    def _due(self) -> None:
        if self._stopped:
            return
        if self._firing is None:
            self._firing = spawn(self._fire(), "infinity-timers")
        else:
            self._again = True

    async def _fire(self) -> None:
        try:
            self._armed = None
            messages = await self._services.store.fire_timers(self._services.clock.now())
            self._services.observer.gate("fired")
            self._services.mailbox.put(messages)
            next_due = await self._services.store.next_timer()
            self._failures = 0
        except (Exception, asyncio.CancelledError) as error:
            if not survivable(error):
                raise
            # Whatever it was: without an armed alarm no timer of any thread would ring again (B11).
            wait = BACKOFF.wait(self._failures)
            self._failures += 1
            cause = None if isinstance(error, StoreError) else error
            log.warning("timers could not be fired, next try in %.1f s: %s", wait, error, exc_info=cause)
            next_due = self._services.clock.now() + int(wait * 1000)
        finally:
            self._firing = None
        self._arm(next_due)
        if self._again:
            self._again = False
            self._due()
