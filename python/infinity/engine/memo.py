"""What a thread remembers from slice to slice beside its history: small, in its header, committed with everything else."""

from __future__ import annotations

from functools import lru_cache

import msgspec
from msgspec.structs import replace

from infinity._core import Thread
from infinity.abc import Header


class Asking(msgspec.Struct, omit_defaults=True):
    """The questions and sign-ins of one open call (CHO-3)."""

    open: list[str] = []
    """Kinds that wait for the user now: ``choice``, ``oauth``."""
    until: int = 0
    """When they end by themselves, in ms since the epoch; 0: never."""
    left: int = -1
    """Milliseconds of the call's deadline that were left when it was stopped; -1: the call has none."""
    times: int = 0
    """How often the deadline has been stopped; the timers that follow have names of their own, because a timer's name is spent once it has fired."""


class Simpler(msgspec.Struct, frozen=True, omit_defaults=True):
    """What requests leave out or shorten of what is stored, because the model's API has refused it (``engine/fallback.py``). By positions of entries;
    the core renders it (``rust/src/render/simpler.rs``)."""

    images_before: int = 0
    reasoning_before: int = 0
    longest: int = 0
    """Characters of a text; 0 is no limit."""
    longest_before: int = 0
    left_out: list[tuple[int, bool, int]] = []
    """Single blocks: position, whether it is the user's, its number there."""

    def without_images(self, before: int) -> Simpler:
        return replace(self, images_before=before)

    def without_reasoning(self, before: int) -> Simpler:
        return replace(self, reasoning_before=before)

    def shortened(self, longest: int, before: int) -> Simpler:
        return replace(self, longest=longest, longest_before=before)

    def without(self, place: tuple[int, bool, int]) -> Simpler:
        return replace(self, left_out=[*self.left_out, place])


class Ending(msgspec.Struct, frozen=True, omit_defaults=True):
    """An interrupt or a close that is not through yet (``engine/endings.py``)."""

    before: int
    """Calls of turns before this position are cancelled."""
    closing: bool = False
    report: str | None = None


class Face(msgspec.Struct, frozen=True, omit_defaults=True):
    """What listings show of a conversation, so that they need no entry of it. Texts as they were said, cut."""

    opening: str = ""
    """The first words of a person."""
    said: str = ""
    """The last words."""
    by_person: bool = False
    """Whether a person said them; else the model did."""
    at: int = 0
    """When, in milliseconds since the epoch."""


class Memo(msgspec.Struct, omit_defaults=True):
    compaction: str | None = None
    """The child of the compaction that is running."""
    compaction_failures: int = 0
    compact_not_before: int = 0
    """Milliseconds since the epoch."""
    blocked: bool = False
    """The thread cannot be completed without the compaction: the provider says that the context is too long."""
    retry: str | None = None
    """The id of the retry timer that is set: one at most, replaced and never added to (R8)."""
    retries: int = 0
    """Slices in a row that ended without a turn for the same cause."""
    since: int = 0
    """When the first attempt of this cause failed, in milliseconds since the epoch."""
    cause: str | None = None
    """The cause outside the thread that it waits for (``engine/probes.py``)."""
    tried: int = 0
    """Attempts on record when it began to wait for that cause, or its probe failed last: once it is over, as many again as for any cause may follow."""
    held: str | None = None
    """Why no completion is bought until a person resumes the thread."""
    prompts: dict[str, str] = {}
    """What open calls wait for: ``oauth``, ``choice`` or ``consent``, by call id."""
    asking: dict[str, Asking] = {}
    """By call id, from its first question until it ends."""
    deadlines: dict[str, int] = {}
    """Where it is not the one of the call's row, because the user had to allow the call first: in ms since the epoch, by call id."""
    edited: list[str] = []
    """Open calls that the user allowed with arguments of their own."""
    refused: dict[str, str] = {}
    """Why something that came for an open call was refused last, by call id (CB-7)."""
    owes_report: bool = False
    """It was spawned, or got a message of its parent, and has not reported since (THR-5)."""
    awaited: list[str] = []
    """The ends of the ids of children that owe this thread a report, while it owes one itself."""
    told: str | None = None
    """The problem that its parent was told of, while it stands."""
    sequences: dict[str, int] = {}
    """The ``seq`` of the last event, by subscription."""
    ending: Ending | None = None
    """Calls that are still to be cancelled."""
    stand_in: str | None = None
    """The model that answered last in place of the thread's own (``engine/stand_ins.py``)."""
    simpler: Simpler = Simpler()
    """The form in which requests are made; children inherit it."""
    face: Face = Face()


class Glimpse(Memo, frozen=True):  # type: ignore[misc]  # mypy knows dataclasses, where that is not allowed
    """A memo to look at. It is shared by all who look, so nothing in it may be changed."""


_decoder = msgspec.json.Decoder(Memo)


def recall(thread: Thread) -> Memo:
    """To be changed, and then remembered."""
    return _decoder.decode(thread.memo)


def glance(thread: Thread) -> Glimpse:
    """To be looked at only, which a slice does many times: decoded once for as long as it stays the same."""
    return _seen(thread.memo)


def noted(header: Header) -> Glimpse:
    """The memo of a thread in a listing."""
    return _seen(bytes(header.memo))


_seen = lru_cache(maxsize=64)(msgspec.json.Decoder(Glimpse).decode)


def remember(thread: Thread, memo: Memo) -> None:
    thread.set_memo(msgspec.json.encode(memo))


def inherit(parent: Thread, child: Thread) -> None:
    """What was learnt about entries that the child has inherited."""
    simpler = glance(parent).simpler
    if simpler != Simpler():
        remember(child, Memo(simpler=simpler))
