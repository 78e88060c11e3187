"""What a parent hears of its children without their doing (THR-5, I14): that one ended without a report, or has stopped and does not go on by itself.

A child that was spawned owes a report, for its instructions and for each later message of its parent; any report settles that. When it comes to
rest and still owes one, the runtime reports in its place, in the commit in which it comes to rest. The thread of an event owes none and may end
silently (SUB-5). Whatever stops a child for a cause inside it (a refusal, a limit, a budget, a request that no model takes) is reported for every
child. Causes outside of it (a key, a bill, a removed model, an outage) concern the whole tree: they are shown at the root and sent to nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infinity._core import Thread
from infinity.abc import HELD_BACK, Origin, Problem
from infinity.engine import prompts
from infinity.engine.memo import recall, remember

if TYPE_CHECKING:
    from infinity.engine.work import Slice

__all__ = ["OUTSIDE", "assign", "await_report", "heard_from", "settled", "tell_parent"]

OUTSIDE = frozenset({"model_authentication", "model_billing", "config"})
"""Codes of problems that park a thread for a cause outside of it."""
_SHORT = 12
"""Characters of a child's id that tell it from its siblings: the ids of children are digests."""
_LAST_WORDS = 2_000


def assign(thread: Thread) -> None:
    """The thread was given something to do by its parent, and owes a report."""
    _owe(thread, True)


def settled(thread: Thread) -> None:
    """Its parent has heard from it."""
    _owe(thread, False)


def _owe(thread: Thread, owes: bool) -> None:
    memo = recall(thread)
    if memo.owes_report != owes:
        memo.owes_report = owes
        remember(thread, memo)


def await_report(thread: Thread, child: str) -> None:
    """A child works for this thread now: this thread has not ended before it reports. Kept by those only who owe a report themselves."""
    memo = recall(thread)
    if memo.owes_report and child[-_SHORT:] not in memo.awaited:
        memo.awaited = [*memo.awaited, child[-_SHORT:]]
        remember(thread, memo)


def heard_from(thread: Thread, child: str) -> None:
    memo = recall(thread)
    if child[-_SHORT:] in memo.awaited:
        memo.awaited = [other for other in memo.awaited if other != child[-_SHORT:]]
        remember(thread, memo)


def tell_parent(current: Slice) -> None:
    """At the end of a slice: tell the parent, with this commit, if it has to know that the thread does not go on by itself."""
    thread = current.thread
    if not Origin.of(thread).reports or thread.status in ("closed", "stopped"):
        return
    memo = recall(thread)
    problem = _stopped_by(thread)
    if problem is None and memo.told is not None:
        memo.told = None
        remember(thread, memo)
    if problem is not None:
        if memo.told == str(problem):
            return
        memo.told = str(problem)
        remember(thread, memo)
        if problem.code not in OUTSIDE:
            _report(current, prompts.child_stopped(thread.id, str(problem)))
    elif thread.status == "idle" and memo.owes_report and not memo.awaited:
        settled(thread)
        words = current.last_words[:_LAST_WORDS] if thread.answered else ""
        _report(current, prompts.child_ended(thread.id, words, interrupted=not thread.answered))


def _stopped_by(thread: Thread) -> Problem | None:
    """The problem that keeps the thread from answering what it was given last; ``None`` if it goes on or is done."""
    problem = Problem.read(thread.problem)
    if problem is not None and problem.code == HELD_BACK:
        return problem  # Whatever it waits for, it runs nothing.
    if thread.pending or thread.answered or thread.attached():
        return None
    return problem


def _report(current: Slice, text: str) -> None:
    key = f"ended.{current.thread.id}.{current.thread.version + 1}"
    current.report(text, key=key, by_runtime=True)
