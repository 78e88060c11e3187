"""Complete: render the request, stream the model, gather the turn.

Nothing of a turn reaches history before the turn is complete: a broken stream is retracted and tried again (L8, M5). An interrupt
keeps the text that was visible. Short waits are spent here; longer ones end the slice and a durable timer wakes it (L14). Every attempt
that brings no turn is on record, with what it used, before the next one is made (I12).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from infinity.abc import Model, ModelRequest, Part, Reasoning, Text, ToolUse, Turn, Usage
from infinity.engine import compaction, spending, stand_ins
from infinity.engine.attempts import Owed
from infinity.engine.fallback import Fallback, blame
from infinity.engine.memo import glance
from infinity.engine.request import request_of, sent
from infinity.engine.slice.state import Asked, Progress, Slice
from infinity.engine.watched import watched
from infinity.errors import (
    ConfigError,
    ContextTooLong,
    InvalidModelRequest,
    ModelError,
    ModelUnavailable,
    StoreError,
)
from infinity.message import Action
from infinity.models.edge import completion

T = TypeVar("T")

CHARS_PER_TOKEN = 4
"""For text whose tokens nobody has counted yet."""


async def complete(current: Slice) -> Turn | None:
    """The turn, or ``None`` when there is none: interrupted before any text, or given up (then the thread says why)."""
    started_at = current.now
    asked = current.asked = Asked(started_at)
    turn: Turn | None = None
    try:
        turn = await _answered(current)
        asked.whole = current.now - started_at
    except (ModelError, ConfigError) as error:
        if isinstance(error, InvalidModelRequest):
            error.args = (f"{error}{_blame(current, error)}",)
        if not (isinstance(error, ContextTooLong) and _compacting(current, error)):
            await spending.give_up(current, error)
    except StoreError:
        # Nothing more can be bought now; a turn that was bought before is committed, or kept, and another slice goes on.
        if not current.bought:
            raise
        current.last(cut=True)
    if turn is not None:
        current.bought = True
        spending.recovered(current)
        current.thread.set_problem(None)
    current.mark("complete", started_at)
    current.services.observer.gate("completed")
    return turn


async def _answered(current: Slice) -> Turn | None:
    """The turn of the thread's own model, or of one that stands in for it. Raises what its own has failed with."""
    first: ModelError | ConfigError | None = None
    while True:
        try:
            return await _tries(current) if await spending.may_buy(current) else None
        except (ModelError, ConfigError) as error:
            first = first or error
            if not await stand_ins.takes_over(current, error):
                raise first from error if first is not error else error.__cause__


async def _tries(current: Slice) -> Turn | None:
    """One completion, within the tries that the slice has. Raises the last error, which is on record."""
    assert current.provider is not None and current.model is not None, "may_buy resolves the model"
    settings = current.services.settings
    request = request_of(current, current.model)
    services, thread = current.services, current.thread.id
    prefix = await services.prefixes.keep(services.store, thread, request.system, request.tools)
    fallback: Fallback | None = None
    tries = 1 if current.probing else settings.retries.completion
    until = current.now + int(settings.timeouts.completion * 1000)
    for attempt in range(1, tries + 1):
        shown = _Shown(current, attempt)
        try:
            seconds = (until - current.now) / 1000
            turn = await _interruptible(current, _stream(current.provider, request, shown, seconds))
            _on_record(current, request, prefix, fallback)
            if fallback is not None:
                fallback.accepted()
            return turn
        except _Interrupted:
            _on_record(current, request, prefix, fallback)
            return await _kept(current, shown)
        except asyncio.CancelledError:
            # The host abandons the slice: what was asked for counts all the same, once there is time to write.
            current.services.attempts.owe(current.thread.id, Owed("abandoned", *current.price(shown.used())))
            raise
        except (ModelError, ConfigError) as error:
            shown.retract()
            if current.asked is not None:
                current.asked.errors.append(error.code)
                current.asked.first = None
            await spending.failed(current, error.code, shown.used())
            fallback = fallback or Fallback(current, current.model)
            simpler = (
                fallback.after(error, request) if attempt < tries and isinstance(error, ModelError) else None
            )
            if simpler is not None:
                request, wait = simpler, 0.0
            else:
                wait = _wait(current, error, attempt, tries)
        try:
            if wait > 0:
                await _interruptible(current, current.services.clock.sleep(wait))
        except _Interrupted:
            _cut_off(current)
            return None
        if not await spending.may_buy(current):
            return None
    raise AssertionError("a completion makes at least one try")


def _on_record(current: Slice, request: ModelRequest, prefix: str | None, fallback: Fallback | None) -> None:
    """What the turn's entry will say of the request that it answers."""
    if current.asked is not None and current.model is not None:
        simpler = fallback.simpler if fallback is not None else None
        current.asked.prefix = prefix
        current.asked.sent = sent(current, current.model, request, simpler)


def _wait(current: Slice, error: ModelError | ConfigError, attempt: int, tries: int) -> float:
    """Seconds until the next try in this slice; raises the error if there is none."""
    if (
        not isinstance(error, ModelError)
        or not error.retryable
        or attempt == tries
        or spending.exhausted(current)
    ):
        raise error
    wait = spending.wait_before(attempt, error)
    if wait > current.services.settings.timeouts.short_wait:
        raise error
    current.live("slice", {"state": "retrying", "attempt": attempt, "code": error.code, "wait": wait})
    return wait


class _Interrupted(Exception):
    """The user interrupted or stopped the thread while it waited, or the host's time was over."""


async def _interruptible(current: Slice, work: Coroutine[Any, Any, T]) -> T:
    """Wait for something that an interrupt ends at once."""
    if current.signal is not None or current.out_of_time:
        work.close()
        raise _Interrupted
    task = asyncio.ensure_future(watched(current.services.watch, current.thread.id, work))
    current.waiting = task
    try:
        return await task
    except asyncio.CancelledError:
        if current.signal is not None or current.out_of_time:
            raise _Interrupted from None
        own = asyncio.current_task()
        if own is not None and own.cancelling():
            raise
        # Nobody cancelled the slice: it is the provider's own request that was.
        raise ModelUnavailable("the model's request was cancelled inside its provider") from None
    finally:
        current.waiting = None


class _Shown:
    """What clients have seen of an attempt, and what it has used so far."""

    def __init__(self, current: Slice, attempt: int) -> None:
        self._slice = current
        self._attempt = attempt
        self._text: list[str] = []
        self._chars = 0
        self._known = Usage()
        self._anything = False

    def live(self, kind: str, **data: Any) -> None:
        self._anything = True
        self._slice.live(kind, {"attempt": self._attempt, **data})

    async def wait_for_its_turn(self, model: str) -> None:
        """``limits.requests_per_minute``; an interrupt ends the wait like the stream."""
        services = self._slice.services
        now = services.clock.now()
        wait = services.rate_limiter.reserve(model, now)
        if wait > 0:
            self._slice.held_until = now + int(wait * 1000)
            # Nothing of an answer was shown, so nothing is to be retracted.
            self._slice.live("slice", {"state": "held", "until": self._slice.held_until})
            try:
                await services.clock.sleep(wait)
            finally:
                self._slice.held_until = None

    def part(self, part: Part) -> None:
        asked = self._slice.asked
        if asked is not None and asked.first is None:
            asked.first = self._slice.now - asked.at
        match part:
            case Text(text):
                self._text.append(text)
                self._chars += len(text)
                self.live("text", text=text)
            case Reasoning(text):
                self._chars += len(text)
                self.live("reasoning", text=text)
            case ToolUse(id, tool):
                self.live("call", id=id, tool=tool)

    def counted(self, usage: Usage) -> None:
        self._known = usage

    def used(self) -> Usage:
        """What the stream has said, and at least what its text must have used. Nothing for a request that was refused."""
        known = self._known
        output = max(known.output, -(-self._chars // CHARS_PER_TOKEN))
        return Usage(known.input, output, known.cache_read, known.cache_write)

    def retract(self) -> None:
        if self._anything:
            self.live("retract")

    @property
    def visible(self) -> str:
        return "".join(self._text).strip()


def _cut_off(current: Slice) -> None:
    """A completion was ended: by the end of the host's time, or by a person."""
    if current.out_of_time:
        current.last(cut=True)


async def _stream(model: Model, request: ModelRequest, shown: _Shown, seconds: float) -> Turn:
    await shown.wait_for_its_turn(request.model.name)
    made = request
    request = ModelRequest(made.model, made.system, made.tools, made.messages, made.max_tokens, shown.counted)
    try:
        async with asyncio.timeout(seconds):
            return await completion(model, request, shown.part)
    except TimeoutError:
        raise ModelUnavailable(f"the completion took longer than {seconds:.0f} seconds") from None


async def _kept(current: Slice, shown: _Shown) -> Turn | None:
    """An interrupt keeps what the user saw; a stop takes it back and asks again on resume. Both have used what they have used."""
    _cut_off(current)
    if current.signal is not Action.INTERRUPT or not shown.visible:
        shown.retract()
        await spending.failed(current, "expired" if current.out_of_time else "interrupted", shown.used())
        return None
    return Turn([{"type": "text", "text": shown.visible}], stop_reason="interrupted", usage=shown.used())


def _compacting(current: Slice, error: ContextTooLong) -> bool:
    """The context is too long: the thread goes on when it has been compacted. False if that cannot be; then the error says why."""
    problem = compaction.unblock(current)
    if problem is None:
        current.problem(error.code, f"{error}; it goes on when the history has been compacted")
        return True
    error.args = (f"{error}, and it cannot be compacted: {problem}{_blame(current, error)}",)
    return False


def _blame(current: Slice, error: ModelError) -> str:
    return (
        blame(current.model, error, request_of(current, current.model)) if current.model is not None else ""
    )


def postpone(current: Slice) -> None:
    """The host's time was over before the model had answered: a timer that is due at once goes on in another slice (L14).

    Turns that were completed are kept. A completion that never fits is given up like one that always fails (R5, L18).
    """
    if not current.thread.pending or current.thread.status in ("stopped", "closed"):
        return
    retries = glance(current.thread).retries
    if retries >= current.services.settings.retries.slices or spending.exhausted(current):
        text = f"the model did not answer within the host's time limit, {retries + 1} times in a row"
        spending.park(current, "time_limit", f"{text}. Send a message or {spending.RESUME}")
        return
    # What was ended was no completion; what was completed counts on (limits.rounds).
    spending.try_again_at(
        current,
        current.now,
        rounds=current.rounds - 1 if current.progress is Progress.CUT else current.rounds,
    )
