"""Complete: render the request, stream the model, gather the turn.

Nothing of a turn reaches history before the turn is complete: a broken stream is retracted and tried again (L8, M5). An interrupt
keeps the text that was visible. Short waits are spent here; longer ones end the slice and a durable timer wakes it (L14).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any, TypeVar

from infinity.abc import Model, ModelRequest, Part, Reasoning, Text, ToolUse, Turn
from infinity.engine import compaction
from infinity.engine.fallback import Fallback, blame
from infinity.engine.request import request_of
from infinity.engine.work import Slice
from infinity.errors import ConfigError, ContextTooLong, InvalidModelRequest, ModelError, ModelUnavailable
from infinity.message import Action, Kind, Timer, TimerPurpose, encode
from infinity.models.edge import completion

T = TypeVar("T")

RETRY_FIRST, RETRY_LONGEST = 1.0, 900.0
"""Seconds between tries: doubling, with jitter, unless the provider says how long (retry-after)."""


async def complete(slice: Slice) -> Turn | None:
    """The turn, or ``None`` when there is none: interrupted before any text, or given up (then the thread says why)."""
    started_at = slice.now
    try:
        turn = await _tries(slice)
    except ModelError as error:
        _give_up(slice, error)
        turn = None
    except ConfigError as error:
        _park(slice, error.code, str(error))
        turn = None
    else:
        if turn is not None:
            slice.thread.set_problem(None)
    slice.mark("complete", started_at)
    slice.services.observer.gate("completed")
    return turn


async def _tries(slice: Slice) -> Turn | None:
    model, info = slice.services.models.resolve(slice.thread.model)
    slice.model = info
    request = request_of(slice, info)
    fallback = Fallback(slice, info)
    tries, timeouts = slice.services.settings.retries.completion, slice.services.settings.timeouts
    until = slice.now + int(timeouts.completion * 1000)
    for attempt in range(1, tries + 1):
        shown = _Shown(slice, attempt)
        try:
            turn = await _interruptible(slice, _stream(model, request, shown, (until - slice.now) / 1000))
            fallback.accepted()
            return turn
        except _Interrupted:
            slice.cut = slice.out_of_time
            return _kept(slice, shown)
        except ModelError as error:
            shown.retract()
            if attempt < tries and (simpler := fallback.after(error, request)) is not None:
                request = simpler
                continue
            wait = _wait(error, attempt)
            if not error.retryable or attempt == tries or wait > timeouts.short_wait:
                raise
            retrying = {"state": "retrying", "attempt": attempt, "code": error.code, "wait": wait}
            slice.services.observer.live(slice.thread.id, "slice", retrying)
        try:
            await _interruptible(slice, slice.services.clock.sleep(wait))
        except _Interrupted:
            slice.cut = slice.out_of_time
            return None
    raise AssertionError("a completion makes at least one try")


class _Interrupted(Exception):
    """The user interrupted or stopped the thread while it waited, or the host's time was over."""


async def _interruptible(slice: Slice, work: Coroutine[Any, Any, T]) -> T:
    """Wait for something that an interrupt ends at once."""
    if slice.signal is not None or slice.out_of_time:
        work.close()
        raise _Interrupted
    task = asyncio.ensure_future(work)
    slice.waiting = task
    try:
        return await task
    except asyncio.CancelledError:
        if slice.signal is None and not slice.out_of_time:
            raise
        raise _Interrupted from None
    finally:
        slice.waiting = None


class _Shown:
    """What clients have seen of an attempt."""

    def __init__(self, slice: Slice, attempt: int) -> None:
        self._slice = slice
        self._attempt = attempt
        self._text: list[str] = []
        self._anything = False

    def live(self, kind: str, **data: Any) -> None:
        self._anything = True
        self._slice.services.observer.live(self._slice.thread.id, kind, {"attempt": self._attempt, **data})

    async def wait_for_its_turn(self, model: str) -> None:
        """``limits.requests_per_minute``; an interrupt ends the wait like the stream."""
        services = self._slice.services
        wait = services.pace.reserve(model, services.clock.now())
        if wait > 0:
            await services.clock.sleep(wait)

    def part(self, part: Part) -> None:
        match part:
            case Text(text):
                self._text.append(text)
                self.live("text", text=text)
            case Reasoning(text):
                self.live("reasoning", text=text)
            case ToolUse(id, tool):
                self.live("call", id=id, tool=tool)

    def retract(self) -> None:
        if self._anything:
            self.live("retract")

    @property
    def visible(self) -> str:
        return "".join(self._text).strip()


async def _stream(model: Model, request: ModelRequest, shown: _Shown, seconds: float) -> Turn:
    await shown.wait_for_its_turn(request.model.name)
    try:
        async with asyncio.timeout(seconds):
            return await completion(model, request, shown.part)
    except TimeoutError:
        raise ModelUnavailable(f"the completion took longer than {seconds:.0f} seconds") from None


def _kept(slice: Slice, shown: _Shown) -> Turn | None:
    """An interrupt keeps what the user saw; a stop takes it back and asks again on resume."""
    if slice.signal is not Action.INTERRUPT or not shown.visible:
        shown.retract()
        return None
    return Turn([{"type": "text", "text": shown.visible}], stop_reason="interrupted")


def _wait(error: ModelError, attempt: int) -> float:
    if error.retry_after is not None:
        return error.retry_after
    longest: float = min(RETRY_FIRST * 2 ** (attempt - 1), RETRY_LONGEST)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311


def _give_up(slice: Slice, error: ModelError) -> None:
    """End the slice without a turn. What can be retried is, by a timer that survives; the rest waits for the user (L18)."""
    retries = slice.services.settings.retries
    if isinstance(error, ContextTooLong):
        problem = compaction.unblock(slice)
        if problem is None:
            slice.problem(error.code, f"{error}; it goes on when the history has been compacted")
            return
        words = f"{error}, and it cannot be compacted: {problem}{_blame(slice, error)}"
        error = ContextTooLong(words, status=error.status)
    elif isinstance(error, InvalidModelRequest):
        error = InvalidModelRequest(f"{error}{_blame(slice, error)}", status=error.status)
    if not error.retryable or slice.retries >= retries.slices:
        _park(slice, error.code, str(error))
        return
    wait = _wait(error, retries.completion + slice.retries)
    _try_again_at(slice, slice.now + int(wait * 1000))
    slice.problem(error.code, f"{error}; next try in {wait:.0f} s")


def _blame(slice: Slice, error: ModelError) -> str:
    return blame(slice.model, error, request_of(slice, slice.model)) if slice.model is not None else ""


def postpone(slice: Slice) -> None:
    """The host's time was over before the model had answered: a timer that is due at once goes on in another slice (L14).

    Turns that were completed are kept. A completion that never fits is given up like one that always fails (R5, L18).
    """
    if not slice.thread.pending or slice.thread.status in ("stopped", "closed"):
        return
    if slice.turns:
        slice.retries = 0
    if slice.retries >= slice.services.settings.retries.slices:
        text = f"the model did not answer within the host's time limit, {slice.retries + 1} times in a row"
        _park(slice, "time_limit", text)
        return
    # What was ended was no completion; what was completed counts on (limits.rounds).
    _try_again_at(slice, slice.now, rounds=slice.rounds - 1 if slice.cut else slice.rounds)


def _try_again_at(slice: Slice, due_at: int, rounds: int = 0) -> None:
    version = slice.thread.version + 1
    timer = Timer(purpose=TimerPurpose.RETRY, attempt=slice.retries + 1, rounds=rounds, version=version)
    # A timer's id becomes its message's id, so every retry has one of its own.
    slice.thread.set_timer(f"retry.{slice.thread.id}.{version}", due_at, Kind.TIMER, encode(timer))


def _park(slice: Slice, code: str, text: str) -> None:
    slice.thread.set_pending(False)
    slice.problem(code, f"{text}. Send a message or resume the thread to try again")
