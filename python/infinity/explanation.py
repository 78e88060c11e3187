"""What a thread waits for, in words: every thread that is not closed has a recorded reason to wake, or is idle (I7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from infinity._core import header_json
from infinity.errors import UnknownThread

if TYPE_CHECKING:
    from infinity.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Reason:
    """``kind``: ``running``, ``queued``, ``call``, ``subscription``, ``prompt``, ``timer``, ``problem``, ``failing``; times in ms since the epoch."""

    kind: str
    text: str
    id: str = ""
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """``state``: ``running``, ``queued``, ``waiting``, ``idle``, ``stopped`` or ``closed``."""

    thread: str
    state: str
    reasons: list[Reason] = field(default_factory=list)


async def explain(runtime: Runtime, thread: str) -> Explanation:
    row = await runtime.store.thread(thread)
    if row is None:
        raise UnknownThread(f"there is no thread {thread}; `infinity threads` lists those there are")
    header = msgspec.json.decode(header_json(row.header))
    reasons: list[Reason] = []
    if (failure := runtime.failing(thread)) is not None:
        reasons.append(Reason("failing", f"its last slice failed and is tried again: {failure}"))
    if thread in runtime.loop.running:
        reasons.append(Reason("running", "a slice runs now"))
    reasons += await _durable(runtime, thread)
    if problem := header.get("problem"):
        reasons.append(Reason("problem", problem))
    return Explanation(thread, _state(row.status, reasons, bool(header.get("pending"))), reasons)


async def _durable(runtime: Runtime, thread: str) -> list[Reason]:
    reasons = []
    for call, state in await runtime.store.calls(thread):
        if call.subscription:
            reasons.append(Reason("subscription", f"subscribed by {call.tool}; its events wake it", call.id))
        else:
            reasons.append(Reason("call", f"{call.tool} is {_spoken(state)}", call.id, call.deadline))
    reasons += [
        Reason("prompt", f"a {prompt.kind} prompt awaits the user", prompt.id)
        for prompt in await runtime.store.prompts(thread)
    ]
    for timer in await runtime.store.timers(thread):
        purpose = timer.id.partition(".")[0]
        reasons.append(Reason("timer", f"a {purpose} timer is set", timer.id, timer.due_at))
    return reasons


def _spoken(state: str) -> str:
    return "about to be sent to its tool server" if state == "planned" else "running at its tool server"


def _state(status: str, reasons: list[Reason], pending: bool) -> str:
    if status in ("closed", "stopped"):
        return status
    kinds = {reason.kind for reason in reasons}
    if "running" in kinds:
        return "running"
    if kinds & {"call", "subscription", "prompt", "timer", "failing"} or pending:
        return "waiting"
    return "idle"
