"""Parking: a thread whose slices fail in the same way again and again rests with a problem, and costs nothing until a person resumes it (R7).

The slice that parks does as little as possible, because whatever failed may fail again: it folds messages in and buys nothing. A message
that cannot be folded in is discarded on record (I2). What no transaction of the store takes is never tried again as it is (B15).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from infinity._core import Message, Thread
from infinity.abc import HELD_BACK, Problem
from infinity.engine import calls, endings, prompts, spending
from infinity.engine.memo import recall, remember
from infinity.engine.optional import optional_async
from infinity.engine.services import Services
from infinity.engine.slice.commit import Committed, commit
from infinity.engine.slice.prepare import prepare
from infinity.engine.slice.state import Slice
from infinity.errors import LimitReached
from infinity.message import Result, Timer, decode

__all__ = ["fold_singly", "hold_back", "park_failing"]

MOST_TRIALS = 256
"""Messages that are folded in one by one to find those that cannot be; each trial reads the state anew."""


async def park_failing(
    services: Services, thread: str, batch: Sequence[Message], code: str, text: str
) -> tuple[Slice, Committed | None]:
    """Commit the batch, and a problem that stays until the thread is resumed. Raises what the store, or damaged state, raises."""
    fresh = await _reader(services, thread, batch)
    current = _folded(fresh, batch)
    _hold(current, code, text)
    return current, await commit(current)


async def fold_singly(
    services: Services, thread: str, batch: Sequence[Message], problem: Problem | None = None
) -> AsyncIterator[tuple[Slice, Committed | None]]:
    """Commit each message by itself, because no transaction takes them together (B15). One that none takes by itself is not tried again: a call
    gets an error result in place of its own, anything else is discarded on record and parks the thread. ``problem``: it parks in any case.

    Each step is to be followed before the next one is asked for: that may fail, and this one is durable."""
    for message in batch:
        fresh = await _reader(services, thread, [message])
        current = _folded(fresh, [message])
        current.wake_again()
        try:
            committed = await commit(current)
        except LimitReached as error:
            current = fresh()
            current.wake_again()
            if not _answered(current, message):
                current.discard(message, f"it cannot be applied: {error}")
                problem = problem or Problem(error.code, f"a message was discarded: {error}")
            committed = await commit(current)
        yield current, committed
    if problem is not None or not batch:
        current = (await _reader(services, thread, []))()
        _hold(current, *(problem or Problem(LimitReached.code, "its slice does not fit into a transaction")))
        yield current, await commit(current)


async def hold_back(services: Services, thread: str, text: str) -> Committed | None:
    """Park a thread before it runs anything: its messages stay where they are, and its tools are not even read. ``None`` if it is closed."""
    snapshot = await services.store.load(thread)
    assert snapshot is not None, "the store answered 'unchanged' for a version it was not asked about"
    current = Slice(services, Thread.load(snapshot), services.clock.now())
    _hold(current, HELD_BACK, text)
    return await commit(current)


async def _reader(services: Services, thread: str, batch: Sequence[Message]) -> Callable[[], Slice]:
    """Makes slices of the state as it is stored now."""
    snapshot = await services.store.load(thread, -1, [message.id for message in batch])
    assert snapshot is not None, "the store answered 'unchanged' for a version it was not asked about"
    catalog = await optional_async("the tools", thread, services.catalogs.of(Thread.load(snapshot).root))
    return lambda: Slice(services, Thread.load(snapshot), services.clock.now(), catalog)


def _hold(current: Slice, code: str, text: str) -> None:
    problem = f"{text}. {spending.RESUME.capitalize()}"
    if current.thread.status != "closed":
        spending.park(current, code, problem)
        memo = recall(current.thread)
        memo.held = str(Problem(code, problem))
        remember(current.thread, memo)


def _answered(current: Slice, message: Message) -> bool:
    """An error result in place of one that is too large, or of what a timer would have brought; false if the message ends no open call.

    What ends a call must end it: nothing else would, once its timer has gone off (I7).
    """
    try:
        body = decode(message.kind, message.body)
    except ValueError:
        return False
    call = endings.open_call(current, body.call_id or "") if isinstance(body, (Result, Timer)) else None
    if call is None:
        return False
    if isinstance(body, Result):
        calls.fail(current, call, prompts.too_large_to_keep(call.tool))
    else:
        seconds = current.services.settings.timeouts.call
        calls.fail(current, call, prompts.past_deadline(call.tool, seconds, prompts.Sending.ATTEMPTED))
        if call.toolset:
            calls.notify_cancelled(current, call.id)
    current.thread.consume(message)
    return True


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
    current = fresh()
    for message in batch:
        if message.id in bad and not current.thread.seen(message.id):
            current.discard(message, f"it cannot be applied: {bad[message.id]}")
    prepare(current, [message for message in batch if message.id not in bad])
    return current
