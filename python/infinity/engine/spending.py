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
from infinity.engine.slice.state import Slice, Why
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
    "promises_a_try",
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
_PROBED = "; the model is probed again by itself"


def wait_before(attempt: int, error: ModelError) -> float:
    """Seconds before the try after ``attempt`` failed ones."""
    own = BACKOFF.wait(attempt - 1)
    advice = error.retry_after
    if advice is None or math.isnan(advice):
        return own
    return max(own, min(advice, ADVICE_LONGEST))


# -- before


async def may_buy(current: Slice) -> bool:
    """Whether a completion may be bought now. If not, the thread has parked, or waits, and says why.

    Raises ``StoreError`` when an earlier attempt cannot be put on record: then nothing is bought.
    """
    thread, attempts = current.thread.id, current.services.attempts
    if attempts.owed(thread) and (count := await attempts.settle(thread)) is not None:
        current.thread.attempted(count)
    try:
        current.provider, current.model = current.services.models.resolve(current.asks)
    except ConfigError as error:
        if not await stand_ins.takes_over(current, error):
            await give_up(current, error)
            return False
    memo = glance(current.thread)
    if (held := Problem.read(memo.held)) is not None:
        park(current, *held)
    elif (used_up := await budget.exhausted(current)) is not None:
        park(current, BUDGET, f"{used_up}; resume the thread to allow as much again")
    elif not await _free_to_ask(current, memo):
        pass
    elif current.stand_in is not None:
        return True
    elif exhausted(current) and not (
        current.probing and used(current) - memo.tried < bound(_retries(current))
    ):
        park(current, *_used_up(current))
    else:
        return True
    return False


def _used_up(current: Slice) -> Problem:
    """The problem that stands; one that promises a next try is told without that, since there is none any more."""
    problem = Problem.read(current.thread.problem) or Problem("attempts", f"the model was asked{_NEXT_TRY}")
    why, promised, _ = problem.text.partition(_PROBED if _PROBED in problem.text else _NEXT_TRY)
    return Problem(problem.code, f"{why}; {_tried(current)}. {RESUME.capitalize()}") if promised else problem


async def _free_to_ask(current: Slice, memo: Memo) -> bool:
    """No cause outside the thread stands, or this slice is its probe, or a person asks."""
    probes = current.services.probes
    if memo.cause is not None:
        await probes.refresh()
        if Why.WAKE in current.why:
            current.why |= Why.PROBE
    cause = probes.standing(current.model, current.asks)
    if cause is not None and stand_ins.has_any(current):
        if await probes.take(cause):
            current.why |= Why.PROBE
            return True
        if stand_ins.switch(current, cause.text):
            return True
    if cause is None or current.asked_by_a_person or current.bought or compaction.is_summariser(current):
        return True
    if await probes.take(cause):
        current.why |= Why.PROBE
        return True
    await hold(current, cause.key, cause.code, cause.text)
    return False


def used(current: Slice) -> int:
    """Attempts for the present cause."""
    return max(current.thread.attempts, current.receives - 1)


def exhausted(current: Slice) -> bool:
    return used(current) >= bound(_retries(current))


def _retries(current: Slice) -> Retries:
    return current.services.settings.retries


def _tried(current: Slice) -> str:
    return f"it was tried {used(current)} times (retries.completion, retries.slices)"


# -- after


async def failed(current: Slice, code: str, usage: Usage) -> None:
    """Put a failed attempt on record, with what it used. ``StoreError``: it is not, and nothing more may be bought."""
    tokens, microdollars = current.price(usage)
    current.wasted = tokens
    count = await current.services.attempts.record(current.thread.id, Owed(code, tokens, microdollars))
    if count is not None:
        current.thread.attempted(count)
    if not glance(current.thread).since:
        memo = recall(current.thread)
        memo.since = current.now
        remember(current.thread, memo)


async def give_up(current: Slice, error: ModelError | ConfigError) -> None:
    """End the slice without a turn. What can be tried again is, by a timer that survives; the rest waits for a person (L18)."""
    settings, memo = current.services.settings.retries, glance(current.thread)
    used_up = exhausted(current) or memo.retries >= settings.slices
    # A compaction that fails is begun again by its parent, which has something to say: it waits for nothing.
    lasting = not compaction.is_summariser(current)
    cause = current.services.probes.cause_of(error, current.model, current.thread.model) if lasting else None
    retryable = isinstance(error, ModelError) and error.retryable
    if (
        lasting
        and cause is None
        and retryable
        and used_up
        and not current.wasted
        and current.model is not None
    ):
        cause = current.services.probes.outage(current.model, memo.since)
    if cause is not None:
        await hold(current, cause, error.code, str(error), probe=True)
    elif exhausted(current):
        park(current, error.code, f"{error}; {_tried(current)}. {RESUME.capitalize()}")
    elif not isinstance(error, ModelError) or not retryable or used_up:
        park(current, error.code, f"{error}. Send a message or {RESUME}")
    else:
        # Grows with the tries that were made; a slice that ended after its first one has not waited yet.
        tries = min(settings.completion + memo.retries, max(used(current), 1))
        wait = wait_before(tries, error)
        try_again_at(current, current.now + int(wait * 1000))
        current.problem(error.code, f"{error}{_NEXT_TRY}{wait:.0f} s")


async def hold(current: Slice, cause: str, code: str, text: str, *, probe: bool = False) -> None:
    """Wait for the end of a cause outside the thread: it stays pending, and its timer is a net under the wake that the probe brings.

    ``probe``: its own completion has just failed by the cause.
    """
    probes = current.services.probes
    standing = probes.standing(current.model, current.thread.model)
    asked = probe and (current.probing or standing is None or standing.key != cause)
    due_at = await probes.failed(cause, code, text, probe=asked)
    if probe or glance(current.thread).cause is None:
        memo = recall(current.thread)
        memo.tried = used(current)
        remember(current.thread, memo)
    try_again_at(current, due_at, cause=cause)
    said = f"{text}{_PROBED}, at least once an hour. To try at once, resume the thread"
    if current.thread.problem != f"{code}: {said}":
        current.problem(code, said)


def park(current: Slice, code: str, text: str) -> None:
    """Nothing more is bought until a person says so (L18). ``text`` says what to do."""
    quiet(current)
    current.thread.set_pending(False)
    current.problem(code, text)


def try_again_at(current: Slice, due_at: int, *, rounds: int = 0, cause: str | None = None) -> None:
    """Set the thread's one retry timer, in place of the one that it has (R8). A timer's id becomes its message's id, so each has one of its own."""
    memo = recall(current.thread)
    version = current.thread.version + 1
    timer_id = f"retry.{current.thread.id}.{version}"
    if memo.retry is not None and memo.retry != timer_id:
        current.thread.cancel_timer(memo.retry)
    timer = Timer(
        purpose=TimerPurpose.RETRY,
        attempt=memo.retries + 1,
        rounds=rounds,
        version=version,
        cause=cause,
        asked=current.asked_by_a_person and cause is None,
    )
    current.thread.set_timer(timer_id, due_at, Kind.TIMER, encode(timer))
    memo.retry, memo.cause = timer_id, cause
    # A wait for a cause outside the thread is not a slice of its own.
    memo.retries += cause is None
    remember(current.thread, memo)


# -- the end of a cause


def quiet(current: Slice) -> None:
    """No retry timer any more."""
    retry = glance(current.thread).retry
    if retry is not None:
        current.thread.cancel_timer(retry)
        memo = recall(current.thread)
        memo.retry = None
        remember(current.thread, memo)


def interrupted(current: Slice) -> None:
    """A person interrupts a thread: it is not tried again, so a problem that promises another try is over as well."""
    if promises_a_try(current.thread.problem):
        current.thread.set_problem(None)
    quiet(current)


def promises_a_try(problem: str | None) -> bool:
    """Whether the problem says that the model will be asked again without anybody's doing, which takes a retry timer (R8)."""
    return problem is not None and (_PROBED in problem or _NEXT_TRY in problem)


def unhold(current: Slice, *, person: bool) -> None:
    """Something for the model came in: it is asked at once, in place of the retry that was set; unless a cause stands that only probes try.

    A person's words are asked at once in spite of a cause, but not when nothing may be bought: then the timer is all that wakes the thread.
    """
    memo = glance(current.thread)
    if memo.retry is not None and (memo.cause is None or (person and not exhausted(current))):
        quiet(current)


def recovered(current: Slice) -> None:
    """A turn was bought: what failed before it counts no longer."""
    current.wasted, current.receives = 0, 1
    current.why &= ~Why.PROBE
    if glance(current.thread).stand_in is not None:
        stand_ins.recorded(current)
    _forget(current)


def started_anew(current: Slice) -> None:
    """A person resumed the thread, or chose another model.

    What is forgotten is forgotten by a commit of its own, before anything is bought: the message that asks for it would come again after a
    crash, and refill the budget each time.
    """
    current.receives = 1
    current.why |= Why.PERSON
    if current.thread.attempts:
        current.thread.clear_attempts()
        current.last()
    _forget(current)


def _forget(current: Slice) -> None:
    seen = glance(current.thread)
    if seen.retry is not None:
        quiet(current)
    if seen.retries or seen.since or seen.tried or seen.cause is not None or seen.held is not None:
        memo = recall(current.thread)
        memo.retries = memo.since = memo.tried = 0
        memo.cause = memo.held = None
        remember(current.thread, memo)
