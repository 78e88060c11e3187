"""Commit: the slice's whole change in one transaction (I6). Only what this step wrote may leave afterwards (I5)."""

from __future__ import annotations

from dataclasses import dataclass, field

from infinity._core import Delta, Message
from infinity.abc import Usage
from infinity.engine import face
from infinity.engine.children import tell_parent
from infinity.engine.slice.state import Slice


@dataclass(frozen=True, slots=True)
class Committed:
    """What became durable: the change, and the messages it put into inboxes."""

    delta: Delta
    messages: list[Message] = field(default_factory=list)


async def commit(current: Slice) -> Committed | None:
    """``None`` if there was nothing to write. Raises ``Conflict`` when the slice lost its claim (I1); then nothing happened.

    A slice whose commit failed may be committed again: with the very same change.
    """
    if current.delta is None:
        if not current.thread.changed():
            return None
        tell_parent(current)
        face.keep(current)
        usage = Usage(*current.thread.usage)
        waited = max(0, current.started_at - current.queued_at) if current.queued_at else None
        current.note(
            "slice",
            rounds=current.rounds,
            timings=current.timings,
            usage=usage,
            started_at=current.started_at,
            queued_ms=waited,
            messages=current.folded,
            spent=current.spent_microdollars / 1_000_000,
        )
        current.delta = current.thread.delta(current.now)
    delta = current.delta
    messages = await current.services.store.commit(delta)
    current.thread.committed()
    # What was bought is the store's now: nothing that fails later drops it.
    current.delta, current.bought, current.spent_tokens, current.spent_microdollars = None, False, 0, 0
    current.services.observer.gate("committed")
    return Committed(delta, messages)
