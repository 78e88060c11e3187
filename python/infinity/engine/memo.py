"""What a thread remembers from slice to slice beside its history: small, in its header, committed with everything else."""

from __future__ import annotations

import msgspec

from infinity._core import Thread


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


class Memo(msgspec.Struct, omit_defaults=True):
    compaction: str | None = None
    """The child of the compaction that is running."""
    compaction_failures: int = 0
    compact_not_before: int = 0
    """Milliseconds since the epoch."""
    blocked: bool = False
    """The thread cannot be completed without the compaction: the provider says that the context is too long."""
    prompts: dict[str, str] = {}
    """What open calls wait for: ``oauth``, ``choice`` or ``consent``, by call id."""
    asking: dict[str, Asking] = {}
    """By call id, from its first question until it ends."""
    deadlines: dict[str, int] = {}
    """Where it is not the one of the call's row, because the user had to allow the call first: in ms since the epoch, by call id."""
    sequences: dict[str, int] = {}
    """The ``seq`` of the last event, by subscription."""


_decoder = msgspec.json.Decoder(Memo)


def recall(thread: Thread) -> Memo:
    return _decoder.decode(thread.memo)


def remember(thread: Thread, memo: Memo) -> None:
    thread.set_memo(msgspec.json.encode(memo))
