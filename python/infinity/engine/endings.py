"""Many calls that end at once: an interrupt or a close cancels whatever is open in portions, each in a commit of its own that fits the store's
transaction (B15). What is left is in the memo, and a message of the thread to itself goes on with it, in the same commit.

Between two portions a call that is still to be cancelled has ended for everybody: what comes for it is discarded. A thread that closes takes nothing
any more and asks no model.
"""

from __future__ import annotations

from infinity._core import Call
from infinity.abc import Origin
from infinity.engine import calls, children, prompts
from infinity.engine.memo import Ending, glance, recall, remember
from infinity.engine.slice.state import Slice

__all__ = ["close", "closing", "go_on", "interrupt", "open_call"]

MOST_ROWS = 2_000
"""Rows that a slice may have gathered when it cancels one more call; less than a transaction takes, by what the calls of a turn need."""


def interrupt(current: Slice) -> None:
    """Cancel the calls that are open now."""
    _cancel(current, Ending(current.thread.position))


def close(current: Slice) -> None:
    """The thread ends with the last portion, its report in the same commit (L12)."""
    assert current.closing is not None
    (report,) = current.closing
    current.closing = None
    _cancel(current, Ending(current.thread.position, closing=True, report=report))


def go_on(current: Slice) -> None:
    """With what an earlier slice has left."""
    if (ending := glance(current.thread).ending) is not None:
        _cancel(current, ending)


def closing(current: Slice) -> bool:
    ending = glance(current.thread).ending
    return ending is not None and ending.closing


def open_call(current: Slice, call_id: str) -> Call | None:
    """The call if it is open and stays so."""
    call = current.thread.call(call_id)
    if call is None or call.state not in ("planned", "sent"):
        return None
    ending = glance(current.thread).ending
    return None if ending is not None and call.position < ending.before else call


def _cancel(current: Slice, ending: Ending) -> None:
    whole = _portion(current, ending)
    if whole and ending.closing:
        _finish(current, ending.report)
    left = None if whole else ending
    if glance(current.thread).ending != left:
        memo = recall(current.thread)
        memo.ending = left
        remember(current.thread, memo)
    if not whole:
        current.wake_again()


def _portion(current: Slice, ending: Ending) -> bool:
    """Whether that was all; at least one has ended. Calls of the last turn come first: history goes on when they have their results."""
    text = prompts.CLOSED if ending.closing else prompts.INTERRUPTED
    ending_calls = [call for call in current.thread.calls() if call.position < ending.before]
    ending_calls.sort(key=lambda call: call.detached)
    subscriptions = current.thread.subscriptions() if ending.closing else []
    for ended, call in enumerate([*ending_calls, *subscriptions]):
        if ended and current.thread.staged()[0] >= MOST_ROWS:
            return False
        if call.subscription:
            current.thread.end_subscription(call.id)
            calls.notify_cancelled(current, call.id)
        else:
            calls.cancel(current, call, text)
    return True


def _finish(current: Slice, report: str | None) -> None:
    """The thread ends with this commit, its report in the same one (L12). Its calls and subscriptions have ended."""
    origin = Origin.of(current.thread)
    if current.thread.parent is not None and not origin.fork and (report or origin.spawned):
        children.report(
            current, report or "(closed without a report)", key=f"closed.{current.thread.id}", closed=True
        )
    if (retry := glance(current.thread).retry) is not None:
        current.thread.cancel_timer(retry)
    current.thread.close()
    current.thread.plan_outbox(f"close.{current.thread.id}", "close", "", b"{}")
    current.note("status", status="closed")
