"""What a thread waits for, in words: every thread that is not closed has a recorded reason to wake, or is idle (I7)."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from infinity._core import Call, header_json
from infinity.abc import Store
from infinity.errors import UnknownThread


@dataclass(frozen=True, slots=True)
class Reason:
    """``kind``: ``running``, ``queued``, ``call``, ``sleep``, ``subscription``, ``prompt``, ``timer``, ``compaction``, ``problem``, ``failing``; times in ms since the epoch."""

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


async def explain(
    store: Store, thread: str, *, running: bool, queued: int, failing: str | None
) -> Explanation:
    """``running``, ``queued`` and ``failing`` are what only the process knows; all else is read from the store."""
    row = await store.thread(thread)
    if row is None:
        raise UnknownThread(f"there is no thread {thread}; `infinity threads` lists those there are")
    header = msgspec.json.decode(header_json(row.header))
    reasons: list[Reason] = []
    if failing is not None:
        reasons.append(Reason("failing", f"its last slice failed and is tried again: {failing}"))
    elif running:
        reasons.append(Reason("running", "the agent is working: a slice runs now"))
    if queued:
        reasons.append(Reason("queued", f"{queued} message{'s' * (queued > 1)} in its mailbox"))
    reasons += await _durable(store, thread)
    if header["memo"].get("compaction"):
        reasons.append(Reason("compaction", "its history is being summarised", header["memo"]["compaction"]))
    if header["problem"]:
        reasons.append(Reason("problem", header["problem"]))
    return Explanation(thread, _state(row.status, reasons, bool(header["pending"])), reasons)


async def _durable(store: Store, thread: str) -> list[Reason]:
    timers = {timer.id: timer for timer in await store.timers(thread)}
    prompts = await store.prompts(thread)
    asked = {prompt.id.partition(".")[2] for prompt in prompts if prompt.kind == "consent"}
    reasons = []
    for call, state in await store.calls(thread):
        sleep = timers.pop(f"sleep.{call.id}", None)
        deadline = timers.pop(f"deadline.{call.id}", None)
        if sleep is not None:
            reasons.append(Reason("sleep", "the agent sleeps", call.id, sleep.due_at))
        elif call.id not in asked:
            reasons.append(_call(call, state, deadline.due_at if deadline is not None else None))
    for prompt in prompts:
        tool = msgspec.json.decode(prompt.body).get("tool", "a tool")
        text = _PROMPTS.get(prompt.kind, "{tool} asks the user something").format(tool=tool)
        reasons.append(Reason("prompt", text, prompt.id))
    for timer in timers.values():
        purpose = timer.id.partition(".")[0]
        reasons.append(Reason("timer", _TIMERS.get(purpose, f"a {purpose} timer"), timer.id, timer.due_at))
    return reasons


def _call(call: Call, state: str, until: int | None) -> Reason:
    if call.subscription:
        return Reason("subscription", f"it listens for events of {call.tool} ({call.toolset})", call.id)
    if not call.toolset:
        return Reason("sleep", "the agent sleeps until something arrives", call.id)
    where = "about to be sent to its tool server" if state == "planned" else "running at its tool server"
    return Reason("call", f"{call.tool} is {where} ({call.toolset})", call.id, until)


_PROMPTS = {
    "consent": "the user is asked to allow {tool}",
    "choice": "{tool} asks the user a question",
    "oauth": "{tool} asks the user to sign in",
}
_TIMERS = {"retry": "the model is asked again by itself"}


def _state(status: str, reasons: list[Reason], pending: bool) -> str:
    if status in ("closed", "stopped"):
        return status
    kinds = {reason.kind for reason in reasons}
    if "running" in kinds:
        return "running"
    return (
        "waiting"
        if kinds - {"problem", "compaction", "queued"} or pending
        else "queued"
        if "queued" in kinds
        else "idle"
    )
