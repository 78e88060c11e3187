"""What endpoints have taught: what one refused and then took in another form is known from there on, after
a restart too.

A lesson is a rule, by name, for one endpoint, some for one model of it. They stand in the store that
the runtime works on, under one key, and are read when an endpoint is first asked. ``infinity doctor``
shows them. Losing them costs one refusal each, so no error of the store fails a conversation here.
"""

from __future__ import annotations

import logging
import time
from typing import Protocol

import msgspec

from infinity.errors import InfinityError

__all__ = ["META", "Lesson", "Lessons", "Store", "told"]

log = logging.getLogger("infinity.models")

META = "model_lessons"
"""The key of the store under which lessons are kept."""
_MOST = 40
"""Lessons of one endpoint."""
_SAID_CHARS = 200
"""Characters of the refusal that are kept with a lesson."""


class Store(Protocol):
    """Where lessons are kept; the runtime's store is one."""

    async def meta(self, key: str) -> bytes | None:
        """As ``abc.Store``."""
        ...

    async def put_meta(self, key: str, value: bytes) -> None:
        """As ``abc.Store``."""
        ...


class Lesson(msgspec.Struct, omit_defaults=True, frozen=True):
    """One thing that was learned.

    ``rule``: see ``learning``. ``model``: empty for all models of the endpoint. ``said``: what it was
    learned from. ``at``: ms since the epoch.
    """

    rule: str
    model: str = ""
    said: str = ""
    at: int = 0

    def __str__(self) -> str:
        of = f" for {self.model}" if self.model else ""
        return f"learned {self.rule}{of}: {self.said}"


_lessons = msgspec.json.Decoder(dict[str, list[Lesson]])


def told(kept: bytes | None) -> list[str]:
    """What is kept, for people: a line for each endpoint and rule.

    Args:
        kept: the value under ``META``.
    """
    try:
        found = _lessons.decode(kept) if kept else {}
    except msgspec.DecodeError:
        return ["what model endpoints have taught cannot be read; it is learned again"]
    return [f"model endpoint {endpoint}: {lesson}" for endpoint, of in sorted(found.items()) for lesson in of]


class Lessons:
    """Those of all endpoints. Without a store they last as long as the process."""

    def __init__(self) -> None:
        self._store: Store | None = None
        self._read = False
        self._known: dict[str, list[Lesson]] = {}

    def keep_in(self, store: Store) -> None:
        """Keep lessons in this store from here on. What was learned before is kept with the next lesson.

        Args:
            store: open for as long as the models are used.
        """
        self._store, self._read = store, False

    async def load(self) -> None:
        """Read what the store has, once."""
        if not self._read:
            await self._refresh()
            self._read = True

    def of(self, endpoint: str, model: str) -> list[Lesson]:
        """The lessons that hold for a model; only what was loaded.

        Args:
            endpoint: its name among lessons.
            model: its id.
        """
        return [lesson for lesson in self._known.get(endpoint, ()) if lesson.model in ("", model)]

    def all(self) -> dict[str, list[Lesson]]:
        """All lessons that are loaded, by endpoint."""
        return {endpoint: [*lessons] for endpoint, lessons in self._known.items()}

    async def add(self, endpoint: str, rule: str, model: str, said: str) -> None:
        """Keep a lesson; a value that a rule ends in (``window:8192``) replaces the one before.

        Args:
            endpoint: its name among lessons.
            rule: see ``learning``.
            model: empty for all models of the endpoint.
            said: what it was learned from.
        """
        await self._refresh()
        lesson = Lesson(rule, model, " ".join(said.split())[:_SAID_CHARS], int(time.time() * 1000))
        # A rule is known once; its latest value counts.
        kept = [each for each in self._known.get(endpoint, ()) if not _same(each, lesson)]
        # An endpoint that refuses something new each time must not fill the store (G2).
        self._known[endpoint] = [*kept, lesson][-_MOST:]
        if self._store is not None:
            try:
                await self._store.put_meta(META, msgspec.json.encode(self._known))
            except InfinityError as error:
                log.warning("what %s has taught could not be kept: %s", endpoint, error)

    async def _refresh(self) -> None:
        """Another process may have learned something meanwhile."""
        try:
            data = await self._store.meta(META) if self._store is not None else None
            found = _lessons.decode(data) if data is not None else {}
        except (InfinityError, msgspec.DecodeError) as error:
            # Without them an endpoint refuses once more; no conversation is to fail for that.
            log.warning("what endpoints have taught could not be read: %s", error)
            return
        for endpoint, lessons in found.items():
            ours = self._known.get(endpoint, [])
            new = [each for each in lessons if not any(_same(each, mine) for mine in ours)]
            # Ours last: of two lessons about one thing the later one counts.
            self._known[endpoint] = [*new, *ours]


def _same(one: Lesson, other: Lesson) -> bool:
    return one.model == other.model and one.rule.partition(":")[0] == other.rule.partition(":")[0]
