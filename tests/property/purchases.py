"""A model that does anything, fails in any way, and counts for whom it was asked in vain (I12)."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from tests.slice.world import Replies, Reply, call, say, texts

from infinity.abc import Part, Text, Turn, Usage
from infinity.engine.attempts import bound
from infinity.engine.memo import glance
from infinity.errors import (
    ContextTooLong,
    InvalidModelRequest,
    ModelAuthentication,
    ModelRefused,
    ModelUnavailable,
    Overloaded,
    RateLimited,
)

if TYPE_CHECKING:
    from tests.property.played import PlayedWorld

Json = dict[str, Any]

RUNNING: ContextVar[str] = ContextVar("RUNNING", default="")
"""The thread whose slice asks."""


def _broken(error: BaseException) -> Reply:
    async def stream(_: Json) -> AsyncIterator[Part]:
        yield Text("some words, and then")
        raise error

    return stream


TROUBLES: dict[str, Callable[[], Reply]] = {
    "throttled": lambda: RateLimited("slow down", retry_after=5),
    "wait for hours": lambda: Overloaded("busy", retry_after=1e12),
    "an expired key": lambda: ModelAuthentication("the key has expired", status=401),
    "a removed model": lambda: InvalidModelRequest("there is no such model", status=404),
    "not valid": lambda: InvalidModelRequest("this is not valid", status=400),
    "refused": lambda: ModelRefused("no"),
    "too long": lambda: ContextTooLong("the context is too long"),
    "a bug": lambda: ZeroDivisionError("a bug of the provider"),
    "a broken stream": lambda: _broken(ModelUnavailable("it broke off")),
    "a bug in a stream": lambda: _broken(KeyError("usage")),
    "cancelled inside": lambda: _broken(asyncio.CancelledError()),
}


class Purchases:
    """What each thread has asked for since the last turn that is on record. Probes come on top; a person who resumes begins anew."""

    def __init__(self, world: PlayedWorld) -> None:
        self._world = world
        self._vain: Counter[str] = Counter()
        self._turns: Counter[str] = Counter()
        """Bought, and not committed yet."""
        self._resumed: Counter[str] = Counter()
        self._waited: set[str] = set()
        """Those that have waited for the end of a cause outside them: what fails afterwards is another cause."""

    def asked(self, reply: Reply) -> None:
        thread = RUNNING.get()
        loop = self._world.runtime.loop
        if thread in loop._services.attempts.owes():
            self._world.violations.append(f"{thread} buys while an attempt is not on record (I12)")
        slice = loop.running.get(thread)
        # What a slice has bought ends the count for its further rounds.
        first = slice is not None and not slice.bought and not self._resumed[thread]
        if first and slice.thread.attempts < self._vain[thread]:
            self._world.violations.append(
                f"{slice.thread.attempts} of {self._vain[thread]} attempts of {thread} are on record (I12)"
            )
        if slice is not None and glance(slice.thread).cause is not None:
            self._waited.add(thread)
        if isinstance(reply, Turn):
            self._turns[thread] += 1
        elif slice is None or not slice.probing:
            self._failed(thread)

    def resumed(self, thread: str) -> None:
        self._resumed[thread] += 1

    @property
    def bought(self) -> bool:
        """Whether any turn is not committed yet."""
        return bool(self._turns)

    def committed(self, thread: str) -> None:
        if self._turns.pop(thread, 0):
            del self._vain[thread], self._resumed[thread]
            self._waited.discard(thread)

    def lost(self, thread: str) -> None:
        """A slice has ended without a commit, or the process has."""
        if self._turns.pop(thread, 0):
            self._failed(thread)

    def all_lost(self) -> None:
        for thread in list(self._turns):
            self.lost(thread)

    def _failed(self, thread: str) -> None:
        self._vain[thread] += 1
        begun = 1 + self._resumed[thread] + (thread in self._waited)
        most = bound(self._world.settings.retries) * begun
        if self._vain[thread] > most:
            self._world.violations.append(
                f"{thread} was asked for {self._vain[thread]} times without a turn, not {most} (I12)"
            )


class AnyModel(Replies):
    """Does anything a model may do, as the seed has it, once its troubles are over."""

    def __init__(self, seed: int, world: PlayedWorld) -> None:
        super().__init__()
        self._random = random.Random(seed)
        self._world = world
        self.troubles: deque[str] = deque()

    def _reply(self, body: Json) -> Reply:
        reply = TROUBLES[self.troubles.popleft()]() if self.troubles else self._any(body)
        self._world.purchases.asked(reply)
        return reply

    def _any(self, body: Json) -> Reply:
        last = texts(body["messages"][-1])
        if "begin" in last.splitlines():
            return call(("slow", {}), ("watch", {}))
        if "Summarise the conversation" in last:
            return self._random.choice([say("a summary"), say("a summary"), Turn([])])
        names = [tool["name"] for tool in body["tools"]]
        choice = self._random.random()
        if choice < 0.45:
            return say(f"reply {len(self.requests)}")
        if choice < 0.75:
            wanted = self._random.choices(
                ("slow", "slow", "watch", "nothing_like_it"), k=self._random.randint(1, 3)
            )
            return call(*((name, {}) for name in wanted), text=self._random.choice(("", "calling")))
        if choice < 0.80:
            return call(
                ("spawn_thread", {"instructions": "do a part"}), *[("slow", {})] * self._random.randint(0, 1)
            )
        if choice < 0.84:
            return call(("report_to_parent", {"report": "a report"}))
        if choice < 0.87:
            return call(("sleep", {"seconds": self._random.choice((0, 60))}))
        if choice < 0.90:
            return call(("sleep_until_event_or_input", {}))
        if choice < 0.92 and "thread_ancestors" not in names:
            return (
                call(("close_thread", {})) if "child thread" in str(body["messages"]) else say("not closing")
            )
        if choice < 0.95:
            return Turn([])
        return self._random.choice(
            [Overloaded("busy"), ModelUnavailable("gone"), Turn([], usage=Usage(10, 0))]
        )
