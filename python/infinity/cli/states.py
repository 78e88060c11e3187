"""States of a thread, in a sentence each, and what its user can do about what it waits for.

``show``, ``threads`` and ``doctor`` print them. The daemon explains why a thread waits; here is only what
that means for a person and which command helps.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

__all__ = ["advice", "spent_line", "state_line"]

_STATES = {
    "running": "the agent is working right now",
    "queued": "a message has arrived and is about to be read",
    "idle": "nothing to do; it waits for you. Costs nothing",
    "stopped": "by you: messages and results are kept, nothing is done with them until you resume it or write to it",
    "closed": "ended for good; what was said stays readable",
}
_WAITING = {
    "held_back": "its slice held the whole daemon until that was ended; it runs nothing until you resume it",
    "pace": "its next request to the model waits for its turn; it continues automatically at the time below",
    "failing": "the last step failed and will be retried automatically. Nothing is lost",
    "prompt": "it needs an answer from you",
    "call": "a tool is at work; its result wakes the agent. Nothing runs and nothing is charged meanwhile",
    "sleep": "the agent sleeps; a message wakes it earlier. Nothing runs and nothing is charged meanwhile",
    "child": "a child of it waits for the end of something outside, and continues automatically then",
    "timer": "it continues automatically at the time below",
    "compaction": "its history has become too long for the model; it goes on when the older part is summarised",
    "subscription": "it listens for events; each one wakes it. Nothing runs and nothing is charged meanwhile",
}
"""In the order of what matters most to its user."""


def state_line(explanation: dict[str, Any]) -> str:
    """The state of a thread and what it means, for somebody who meets it for the first time.

    Args:
        explanation: As the API gives it with a thread.
    """
    state = explanation["state"]
    kinds = {reason["kind"] for reason in explanation["reasons"]}
    if state == "waiting":
        meaning = next(
            (text for kind, text in _WAITING.items() if kind in kinds), "it continues automatically"
        )
        # With a timer or a summary under way it goes on by itself, and the problem is being dealt with.
        if "problem" in kinds and not kinds & {"timer", "compaction"}:
            meaning = f"it could not go on, the reason is below. Meanwhile, {meaning}"
    else:
        meaning = _STATES.get(state, "")
        if state == "idle" and "problem" in kinds:
            meaning = "it could not go on; the reason is below, and it waits for you"
    return f"{state}: {meaning}" if meaning else str(state)


def advice(thread: str, reason: dict[str, Any], beside: Collection[str] = ()) -> str | None:
    """What to type, where something can be done.

    Args:
        thread: The id of the thread that waits.
        reason: One of its explanation.
        beside: Kinds of its other reasons, which may make advice needless.

    Returns:
        ``None`` where waiting is all there is to do.
    """
    kind, about = reason["kind"], reason["id"]
    if kind == "problem":
        # While it is tried again there is nothing to type.
        return None if "running" in beside else _mend(thread, reason["text"].partition(":")[0], beside)
    if kind == "held_back":
        return f"try again: infinity resume {thread}   (or give it up: infinity delete CONVERSATION)"
    if kind == "prompt":
        if about.startswith("oauth."):
            return f"the link to sign in: infinity show {thread}"
        return f"answer it: infinity choose {thread} INDEX   (infinity show {thread} lists the choices)"
    if kind == "sleep":
        return f"wake it: infinity send {thread} TEXT"
    if kind == "subscription":
        return f"end it: infinity subscriptions cancel {reason['id']}"
    if kind == "call":
        return f"give up on it: infinity interrupt {thread}"
    return None


def _mend(thread: str, code: str, beside: Collection[str]) -> str:
    """``code``: of the problem."""
    resume = f"infinity resume {thread}"
    if code == "budget":
        return f"allow as much again: {resume}   (or raise the limit in infinity.toml and restart)"
    if "timer" in beside:
        return f"do not wait for that: {resume}"
    if code == "gap":
        return f"take note of it: {resume}"
    return f"try again: {resume}   (or send it a message)"


def spent_line(thread: dict[str, Any]) -> str | None:
    """What the whole conversation has cost, and of how much; ``None`` where nothing was counted."""
    spent, budget = thread.get("spent"), thread.get("budget") or {}
    if not spent or not (spent["tokens"] or budget.get("tokens") or budget.get("dollars")):
        return None
    tokens = (
        f"{spent['tokens']:,}" + (f" of {budget['tokens']:,}" if budget.get("tokens") else "") + " tokens"
    )
    if not spent["dollars"] and not budget.get("dollars"):
        return f"spent {tokens}, children included"
    dollars = f"${spent['dollars']:.4f}" + (f" of ${budget['dollars']:.2f}" if budget.get("dollars") else "")
    return f"spent {tokens}, {dollars}, children included"
