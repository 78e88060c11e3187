"""The children of a thread: how a slice makes them, and what a parent hears of them (L12, L13, THR-5, I14).

That one ended without a report, or has stopped and does not go on by itself, its parent hears without its doing.

A child that was spawned owes a report, for its instructions and for each later message of its parent; any report settles that. When it comes to
rest and still owes one, the runtime reports in its place, in the commit in which it comes to rest. The thread of an event owes none and may end
silently (SUB-5). Whatever stops a child for a cause inside it (a refusal, a limit, a budget, a request that no model takes) is reported for every
child. Causes outside of it (a key, a bill, a removed model, an outage) concern the whole tree: they are shown at the root and sent to nobody.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import msgspec

from infinity._core import Call, Thread
from infinity.abc import FORK, HELD_BACK, Origin, Problem
from infinity.engine import face, prompts
from infinity.engine.memo import inherit, recall, remember
from infinity.engine.slice.state import Slice
from infinity.errors import LimitReached
from infinity.message import Action, Control, Kind, Report, encode, text_blocks

__all__ = [
    "OUTSIDE",
    "assign",
    "await_report",
    "child_id",
    "count_living",
    "derived",
    "fork",
    "fork_for",
    "heard_from",
    "is_open_child",
    "report",
    "spawn",
    "tell_parent",
]

OUTSIDE = frozenset({"model_authentication", "model_billing", "config"})
"""Codes of problems that park a thread for a cause outside of it."""
_SHORT = 12
"""Characters of a child's id that tell it from its siblings: the ids of children are digests."""
_LAST_WORDS = 2_000


def child_id(current: Slice, cause: str) -> str:
    """Derived from what causes the child, so that a repeat cannot make a second one (R6)."""
    return derived(current.thread.id, cause)


def derived(thread: str, cause: str) -> str:
    """The id of the child of a thread that something causes: for a call, its id."""
    digest = hashlib.sha256(f"{thread}\0{cause}".encode()).hexdigest()
    return f"thread_{digest[:30]}"


def fork(current: Slice, child: str, origin: Origin, **how: Any) -> Thread:
    """A child thread, started with this commit (L13)."""
    placeholder = text_blocks(prompts.inherited_call(current.thread.id))
    above = Origin.of(current.thread)
    origin = msgspec.structs.replace(origin, tools=above.tools, forks=above.forks)
    made = current.thread.fork(
        child,
        now=current.now,
        origin=msgspec.json.encode(origin),
        placeholder=msgspec.json.encode(placeholder),
        **how,
    )
    inherit(current.thread, made)
    current.spawned.add(child)
    current.thread.send(child, f"start.{child}", Kind.CONTROL, encode(Control(action=Action.START)))
    return made


def fork_for(current: Slice, child: str, call: Call, **how: Any) -> Thread:
    """A child that reports as an event of this call; raises ``LimitReached``."""
    depth = len(current.thread.ancestors) + 1 - Origin.of(current.thread).forks
    children, limits = current.living.children, current.limits
    if depth > current.limits.depth:
        raise LimitReached(f"threads may be nested {current.limits.depth} deep (limits.depth)")
    if children >= current.limits.children:
        raise LimitReached(
            f"a thread may have {current.limits.children} children that are not closed (limits.children)"
        )
    if current.living.tree >= limits.tree_threads:
        raise LimitReached(
            f"a conversation may have {limits.tree_threads} threads below its root that are not closed (limits.tree_threads)"
        )
    origin = Origin(call.tool, call.id, msgspec.json.decode(call.arguments))
    made = fork(current, child, origin, **how)
    current.living.children += 1
    current.living.tree += 1
    current.note("child", id=child, call_id=call.id)
    return made


async def count_living(current: Slice) -> None:
    """Those that live, by a query: a number that only grows would count the closed ones, too (G8)."""
    if not current.living.counted:
        store = current.services.store
        children, tree = await asyncio.gather(
            store.open_children(current.thread.id), store.living(current.thread.root)
        )
        current.living.children += children
        current.living.tree += tree
        current.living.counted = True


async def spawn(current: Slice, call: Call, instructions: str) -> str:
    await count_living(current)
    child = child_id(current, call.id)
    seed = text_blocks(prompts.spawned_seed(child, current.thread.id, instructions))
    made = fork_for(current, child, call, seed_call=call.id, seed=msgspec.json.encode(seed))
    assign(made)
    face.begin(made, instructions)
    await_report(current.thread, child)
    return child


async def is_open_child(current: Slice, thread: str) -> bool:
    if thread in current.spawned:
        return True
    row = await current.services.store.thread(thread)
    mine = row is not None and row.parent == current.thread.id and row.status != "closed"
    return mine and not thread.startswith(f"{FORK}_")


def report(current: Slice, text: str, *, key: str, closed: bool = False, by_runtime: bool = False) -> None:
    """To the parent, as an event of the call that made this thread. ``by_runtime``: in the child's place (THR-5)."""
    assert current.thread.parent is not None
    origin = Origin.of(current.thread)
    body = Report(
        child=current.thread.id,
        call_id=origin.call_id,
        tool=origin.tool,
        arguments=origin.arguments,
        text=text,
        user_id=current.thread.actor,
        closed=closed,
        by_runtime=by_runtime,
    )
    current.thread.send(current.thread.parent, key, Kind.REPORT, encode(body))
    if not by_runtime:
        settled(current.thread)


# -- who owes a report


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


# -- at the end of a slice


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
    report(current, text, key=key, by_runtime=True)
