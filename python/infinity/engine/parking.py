"""Parking: a thread whose slices fail in the same way again and again rests with a problem, and costs nothing until a person resumes it (R7).

The slice that parks does as little as possible, because whatever failed may fail again: it folds messages in and buys nothing. A message
that cannot be folded in is discarded on record (I2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from infinity._core import Message, Thread
from infinity.engine import spending
from infinity.engine.memo import recall, remember
from infinity.engine.optional import optional_async
from infinity.engine.services import Services
from infinity.engine.slice.commit import Committed, commit
from infinity.engine.slice.prepare import prepare
from infinity.engine.work import Slice

__all__ = ["park_failing"]

MOST_TRIALS = 256
"""Messages that are folded in one by one to find those that cannot be; each trial reads the state anew."""


async def park_failing(
    services: Services, thread: str, batch: Sequence[Message], code: str, text: str
) -> tuple[Slice, Committed | None]:
    """Commit the batch, and a problem that stays until the thread is resumed. Raises what the store, or damaged state, raises."""
    snapshot = await services.store.load(thread, -1, [message.id for message in batch])
    assert snapshot is not None, "the store answered 'unchanged' for a version it was not asked about"
    catalog = await optional_async("the tools", thread, services.catalogs.of(Thread.load(snapshot).root))

    def fresh() -> Slice:
        return Slice(services, Thread.load(snapshot), services.clock.now(), catalog)

    slice = _folded(fresh, batch)
    problem = f"{text}. {spending.RESUME.capitalize()}"
    if slice.thread.status != "closed":
        spending.park(slice, code, problem)
        memo = recall(slice.thread)
        memo.held = f"{code}: {problem}"
        remember(slice.thread, memo)
    return slice, await commit(slice)


def _folded(fresh: Callable[[], Slice], batch: Sequence[Message]) -> Slice:
    """A slice with the batch folded in as far as that can be."""

    def fails(messages: Sequence[Message]) -> str | None:
        try:
            prepare(fresh(), messages)
        except Exception as error:  # noqa: BLE001 whatever a message does to its slice, it must not do it for ever
            return f"{type(error).__name__}: {error}"
        return None

    bad: dict[str, str] = {}
    if fails(batch) is not None:
        for message in batch[:MOST_TRIALS]:
            if (reason := fails([message])) is not None:
                bad[message.id] = reason
        good = [message for message in batch if message.id not in bad]
        if (reason := fails(good)) is not None:
            bad |= {message.id: reason for message in good}
    slice = fresh()
    for message in batch:
        if message.id in bad and not slice.thread.seen(message.id):
            slice.discard(message, f"it cannot be applied: {bad[message.id]}")
    prepare(slice, [message for message in batch if message.id not in bad])
    return slice
