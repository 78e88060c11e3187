"""What a slice does to calls: end them with a result, let them leave, move them aside, cancel them.

Called by the phases of a slice (``engine/slice``) and by what they share. All of it gathers in ``current.thread`` and leaves with the commit: nothing here
sends anything, and nothing here waits (I5, I6).
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from infinity._core import Call
from infinity.engine import prompts, questions
from infinity.engine.content import stamped
from infinity.engine.memo import glance, recall, remember
from infinity.engine.slice.state import Slice
from infinity.message import Block, Kind, Timer, TimerPurpose, encode, text_blocks

__all__ = [
    "SLEEPER",
    "answer",
    "cancel",
    "detach_all",
    "digests",
    "edit",
    "fail",
    "forget_subscription",
    "notify_cancelled",
    "release",
    "wake_sleepers",
]

SLEEPER = "sleep_until_event_or_input"
DEADLINE_EXACT_MS = 1_000
"""A call that leaves this soon after its plan keeps the deadline of the plan."""


def answer(
    current: Slice,
    call: Call,
    content: list[Block],
    *,
    state: str = "answered",
    subscription: bool = False,
    error: bool = False,
    meta: dict[str, Any] | None = None,
) -> None:
    """End an open call with a result: in its turn, or as an event if the turn went on without it (L4)."""
    if call.detached:
        detach_all(current)
        current.thread.set_actor(call.user_id)
    content = content or text_blocks("")
    if state != "cancelled" and call.id in glance(current.thread).edited:
        content = [*text_blocks(prompts.arguments_changed(call.arguments)), *content]
    current.thread.answer(
        call.id,
        msgspec.json.encode(stamped(current, content) if call.detached else content),
        now=current.now,
        event_id=current.ids.mint("event"),
        state=state,
        subscription=subscription,
        error=error,
        meta=msgspec.json.encode({"call_id": call.id, "tool": call.tool, **(meta or {})}),
    )
    _forget_reminders(current, call)
    current.note("call_ended", id=call.id, state=state)
    if subscription:
        current.note("subscription", id=call.id, active=True)


def fail(current: Slice, call: Call, text: str) -> None:
    answer(current, call, text_blocks(text), state="failed", error=True)


def _forget_reminders(current: Slice, call: Call) -> None:
    """What is known here of an ended call; the core takes back its timers and deliveries by itself (I13)."""
    if call.id in glance(current.thread).edited:
        memo = recall(current.thread)
        memo.edited = [other for other in memo.edited if other != call.id]
        remember(current.thread, memo)
    for asked in questions.forget(current.thread, call):
        current.note("prompt_closed", id=f"{asked}.{call.id}", selected=None)
    for kind in ("choice", "oauth", "consent"):
        current.thread.close_prompt(f"{kind}.{call.id}")


def forget_subscription(current: Slice, call_id: str) -> None:
    """What is known here of a subscription that ends."""
    seen = glance(current.thread)
    if call_id in seen.sequences or call_id in seen.refused:
        memo = recall(current.thread)
        memo.sequences.pop(call_id, None)
        memo.refused.pop(call_id, None)
        remember(current.thread, memo)


def cancel(current: Slice, call: Call, text: str) -> None:
    """Cancel an open call: if it has not left, it never will; if it has, its server is told (CAN-1)."""
    left = _has_left(current, call)
    if call.detached:
        current.thread.cancel_detached(call.id)
        _forget_reminders(current, call)
        current.note("call_ended", id=call.id, state="cancelled")
    else:
        answer(current, call, text_blocks(text), state="cancelled")
    if call.toolset and left:
        notify_cancelled(current, call.id)


def _has_left(current: Slice, call: Call) -> bool:
    """Whether its server may have heard of it: not while the user is asked, and not before the commit that lets it go."""
    asked = glance(current.thread).prompts.get(call.id)
    return asked != "consent" and call.id not in current.released


def notify_cancelled(current: Slice, call_id: str) -> None:
    forget_subscription(current, call_id)
    current.thread.plan_outbox(f"cancel.{call_id}", "cancel", "", b"{}", call_id)


def detach_all(current: Slice) -> None:
    """Make room for something else: attached calls get a placeholder and go on (L4); sleepers are woken."""
    attached = current.thread.attached()
    waiting = glance(current.thread).prompts if attached else {}
    for call in attached:
        if call.tool == SLEEPER:
            answer(current, call, text_blocks(prompts.SLEEP_INTERRUPTED))
        else:
            text = prompts.still_running(call.tool, waiting.get(call.id))
            current.thread.detach(call.id, msgspec.json.encode(text_blocks(text)), now=current.now)


def wake_sleepers(current: Slice, text: str) -> None:
    for call in current.thread.attached():
        if call.tool == SLEEPER:
            answer(current, call, text_blocks(text))


def edit(current: Slice, call: Call, arguments: dict[str, Any]) -> Call:
    """The user allows a call with arguments of their own. Its turn stays as the model said it; the result tells the model (``answer``)."""
    current.thread.change_arguments(call.id, msgspec.json.encode(arguments))
    memo = recall(current.thread)
    memo.edited = [*memo.edited, call.id]
    remember(current.thread, memo)
    changed = current.thread.call(call.id)
    assert changed is not None, "an open call is there"
    return changed


def digests(call: Call, arguments: dict[str, Any]) -> dict[str, str]:
    """What a call's arguments were and what the user made of them, as digests: the record of a decision is kept for good."""
    given = {"before": call.arguments, "after": msgspec.json.encode(arguments)}
    return {when: hashlib.sha256(text).hexdigest()[:32] for when, text in given.items()}


def release(current: Slice, call: Call) -> None:
    """A remote call may leave: its invocation is recorded and goes out after the commit (I5, INV-8)."""
    offer = current.offer(call.tool)
    if offer is None:
        fail(
            current, call, prompts.unknown_tool(call.tool, current.catalog.names() if current.catalog else [])
        )
        return
    current.released.add(call.id)
    body = current.services.wire.invocation(current.thread, call, offer.operation)
    current.thread.plan_outbox(f"invoke.{call.id}", "invoke", offer.endpoint, body, call.id)
    if call.deadline is not None:
        reminder = Timer(purpose=TimerPurpose.DEADLINE, call_id=call.id)
        # From now on, not from the plan: the user may have taken days to allow the call. Mostly no time has passed, and nothing is to be remembered.
        due_at = current.now + int(current.services.settings.timeouts.call * 1000)
        if due_at - call.deadline < DEADLINE_EXACT_MS:
            due_at = call.deadline
        else:
            memo = recall(current.thread)
            memo.deadlines[call.id] = due_at
            remember(current.thread, memo)
        current.thread.set_timer(f"deadline.{call.id}", due_at, Kind.TIMER, encode(reminder))
