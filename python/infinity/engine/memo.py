"""What a thread remembers from slice to slice beside its history: small, in its header, committed with everything else."""

from __future__ import annotations

import msgspec

from infinity._core import Thread


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
    sequences: dict[str, int] = {}
    """The ``seq`` of the last event, by subscription."""


_decoder = msgspec.json.Decoder(Memo)


def recall(thread: Thread) -> Memo:
    return _decoder.decode(thread.memo)


def remember(thread: Thread, memo: Memo) -> None:
    thread.set_memo(msgspec.json.encode(memo))
