"""What a thread waits for, in words: a thread that is not closed has a recorded reason to wake, or is idle
(I7).

The API shows it with each thread, ``infinity show`` and ``infinity doctor`` print it. It reads the store
and what the process itself knows, and never changes anything. A state that cannot be read is raised, and
never explained as idle (I8).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import msgspec

from infinity._core import Call
from infinity.abc import HELD_BACK, Problem, PromptRow, Store, read_entry, read_header
from infinity.engine.memo import noted
from infinity.engine.missing import known
from infinity.engine.outside import waiting_children
from infinity.errors import DamagedStore, NewerStore

ANSWER, CANCEL, INTERRUPT, RESUME = ("answer",), ("cancel_call",), ("interrupt",), ("resume",)

OWN = "python"
"""The toolset of functions of this process."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that a thread waits for.

    ``kind`` is ``running``, ``pace``, ``queued``, ``call``, ``sleep``, ``subscription``, ``prompt``,
    ``child``, ``timer``, ``compaction``, ``problem``, ``held_back`` or ``failing``. ``id`` names what it is
    about, if commands take it. Times are in milliseconds since the epoch.
    """

    kind: str
    text: str
    id: str = ""
    until: int | None = None
    since: int | None = None
    """Where it is on record."""
    thread: str = ""
    """The child that it is about; empty: the thread itself."""
    tool: str = ""
    """Of calls, subscriptions and prompts."""
    server: str = ""
    """The toolset that the call went to; empty for functions of this process and built-ins."""
    actions: tuple[str, ...] = ()
    """What a person can do about it: ``answer`` (the prompt ``id``), ``cancel_call`` and
    ``end_subscription`` (the call ``id``), ``interrupt``, ``resume``.
    """


@dataclass(frozen=True, slots=True)
class Explanation:
    """``state``: ``running``, ``queued``, ``waiting``, ``idle``, ``stopped`` or ``closed``."""

    thread: str
    state: str
    reasons: list[Reason] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Here:
    """What only the process knows of a thread. Times in ms since the epoch.

    ``running``: when its slice began; ``held``: until when that waits because of
    ``limits.requests_per_minute``; ``queued``: messages in its mailbox; ``failing``: why its last slice
    failed, and ``failing_since``.
    """

    running: int | None = None
    held: int | None = None
    queued: int = 0
    failing: str | None = None
    failing_since: int | None = None


async def explain(store: Store, thread: str, here: Here) -> Explanation:
    """Explain a thread, from the store and from what the process knows.

    Args:
        store: Read only.
        thread: Its id.
        here: What is known in this process; an empty one where another process runs the slices.

    Raises:
        UnknownThread: if there is no such thread; ``ThreadDeleted`` if it was deleted.
        DamagedStore: if its record cannot be read.
    """
    row = await known(store, thread)
    header = read_header(row)
    memo = noted(header)
    reasons: list[Reason] = []
    # One of the three at most, the most telling first.
    if here.failing is not None:
        text = f"its last slice failed and is tried again: {here.failing}"
        reasons.append(Reason("failing", text, since=here.failing_since))
    elif here.held is not None:
        text = "the next request to its model waits for its turn (limits.requests_per_minute)"
        reasons.append(Reason("pace", text, until=here.held, since=here.running, actions=INTERRUPT))
    elif here.running is not None:
        text = "the agent is working: a slice runs now"
        reasons.append(Reason("running", text, since=here.running, actions=INTERRUPT))
    if here.queued:
        text = f"{here.queued} message{'s' * (here.queued > 1)} in its mailbox"
        reasons.append(Reason("queued", text))
    reasons += await _durable(store, thread, memo.refused)
    if row.parent is None:
        reasons += await _of_children(store, thread)
    if memo.compaction:
        reasons.append(Reason("compaction", "its history is being summarised", memo.compaction))
    if (problem := Problem.read(header.problem)) is not None:
        kind = HELD_BACK if problem.code == HELD_BACK else "problem"
        reasons.append(Reason(kind, str(problem), actions=RESUME))
    return Explanation(thread, _state(row.status, reasons, header.pending), reasons)


def with_functions(explanation: Explanation, since: Mapping[str, int], own: Collection[str]) -> Explanation:
    """Say more exactly what functions of this process do.

    Args:
        explanation: As ``explain`` made it.
        since: By call, when its function began, in milliseconds since the epoch.
        own: Ids of calls that are functions of this process.
    """

    def said(reason: Reason) -> Reason:
        tool = reason.text.partition(" ")[0]
        if reason.kind != "call" or reason.id not in own:
            return reason
        if reason.id not in since:
            return replace(reason, text=f"{tool} is about to run in this process")
        began = datetime.fromtimestamp(since[reason.id] / 1000, UTC)
        text = f"{tool} runs in this process since {began:%Y-%m-%d %H:%M:%S} UTC"
        return replace(reason, text=text, since=since[reason.id])

    return replace(explanation, reasons=[said(reason) for reason in explanation.reasons])


async def _durable(store: Store, thread: str, refused: Mapping[str, str]) -> list[Reason]:
    timers = await store.timers(thread)
    of_calls = {_about(timer.id): timer for timer in timers}
    prompts = await store.prompts(thread)
    asked = {(prompt.kind, prompt.id.partition(".")[2]) for prompt in prompts}
    calls = await store.calls(thread)
    began = await asyncio.gather(*(call_began(store, call) for call, _ in calls))
    reasons = []
    for (call, state), since in zip(calls, began, strict=True):
        sleep, deadline = (of_calls.get((purpose, call.id)) for purpose in ("sleep", "deadline"))
        if sleep is not None:
            text = "the agent sleeps"
            reasons.append(Reason("sleep", text, call.id, sleep.due_at, since, actions=CANCEL))
        elif ("consent", call.id) not in asked:
            waits = any((kind, call.id) in asked for kind in ("choice", "oauth"))
            reason = _call(call, state, deadline.due_at if deadline else None, waits)
            if call.id in refused:
                reason = replace(
                    reason, text=f"{reason.text}; it has answered, and was refused: {refused[call.id]}"
                )
            reasons.append(replace(reason, since=since))
    for prompt in prompts:
        text = _asks(prompt)
        limit = of_calls.get(("prompt", prompt.id.partition(".")[2])) if prompt.kind != "consent" else None
        ends = _ENDS.get(prompt.kind, "") if limit is not None else ""
        until = limit.due_at if limit else None
        reasons.append(
            Reason(
                "prompt", text + ends, prompt.id, until, _asked_at(prompt), tool=_tool(prompt), actions=ANSWER
            )
        )
    # A timer of a call that is listed is in that call's line already.
    ids = {call.id for call, _ in calls}
    for timer in timers:
        if _about(timer.id)[1] in ids:
            continue
        purpose = timer.id.partition(".")[0]
        reasons.append(Reason("timer", _TIMERS.get(purpose, f"a {purpose} timer"), timer.id, timer.due_at))
    return reasons


async def call_began(store: Store, call: Call) -> int | None:
    """When the turn was that made a call, in milliseconds since the epoch.

    Args:
        store: Read only.
        call: Open or not.

    Returns:
        ``None`` where its entry cannot be read: what the thread waits for is known all the same.
    """
    found = await store.entries(call.thread, call.position - 1, 1)
    if not found or found[0][0] != call.position:
        return None
    try:
        return read_entry(found[0][1]).at
    except (DamagedStore, NewerStore):
        # What the thread waits for is known all the same.
        return None


def _asked_at(prompt: PromptRow) -> int | None:
    at: int | None = msgspec.json.decode(prompt.body).get("asked_at")
    return at


async def _of_children(store: Store, root: str) -> list[Reason]:
    """What a person is asked by the threads of a root's tree (CHO-4), and those of them that wait for the end
    of a cause outside.
    """
    waiting = [
        Reason(
            "child", f"its child {child.thread} waits: {child.problem}", thread=child.thread, actions=RESUME
        )
        for child in await waiting_children(store, root)
    ]
    return waiting + [
        Reason(
            "prompt",
            f"its child {prompt.thread} waits: {_asks(prompt)}",
            prompt.id,
            None,
            _asked_at(prompt),
            prompt.thread,
            _tool(prompt),
            actions=ANSWER,
        )
        for prompt in await store.prompts(root=root)
        if prompt.thread != root
    ]


def _asks(prompt: PromptRow) -> str:
    tool = _tool(prompt) or "a tool"
    return _PROMPTS.get(prompt.kind, "{tool} asks the user something").format(tool=tool)


def _tool(prompt: PromptRow) -> str:
    tool: str = msgspec.json.decode(prompt.body).get("tool", "")
    return tool


def _about(timer: str) -> tuple[str, str]:
    """The purpose of a timer and the call that it is about: ``deadline.<call id>``, ``prompt.<call
    id>.<number>``.
    """
    purpose, _, rest = timer.partition(".")
    return purpose, rest.partition(".")[0]


def _call(call: Call, state: str, until: int | None, asks: bool) -> Reason:
    if call.subscription:
        text = f"it listens for events of {call.tool} ({call.toolset})"
        return _of_call("subscription", text, call, None, ("end_subscription",))
    if not call.toolset:
        text = "the agent sleeps until something arrives"
        return Reason("sleep", text, call.id, actions=CANCEL)
    if call.toolset == OWN:
        text = f"{call.tool} is a function of the agent's own process, and runs there"
        return Reason("call", text, call.id, until, tool=call.tool, actions=CANCEL)
    where = "about to be sent to its tool server" if state == "planned" else "running at its tool server"
    stands_still = "; its deadline stands still while the user is asked" if asks else ""
    text = f"{call.tool} is {where} ({call.toolset}){stands_still}"
    return _of_call("call", text, call, until, CANCEL)


def _of_call(kind: str, text: str, call: Call, until: int | None, actions: tuple[str, ...]) -> Reason:
    return Reason(kind, text, call.id, until, tool=call.tool, server=call.toolset, actions=actions)


_PROMPTS = {
    "consent": "the user is asked to allow {tool}",
    "choice": "{tool} asks the user a question",
    "oauth": "{tool} asks the user to sign in",
}
_ENDS = {
    "choice": "; if nobody answers, the default is sent then",
    "oauth": "; if nobody does, the call fails then",
}
_TIMERS = {"retry": "the model will be retried automatically"}


def _state(status: str, reasons: list[Reason], pending: bool) -> str:
    # What is recorded wins over what the thread would otherwise wait for.
    if status in ("closed", "stopped"):
        return status
    kinds = {reason.kind for reason in reasons}
    if kinds & {"running", "pace"}:
        return "waiting" if "pace" in kinds else "running"
    return (
        "waiting"
        if kinds - {"problem", "compaction", "queued"} or pending
        else "queued"
        if "queued" in kinds
        else "idle"
    )
