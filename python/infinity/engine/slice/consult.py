"""Consult: what folding this batch needs to know beyond the thread's own state. Read before each ``prepare``, which reads nothing."""

from __future__ import annotations

from collections.abc import Sequence

from infinity._core import Message
from infinity.engine import children, compaction, questions
from infinity.engine.memo import glance
from infinity.engine.outbox import Outbox
from infinity.engine.slice.state import Slice
from infinity.message import Action, Control, Kind, Timer, TimerPurpose, decode


async def consult(current: Slice, batch: Sequence[Message], outbox: Outbox) -> None:
    kinds = {message.kind for message in batch}
    if Kind.EVENT in kinds:
        await children.count_living(current)
    if Kind.TIMER in kinds:
        for message in batch:
            if message.kind == Kind.TIMER:
                await _deadline(current, message, outbox)
    child = glance(current.thread).compaction
    if child is not None and child not in current.spawned and Kind.SUMMARY not in kinds:
        await _summariser(current, child, batch)


async def _summariser(current: Slice, child: str, batch: Sequence[Message]) -> None:
    """Whether the summary that the thread waits for can still come."""
    row = await current.services.store.thread(child)
    gone = row is None or row.status == "stopped"
    # What has closed has sent its summary, which may be on its way; anyone who asks for another one does not wait for that.
    if gone or (row is not None and row.status == "closed" and any(map(_asks_to_compact, batch))):
        compaction.forsake(current)


def _asks_to_compact(message: Message) -> bool:
    if message.kind != Kind.CONTROL:
        return False
    try:
        body = decode(message.kind, message.body)
    except ValueError:
        return False
    return isinstance(body, Control) and body.action is Action.COMPACT


async def _deadline(current: Slice, message: Message, outbox: Outbox) -> None:
    """How far the call has come whose deadline has passed (M7)."""
    try:
        timer = decode(message.kind, message.body)
    except ValueError:
        return  # ``prepare`` ends it on record.
    if not isinstance(timer, Timer) or timer.purpose is not TimerPurpose.DEADLINE or timer.call_id is None:
        return
    call = current.thread.call(timer.call_id)
    if call is None or questions.is_stale(current.thread, call, timer):
        return
    found = await current.services.store.find_call(call.id)
    acknowledged = found is not None and found[1] == "sent"
    current.sending[call.id] = outbox.sending(call.id, acknowledged=acknowledged)
