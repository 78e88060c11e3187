"""Commit: the slice's whole change in one transaction (I6). Only what this step wrote may leave afterwards (I5)."""

from __future__ import annotations

from dataclasses import dataclass, field

from infinity._core import Delta, Message
from infinity.engine.family import tell_parent
from infinity.engine.work import Slice


@dataclass(frozen=True, slots=True)
class Committed:
    """What became durable: the change, and the messages it put into inboxes."""

    delta: Delta
    messages: list[Message] = field(default_factory=list)


async def commit(slice: Slice) -> Committed | None:
    """``None`` if there was nothing to write. Raises ``Conflict`` when the slice lost its claim (I1); then nothing happened."""
    if not slice.thread.changed():
        return None
    tell_parent(slice)
    usage = slice.thread.usage
    slice.note("slice", rounds=slice.rounds, timings=slice.timings, usage=usage)
    delta = slice.thread.delta(slice.now)
    messages = await slice.services.store.commit(delta)
    slice.thread.committed()
    slice.services.observer.gate("committed")
    return Committed(delta, messages)
