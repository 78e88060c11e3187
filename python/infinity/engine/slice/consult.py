"""Consult: what folding this batch needs to know beyond the thread's own state. Read before each ``prepare``, which reads nothing."""

from __future__ import annotations

from collections.abc import Sequence

from infinity._core import Message
from infinity.engine import questions
from infinity.engine.outbox import Outbox
from infinity.engine.work import Slice
from infinity.message import Kind, Timer, TimerPurpose, decode


async def consult(slice: Slice, batch: Sequence[Message], outbox: Outbox) -> None:
    for message in batch:
        if message.kind == Kind.TIMER:
            await _deadline(slice, message, outbox)


async def _deadline(slice: Slice, message: Message, outbox: Outbox) -> None:
    """How far the call has come whose deadline has passed (M7)."""
    try:
        timer = decode(message.kind, message.body)
    except ValueError:
        return  # ``prepare`` ends it on record.
    if not isinstance(timer, Timer) or timer.purpose is not TimerPurpose.DEADLINE or timer.call_id is None:
        return
    call = slice.thread.call(timer.call_id)
    if call is None or questions.is_stale(slice.thread, call, timer):
        return
    found = await slice.services.store.find_call(call.id)
    acknowledged = found is not None and found[1] == "sent"
    slice.sending[call.id] = outbox.sending(call.id, acknowledged=acknowledged)
