"""Commit: the slice's whole change in one transaction (I6). Only what this step wrote may leave afterwards (I5)."""

from __future__ import annotations

from dataclasses import dataclass, field

from infinity._core import Delta, Message
from infinity.abc import Usage
from infinity.engine.family import tell_parent
from infinity.engine.work import Slice


@dataclass(frozen=True, slots=True)
class Committed:
    """What became durable: the change, and the messages it put into inboxes."""

    delta: Delta
    messages: list[Message] = field(default_factory=list)


async def commit(slice: Slice) -> Committed | None:
    """``None`` if there was nothing to write. Raises ``Conflict`` when the slice lost its claim (I1); then nothing happened.

    A slice whose commit failed may be committed again: with the very same change.
    """
    if slice.delta is None:
        if not slice.thread.changed():
            return None
        tell_parent(slice)
        usage = Usage(*slice.thread.usage)
        slice.note("slice", rounds=slice.rounds, timings=slice.timings, usage=usage)
        slice.delta = slice.thread.delta(slice.now)
    delta = slice.delta
    messages = await slice.services.store.commit(delta)
    slice.thread.committed()
    # What was bought is the store's now: nothing that fails later drops it.
    slice.delta, slice.bought, slice.spent_tokens, slice.spent_microdollars = None, False, 0, 0
    slice.services.observer.gate("committed")
    return Committed(delta, messages)
