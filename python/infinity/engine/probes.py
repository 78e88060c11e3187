"""Probes: causes outside the threads (a key, an account, a removed model, an outage) stop many threads and are tried by one (L25).

While a cause stands, one thread at a time asks its model again, at times that grow to hourly; the store has the cause and its last
probe, so that restarts do not multiply them. The others wait with a timer of their own, as a net. When a probe succeeds, the threads that
wait for the cause are woken, a few at a time. A person who speaks to a thread or resumes it is not held back.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Sequence
from enum import StrEnum
from typing import Any

import msgspec
from msgspec.structs import replace

from infinity._core import Message
from infinity.abc import Clock, Expect, Mailbox, ModelInfo, Store, TimerRow
from infinity.backoff import Backoff
from infinity.engine.optional import optional_async
from infinity.errors import InvalidModelRequest, ModelAuthentication, ModelError
from infinity.message import Kind, Timer, TimerPurpose
from infinity.supervision import spawn

__all__ = ["Cause", "CauseKind", "Probes"]

META = "model_causes"
FIRST, FIRST_OUTAGE, LONGEST = 60.0, 900.0, 3_600.0
"""Seconds between probes of one cause: doubling. An outage was tried for long before it counts as one."""
AFTER_A_START = 5.0
"""Seconds between the last probe and the one that a start makes."""
AT_ONCE, PAUSE = 20, 2.0
"""Threads that are woken together, and the seconds between two such groups."""


class CauseKind(StrEnum):
    """What stands in the way of a model. The key of a cause names its kind, and the provider or model that it is about."""

    AUTHENTICATION = "authentication"
    MODEL = "model"
    CONFIGURATION = "configuration"
    OUTAGE = "outage"

    def key(self, about: str) -> str:
        return f"{self} {about}"

    def is_of(self, key: str) -> bool:
        return key.partition(" ")[0] == self


class Cause(msgspec.Struct, omit_defaults=True):
    """Times in milliseconds since the epoch; ``wait`` in seconds, between the last probe and the next. ``code`` and ``text``: of its error."""

    key: str
    last: int
    wait: float
    code: str = ""
    text: str = ""

    @property
    def next(self) -> int:
        return self.last + int(self.wait * 1000)


class Probes:
    """One per process."""

    def __init__(self, store: Store, mailbox: Mailbox, clock: Clock) -> None:
        self._store = store
        self._mailbox = mailbox
        self._clock = clock
        self._causes: dict[str, Cause] = {}
        self._successes: dict[str, int] = {}
        self._waking: set[asyncio.Task[None]] = set()

    # life

    async def start(self) -> None:
        """A start may follow a repair: each cause is probed at once, or soon if it was a moment ago."""
        await self.refresh()
        if not self._causes:
            return
        waiting = await self._waiting(list(self._causes))
        for key, cause in list(self._causes.items()):
            rows = [row for row, of in waiting if of == key]
            if not rows:
                del self._causes[key]
                continue
            # Due at the earliest moment that it may be; the wait grows from where it was when the probe fails.
            wait = min((self._clock.now() - cause.last) / 1000, AFTER_A_START)
            pause = max(0.0, AFTER_A_START - max(wait, 0.0))
            self._causes[key] = replace(cause, wait=max(wait, 0.0) + pause)
            self._background(self._probe_after(pause, rows[0]))
        await self._save()

    async def stop(self) -> None:
        for task in self._waking:
            task.cancel()
        if self._waking:
            await asyncio.wait(self._waking)

    async def refresh(self) -> None:
        """What the store has; another process may have found or ended a cause."""
        data = await self._store.meta(META)
        found = [] if data is None else msgspec.json.decode(data, type=list[Cause])
        self._causes = {cause.key: cause for cause in found}

    # what a slice asks

    def standing(self, info: ModelInfo | None, name: str) -> Cause | None:
        """The cause that stops this model now."""
        if not self._causes:
            return None
        return next((self._causes[key] for key in _keys(info, name) if key in self._causes), None)

    @property
    def keys_refused(self) -> bool:
        """Whether a provider refuses its key, as far as this process knows."""
        return any(CauseKind.AUTHENTICATION.is_of(key) for key in self._causes)

    async def take(self, cause: Cause) -> bool:
        """Whether the caller is the probe that is due; its time is on record before it asks. ``StoreError``: it must not."""
        now = self._clock.now()
        if now < cause.next:
            return False
        self._causes[cause.key] = replace(cause, last=now, wait=max(cause.wait, FIRST))
        await self._save()
        return True

    async def failed(self, key: str, code: str, text: str, *, probe: bool) -> int:
        """The cause stands (still). When the caller is to ask again, in ms: the next probe, or later for who only waits."""
        await self.refresh()
        now, cause, first = self._clock.now(), self._causes.get(key), _first(key)
        if cause is not None and not probe:
            return cause.next + int(LONGEST * random.uniform(1, 2) * 1000)  # noqa: S311
        wait = first if cause is None else Backoff(first, LONGEST).longer(cause.wait)
        made = self._causes[key] = Cause(key, now, wait, code, text)
        await self._save()
        return made.next

    def cause_of(self, error: Exception, info: ModelInfo | None, name: str) -> str | None:
        """The key of the cause outside the thread that an error speaks of, if it does."""
        authentication, removed, configuration, _ = _keys(info, name)
        if isinstance(error, ModelAuthentication):
            return authentication
        if isinstance(error, InvalidModelRequest) and error.status == 404:
            return removed
        return None if isinstance(error, ModelError) else configuration

    def outage(self, info: ModelInfo, since: int) -> str | None:
        """The same for a provider that fails everybody: nobody has had a turn of it since ``since``."""
        works = self._successes.get(info.provider, 0) >= since
        return None if works else CauseKind.OUTAGE.key(info.provider)

    def succeeded(self, info: ModelInfo) -> bool:
        """A turn was bought. Whether any cause stands, which may have passed with it: then ``passed`` is to be called."""
        self._successes[info.provider] = self._clock.now()
        return bool(self._causes)

    async def passed(self, info: ModelInfo, name: str) -> None:
        """Wakes those that waited for what has passed, a few now and the others in the background."""
        gone = [key for key in _keys(info, name) if key in self._causes]
        if not gone:
            return
        await self.refresh()
        for key in gone:
            self._causes.pop(key, None)
        waiting = [row for row, _ in await self._waiting(gone)]
        await self._save()
        await self._wake(waiting[:AT_ONCE])
        if len(waiting) > AT_ONCE:
            self._background(self._wake_paced(waiting[AT_ONCE:]))

    # waking

    async def _waiting(self, keys: Sequence[str]) -> list[tuple[TimerRow, str]]:
        """Timers of threads that wait for one of these causes, the earliest first."""
        found = []
        for row in await self._store.timers():
            if row.kind != Kind.TIMER:
                continue
            timer = msgspec.json.decode(row.body, type=Timer)
            if timer.purpose is TimerPurpose.RETRY and timer.cause in keys and timer.cause is not None:
                found.append((row, timer.cause))
        return sorted(found, key=lambda item: item[0].due_at)

    async def _wake(self, rows: Sequence[TimerRow]) -> None:
        """Their timers come early: the same message that they would become, so that none comes twice (I3)."""
        for row in rows:
            message = Message(row.thread, row.id, row.kind, row.body, accepted_at=self._clock.now())
            accepted = await self._store.accept(message, Expect.ANY, None)
            if accepted.message is not None:
                self._mailbox.put([accepted.message])

    async def _wake_paced(self, rows: Sequence[TimerRow]) -> None:
        for start in range(0, len(rows), AT_ONCE):
            await self._clock.sleep(PAUSE)
            group = rows[start : start + AT_ONCE]
            await optional_async("waking", f"{len(group)} threads", self._wake(group))

    async def _probe_after(self, seconds: float, row: TimerRow) -> None:
        if seconds > 0:
            await self._clock.sleep(seconds)
        await optional_async("the probe of the model", row.thread, self._wake([row]))

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = spawn(work, "infinity-probes")
        self._waking.add(task)
        task.add_done_callback(self._waking.discard)

    async def _save(self) -> None:
        await self._store.put_meta(META, msgspec.json.encode(list(self._causes.values())))


def _keys(info: ModelInfo | None, name: str) -> tuple[str, str, str, str]:
    provider = info.provider if info is not None else ""
    return (
        CauseKind.AUTHENTICATION.key(provider),
        CauseKind.MODEL.key(name),
        CauseKind.CONFIGURATION.key(name),
        CauseKind.OUTAGE.key(provider),
    )


def _first(key: str) -> float:
    return FIRST_OUTAGE if CauseKind.OUTAGE.is_of(key) else FIRST
