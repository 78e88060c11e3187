"""Responses about what is under way and what came to nothing: calls, timers, deliveries, discards. As those of ``responses``, which see."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

__all__ = [
    "CallDone",
    "CallsDone",
    "Deliveries",
    "Discard",
    "Discards",
    "Retried",
    "ServerHealth",
    "Timer",
    "Timers",
    "UnderWay",
]


class CallDone(Struct, kw_only=True):
    """What a call has been doing. ``state``: ``planned``, ``sent``, ``answered``, ``failed`` or ``cancelled``; ``position``: of its turn; ``sent_at``: when its
    tool took it; ``attempts``: tries to send it, while it is on its way those that failed; only then is there ``next_at``, when the next one is due, and
    ``trouble``, why the last one failed; ``result``: the position of its result, null also where that came thousands of entries later; ``child``: the thread
    that it has made. Times are null for what has not happened, did not happen, or was recorded by an earlier version."""

    id: str
    thread: str
    tool: str
    toolset: str
    arguments: dict[str, Any]
    state: str
    position: int
    planned_at: int | None
    sent_at: int | None
    ended_at: int | None
    attempts: int
    next_at: int | None
    trouble: str | None
    deadline: int | None
    result: int | None
    child: str | None


class CallsDone(Struct):
    """``next``: the number for ``after``, null at the end."""

    calls: list[CallDone]
    next: int | None


class ServerHealth(Struct, kw_only=True):
    """How a tool server has answered since this process began. ``state``: ``answers``, ``fails`` (it cannot be reached, gives no answer or says that it cannot) or
    ``unknown``, before the first request; ``since``: when that began; ``last_error``: also the last refusal; ``answers``: how many of the last requests
    ``p50_ms`` and ``p95_ms`` are told from, which half and 95 of a hundred took at the most."""

    state: str
    since: int | None
    last_ok_at: int | None
    last_error: str | None
    last_error_at: int | None
    answers: int
    p50_ms: int | None
    p95_ms: int | None


class Timer(Struct):
    """``purpose``: what it is for, in one word."""

    thread: str
    id: str
    due_at: int
    purpose: str


class Timers(Struct):
    """``next``: the cursor for ``after``, null at the end."""

    timers: list[Timer]
    next: str | None


class UnderWay(Struct, kw_only=True):
    """Something recorded that has not left yet. ``kind``: ``invoke``, ``choice``, ``cancel`` or ``close``; ``target``: where it goes; ``attempts``: tries that
    failed, ``trouble``: why the last one did; ``next_at``: when the next one is due, null for at once."""

    key: str
    kind: str
    thread: str
    call_id: str | None
    target: str
    attempts: int
    next_at: int | None
    trouble: str | None


class Deliveries(Struct):
    """``next``: the cursor for ``after``, null at the end."""

    deliveries: list[UnderWay]
    next: str | None


class Retried(Struct):
    """``status``: ``now``, or ``under_way`` for what does not rest: it is being sent, or waits behind others of its server."""

    status: str
    key: str


class Discard(Struct):
    """A message that came to nothing."""

    thread: str
    message: str
    reason: str
    at: int


class Discards(Struct):
    """``next``: the cursor for ``after``, null at the end."""

    discards: list[Discard]
    next: str | None
