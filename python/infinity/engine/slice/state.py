"""The state of a running slice, which its phases share: what was loaded, how far it has come, and what it has bought that is not committed yet.

Made by ``load`` (and by ``engine/parking.py``), handed from phase to phase as ``current``, gone after the commit. What a slice does to calls, children, people
and content is in ``engine/calls.py``, ``children.py``, ``questions.py`` and ``content.py``. Nothing in here waits or writes: all changes gather in ``thread``, and
``commit`` alone makes them durable (I6).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum, Flag, auto
from typing import Any

import msgspec

from infinity._core import Delta, Message, Thread
from infinity.abc import Catalog, Model, ModelInfo, Offer, Problem, Turn, Usage
from infinity.engine.memo import glance
from infinity.engine.optional import left_out
from infinity.engine.prompts import Sending
from infinity.engine.services import Services
from infinity.ids import Ids
from infinity.message import Action, Control, Kind, encode
from infinity.settings import Limits

FULL_ROWS, FULL_BYTES = 1_000, 4 << 20
"""What a slice changes, about, when it leaves the rest to another one. Stores bound a transaction (Aurora DSQL: 3,000 rows, 10 MiB), and
one more step may change as much again."""


LOOKED_AT = 2_000
"""Characters of a text that may become last words."""


class Progress(Enum):
    """Whether a slice may ask its model once more."""

    GOING = "going"
    LAST = "last"
    """The host's time is nearly over, or it has done as much as one commit takes: no further completion."""
    CUT = "cut"
    """The same, and a completion was ended because of it."""


class Why(Flag):
    """Why the model is asked."""

    NOTHING = 0
    INPUT = auto()
    """Something entered history for the model to answer."""
    PERSON = auto()
    """A person asks: by text, by resuming, or by choosing another model."""
    WAKE = auto()
    """The timer of a cause outside the thread has woken it."""
    PROBE = auto()
    """This slice tries whether that cause has passed: once."""


@dataclass(slots=True)
class Asked:
    """One completion that was asked for, for those who look at the turn later. Times in ms.

    Args:
        at: When it was asked for first, since the epoch.
        first: After how long the first part of the answer came; ``None``: before any did.
        whole: How long it took, with the waits between its tries.
        errors: The codes of the tries that brought nothing, in order.
        prefix: Under which digest the system prompt and the tools of its request are kept; ``None``: they are not.
        sent: What is on record of the request that was answered (``engine/request.py``).
    """

    at: int
    first: int | None = None
    whole: int = 0
    errors: list[str] = field(default_factory=list)
    prefix: str | None = None
    sent: msgspec.Struct | None = None


@dataclass(slots=True)
class Living:
    """Threads that are not closed: children, and all below the root of the thread's tree. Until ``counted``, those that this slice made only."""

    children: int = 0
    tree: int = 0
    counted: bool = False


@dataclass(slots=True)
class Slice:
    """One slice of one thread. Everything it does to the world gathers in ``thread`` until the commit."""

    services: Services
    thread: Thread
    started_at: int
    catalog: Catalog | None = None
    model: ModelInfo | None = None
    """The model that answers in this slice, once it was resolved."""
    provider: Model | None = None
    """Its provider."""
    stand_in: str | None = None
    """The name of the model that is asked in place of the thread's own (``engine/stand_ins.py``)."""
    rounds: int = 0
    """Completions in a row; those of slices that this one goes on for count too."""
    asked: Asked | None = None
    """The completion that brought the last turn, or is under way."""
    bought: bool = False
    """A turn was bought that is not committed yet."""
    spent_tokens: int = 0
    spent_microdollars: int = 0
    """By the completions of this slice, which are not committed yet."""
    wasted: int = 0
    """Tokens that the last failed attempt used."""
    receives: int = 1
    """How often the host has received the messages: a crash counts as an attempt (I12)."""
    why: Why = Why.NOTHING
    """Why the model is asked."""
    delta: Delta | None = None
    """The change, once a commit of it was tried: a later try commits the very same."""
    signal: Action | None = None
    """``interrupt`` or ``stop`` was asked for while it runs."""
    progress: Progress = Progress.GOING
    held_until: int | None = None
    """It waits because of ``limits.requests_per_minute``, until then (ms since the epoch)."""
    waiting: asyncio.Task[Any] | None = None
    """For the model; what an interrupt ends."""
    timings: dict[str, int] = field(default_factory=dict)
    sending: dict[str, Sending] = field(default_factory=dict)
    """How far calls have come whose deadline is in the batch."""
    released: set[str] = field(default_factory=set)
    """Calls that this slice lets go; until its commit nothing of them has left."""
    living: Living = field(default_factory=Living)
    spawned: set[str] = field(default_factory=set)
    folded: int = 0
    """Messages that it has folded in."""
    queued_at: int = 0
    """When the oldest of them was accepted, in ms since the epoch; 0: not on record."""
    came_at: int = 0
    """When the message that is being folded in was accepted, in ms since the epoch; 0: not on record."""
    last_words: str = ""
    """The text of the last turn of this slice."""
    words: tuple[str, bool] | None = None
    """The last words that this slice brought, on one line, and whether a person said them."""
    opening: str = ""
    """The first words of a person that it brought."""
    closing: tuple[str | None] | None = None
    """Set by ``close_thread``: the last report."""
    left: list[Message] = field(default_factory=list)
    """Messages for which this commit has no room: another slice folds them in, and goes on from there."""

    @property
    def now(self) -> int:
        return self.services.clock.now()

    @property
    def ids(self) -> Ids:
        return self.services.ids

    @property
    def limits(self) -> Limits:
        return self.services.settings.limits

    @property
    def ready(self) -> bool:
        """The model has something to answer, and may."""
        ended = self.signal is not None or self.out_of_time or self.left
        if ended or not self.thread.pending or self.thread.status in ("stopped", "closed"):
            return False
        memo = glance(self.thread)
        if memo.ending is not None and memo.ending.closing:
            return False
        # What is not input asks no model that said wait, and none whose context is being compacted (R8).
        return memo.retry is None and (not memo.blocked or bool(self.why & (Why.INPUT | Why.PERSON)))

    @property
    def out_of_time(self) -> bool:
        """No further completion is made."""
        return self.progress is not Progress.GOING

    @property
    def asked_by_a_person(self) -> bool:
        return Why.PERSON in self.why

    @property
    def probing(self) -> bool:
        return Why.PROBE in self.why

    @property
    def asks(self) -> str:
        """The name of the model that is asked."""
        return self.stand_in or self.thread.model

    @property
    def full(self) -> bool:
        """It has changed about as much as one commit takes."""
        rows, size = self.thread.staged()
        return rows >= FULL_ROWS or size >= FULL_BYTES

    def wake_again(self) -> None:
        """Another slice follows this one's commit, whatever else comes."""
        message_id = f"on.{self.thread.id}.{self.thread.version + 1}"
        self.thread.send(self.thread.id, message_id, Kind.CONTROL, encode(Control(action=Action.START)))

    def interrupt(self, action: Action) -> None:
        """From outside, while the slice runs: end the stream now."""
        self.signal = action
        if self.waiting is not None:
            self.waiting.cancel()

    def expire(self) -> None:
        """From outside, while the slice runs: end the stream now; what it said is taken back and asked for again."""
        self.last()
        if self.waiting is not None:
            self.waiting.cancel()

    def last(self, *, cut: bool = False) -> None:
        """Ask the model no more. ``cut``: a completion was ended because of that."""
        if cut or self.progress is Progress.GOING:
            self.progress = Progress.CUT if cut else Progress.LAST

    def mark(self, step: str, since: int) -> None:
        self.timings[step] = self.timings.get(step, 0) + self.now - since

    def note(self, kind: str, /, **data: Any) -> None:
        """One row of the durable event stream."""
        self.thread.note(kind, msgspec.json.encode({"at": self.now, **data}))

    def problem(self, code: str, text: str) -> None:
        """Something the user should know of; stays on the thread until the next completion that works (L18)."""
        self.thread.set_problem(str(Problem(code, text)))
        self.note("problem", code=code, text=text)

    def discard(self, message: Message, reason: str) -> None:
        """End a message that changes nothing, on the record (I2)."""
        self.thread.consume(message, reason)
        self.note("discard", id=message.id, kind=message.kind, reason=reason)

    def price(self, usage: Usage) -> tuple[int, int]:
        """Tokens, and what they cost in microdollars: prices are in dollars per million tokens, so in microdollars per token."""
        tokens = (usage.input, usage.output, usage.cache_read, usage.cache_write)
        prices = self.model.price if self.model is not None else None
        return sum(tokens), round(
            sum(count * price for count, price in zip(tokens, prices or (0, 0, 0, 0), strict=True))
        )

    def spend(self, usage: Usage) -> int:
        """What a completion cost, in microdollars; it counts against the budgets until the commit takes it over."""
        tokens, cost = self.price(usage)
        self.spent_tokens += tokens
        self.spent_microdollars += cost
        return cost

    def said(self, text: str, *, by_person: bool) -> None:
        """The last words of the conversation, for listings."""
        if words := " ".join(text[:LOOKED_AT].split()):
            self.words = (words, by_person)
            if by_person and not self.opening:
                self.opening = words

    def figures(self, turn: Turn, cost: int) -> bytes:
        """What the turn's entry says of its completion: who answered, how it ended, what it took (ms) and cost (dollars). JSON.

        Args:
            turn: As the model gave it.
            cost: In microdollars.
        """
        model = self.model
        figures: dict[str, Any] = {
            "model": model.name if model is not None else self.asks,
            "stop_reason": turn.stop_reason,
            "usage": turn.usage,
            "cost": cost / 1_000_000,
        }
        if model is not None:
            figures["model_id"] = model.id
        if (asked := self.asked) is not None:
            figures |= {"asked_at": asked.at, "first_ms": asked.first, "ms": asked.whole}
            if asked.errors:
                figures |= {"attempts": len(asked.errors) + 1, "errors": asked.errors}
            if asked.sent is not None:
                figures |= {"request": asked.sent} | ({"prefix": asked.prefix} if asked.prefix else {})
        return msgspec.json.encode(figures)

    def live(self, kind: str, data: dict[str, Any]) -> None:
        """Show something to anyone who watches; nobody's watching fails a slice."""
        thread = self.thread.id
        try:
            self.services.observer.live(thread, kind, data)
        except Exception as error:  # noqa: BLE001 any failure, of whatever class, ends here
            left_out("a live event", thread, error)

    def offer(self, tool: str) -> Offer | None:
        return self.catalog.find(tool) if self.catalog is not None else None
