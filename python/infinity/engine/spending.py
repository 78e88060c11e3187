"""Spending: whether a slice may buy a completion, and what becomes of a thread whose completion failed (I12, R5, R8).

Whatever fails is on record before anything more is bought. What can be tried again is, by the one retry timer that a thread has; what is
used up, or cannot be tried again, parks with a problem. Causes outside the thread are left to ``engine/probes.py``.
"""

from __future__ import annotations

import math

from infinity.abc import BUDGET, Problem, Usage
from infinity.backoff import Backoff
from infinity.engine import budget, compaction, stand_ins
from infinity.engine.attempts import Owed, bound
from infinity.engine.memo import Memo, glance, recall, remember
from infinity.engine.work import Slice
from infinity.errors import ConfigError, ModelError
from infinity.message import Kind, Timer, TimerPurpose, encode
from infinity.settings import Retries

__all__ = [
    "exhausted",
    "failed",
    "give_up",
    "hold",
    "interrupted",
    "may_buy",
    "park",
    "quiet",
    "recovered",
    "started_anew",
    "try_again_at",
    "unhold",
    "used",
    "wait_before",
]

BACKOFF = Backoff(first=1.0, longest=900.0)
"""Between tries of one completion."""
ADVICE_LONGEST = 3_600.0
"""Seconds that a provider's advice (retry-after) is followed for; it never makes a wait shorter than our own."""
RESUME = "resume the thread to try again"
_NEXT_TRY = "; next try in "
PROBED = "; the model is probed again by itself"


def wait_before(attempt: int, error: ModelError) -> float:
    """Seconds before the try after ``attempt`` failed ones."""
    own = BACKOFF.wait(attempt - 1)
    advice = error.retry_after
    if advice is None or math.isnan(advice):
        return own
    return max(own, min(advice, ADVICE_LONGEST))


# -- before


async def may_buy(slice: Slice) -> bool:
    """Whether a completion may be bought now. If not, the thread has parked, or waits, and says why.

    Raises ``StoreError`` when an earlier attempt cannot be put on record: then nothing is bought.
    """
    thread, attempts = slice.thread.id, slice.services.attempts
    if attempts.owed(thread) and (count := await attempts.settle(thread)) is not None:
        slice.thread.attempted(count)
    try:
        slice.provider, slice.model = slice.services.models.resolve(slice.asks)
    except ConfigError as error:
        if not await stand_ins.takes_over(slice, error):
            await give_up(slice, error)
            return False
    memo = glance(slice.thread)
    if (held := Problem.read(memo.held)) is not None:
        park(slice, *held)
    elif (used_up := await budget.exhausted(slice)) is not None:
        park(slice, BUDGET, f"{used_up}; resume the thread to allow as much again")
    elif not await _free_to_ask(slice, memo):
        pass
    elif slice.stand_in is not None:
        return True
    elif exhausted(slice) and not (slice.probing and used(slice) - memo.tried < bound(_retries(slice))):
        park(slice, *_used_up(slice))
    else:
        return True
    return False


def _used_up(slice: Slice) -> Problem:
    """The problem that stands; one that promises a next try is told without that, since there is none any more."""
    problem = Problem.read(slice.thread.problem) or Problem("attempts", f"the model was asked{_NEXT_TRY}")
    why, promised, _ = problem.text.partition(PROBED if PROBED in problem.text else _NEXT_TRY)
    return Problem(problem.code, f"{why}; {_tried(slice)}. {RESUME.capitalize()}") if promised else problem


async def _free_to_ask(slice: Slice, memo: Memo) -> bool:
    """No cause outside the thread stands, or this slice is its probe, or a person asks."""
    probes = slice.services.probes
    if memo.cause is not None:
        await probes.refresh()
        slice.probing = slice.probing or slice.woken
    cause = probes.standing(slice.model, slice.asks)
    if cause is not None and stand_ins.has_any(slice):
        if await probes.take(cause):
            slice.probing = True
            return True
        if stand_ins.switch(slice, cause.text):
            return True
    if cause is None or slice.asked_by_a_person or slice.bought or compaction.is_summariser(slice):
        return True
    if await probes.take(cause):
        slice.probing = True
        return True
    await hold(slice, cause.key, cause.code, cause.text)
    return False


def used(slice: Slice) -> int:
    """Attempts for the present cause."""
    return max(slice.thread.attempts, slice.receives - 1)


def exhausted(slice: Slice) -> bool:
    return used(slice) >= bound(_retries(slice))


def _retries(slice: Slice) -> Retries:
    return slice.services.settings.retries


def _tried(slice: Slice) -> str:
    return f"it was tried {used(slice)} times (retries.completion, retries.slices)"


# -- after


async def failed(slice: Slice, code: str, usage: Usage) -> None:
    """Put a failed attempt on record, with what it used. ``StoreError``: it is not, and nothing more may be bought."""
    tokens, microdollars = slice.price(usage)
    slice.wasted = tokens
    count = await slice.services.attempts.record(slice.thread.id, Owed(code, tokens, microdollars))
    if count is not None:
        slice.thread.attempted(count)
    if not glance(slice.thread).since:
        memo = recall(slice.thread)
        memo.since = slice.now
        remember(slice.thread, memo)


async def give_up(slice: Slice, error: ModelError | ConfigError) -> None:
    """End the slice without a turn. What can be tried again is, by a timer that survives; the rest waits for a person (L18)."""
    settings, memo = slice.services.settings.retries, glance(slice.thread)
    used_up = exhausted(slice) or memo.retries >= settings.slices
    # A compaction that fails is begun again by its parent, which has something to say: it waits for nothing.
    lasting = not compaction.is_summariser(slice)
    cause = slice.services.probes.cause_of(error, slice.model, slice.thread.model) if lasting else None
    retryable = isinstance(error, ModelError) and error.retryable
    if lasting and cause is None and retryable and used_up and not slice.wasted and slice.model is not None:
        cause = slice.services.probes.outage(slice.model, memo.since)
    if cause is not None:
        await hold(slice, cause, error.code, str(error), probe=True)
    elif exhausted(slice):
        park(slice, error.code, f"{error}; {_tried(slice)}. {RESUME.capitalize()}")
    elif not isinstance(error, ModelError) or not retryable or used_up:
        park(slice, error.code, f"{error}. Send a message or {RESUME}")
    else:
        # Grows with the tries that were made; a slice that ended after its first one has not waited yet.
        tries = min(settings.completion + memo.retries, max(used(slice), 1))
        wait = wait_before(tries, error)
        try_again_at(slice, slice.now + int(wait * 1000))
        slice.problem(error.code, f"{error}{_NEXT_TRY}{wait:.0f} s")


async def hold(slice: Slice, cause: str, code: str, text: str, *, probe: bool = False) -> None:
    """Wait for the end of a cause outside the thread: it stays pending, and its timer is a net under the wake that the probe brings.

    ``probe``: its own completion has just failed by the cause.
    """
    probes = slice.services.probes
    standing = probes.standing(slice.model, slice.thread.model)
    asked = probe and (slice.probing or standing is None or standing.key != cause)
    due_at = await probes.failed(cause, code, text, probe=asked)
    if probe or glance(slice.thread).cause is None:
        memo = recall(slice.thread)
        memo.tried = used(slice)
        remember(slice.thread, memo)
    try_again_at(slice, due_at, cause=cause)
    said = f"{text}{PROBED}, at least once an hour. To try at once, resume the thread"
    if slice.thread.problem != f"{code}: {said}":
        slice.problem(code, said)


def park(slice: Slice, code: str, text: str) -> None:
    """Nothing more is bought until a person says so (L18). ``text`` says what to do."""
    quiet(slice)
    slice.thread.set_pending(False)
    slice.problem(code, text)


def try_again_at(slice: Slice, due_at: int, *, rounds: int = 0, cause: str | None = None) -> None:
    """Set the thread's one retry timer, in place of the one that it has (R8). A timer's id becomes its message's id, so each has one of its own."""
    memo = recall(slice.thread)
    version = slice.thread.version + 1
    id = f"retry.{slice.thread.id}.{version}"
    if memo.retry is not None and memo.retry != id:
        slice.thread.cancel_timer(memo.retry)
    timer = Timer(
        purpose=TimerPurpose.RETRY,
        attempt=memo.retries + 1,
        rounds=rounds,
        version=version,
        cause=cause,
        asked=slice.asked_by_a_person and cause is None,
    )
    slice.thread.set_timer(id, due_at, Kind.TIMER, encode(timer))
    memo.retry, memo.cause = id, cause
    # A wait for a cause outside the thread is no slice of its own.
    memo.retries += cause is None
    remember(slice.thread, memo)


# -- the end of a cause


def quiet(slice: Slice) -> None:
    """No retry timer any more."""
    retry = glance(slice.thread).retry
    if retry is not None:
        slice.thread.cancel_timer(retry)
        memo = recall(slice.thread)
        memo.retry = None
        remember(slice.thread, memo)


def interrupted(slice: Slice) -> None:
    """A person interrupts a thread: it is not tried again, so a problem that promises another try is over as well."""
    if glance(slice.thread).retry is not None:
        slice.thread.set_problem(None)
    quiet(slice)


def unhold(slice: Slice, *, person: bool) -> None:
    """Something for the model came in: it is asked at once, in place of the retry that was set; unless a cause stands that only probes try.

    A person's words are asked at once in spite of a cause, but not when nothing may be bought: then the timer is all that wakes the thread.
    """
    memo = glance(slice.thread)
    if memo.retry is not None and (memo.cause is None or (person and not exhausted(slice))):
        quiet(slice)


def recovered(slice: Slice) -> None:
    """A turn was bought: what failed before it counts no longer."""
    slice.wasted, slice.receives, slice.probing = 0, 1, False
    if glance(slice.thread).stand_in is not None:
        stand_ins.recorded(slice)
    _forget(slice)


def started_anew(slice: Slice) -> None:
    """A person resumed the thread, or chose another model.

    What is forgotten is forgotten by a commit of its own, before anything is bought: the message that asks for it would come again after a
    crash, and refill the budget each time.
    """
    slice.receives = 1
    slice.asked_by_a_person = True
    if slice.thread.attempts:
        slice.thread.clear_attempts()
        slice.out_of_time = True
    _forget(slice)


def _forget(slice: Slice) -> None:
    seen = glance(slice.thread)
    if seen.retry is not None:
        quiet(slice)
    if seen.retries or seen.since or seen.tried or seen.cause is not None or seen.held is not None:
        memo = recall(slice.thread)
        memo.retries = memo.since = memo.tried = 0
        memo.cause = memo.held = None
        remember(slice.thread, memo)
