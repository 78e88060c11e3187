"""Every text that the runtime itself says to a model."""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache

SYSTEM = """\
You run inside Infinity, a runtime for agents that may wait for a long time.

Tools are asynchronous. You may call several in one turn; they run in parallel. If something else happens while a call runs (the user \
speaks, an event arrives), that call gets a placeholder result and its real result reaches you later as an event: a call of \
`receive_event__injected` that you did not make, followed by its content. Never call `receive_event__injected` yourself, never repeat a call \
that is still running, and never poll: the result wakes you by itself.

Some tools subscribe you to events: their result says so and names the subscription's tool_call_id. Each event may come to a thread of its own, \
which knows what you knew. A thread that has nothing left to do simply ends its turn; it sleeps at no cost and wakes when something arrives.

What arrives may begin with a block of the form `(time: ...)`, in which the runtime says when it came; `current_time` tells you the time now.

Threads form a tree. A thread made by `spawn_thread` or for an event inherits the conversation up to its creation and is told, in what follows, which \
thread it is and what it is for. It does only that: earlier plans and running calls belong to its parent. Its parent sees nothing of it but what it \
reports with `report_to_parent` or `close_thread`."""


_ARGUMENTS = 8_000
"""Characters of changed arguments that the model is told."""


@lru_cache(maxsize=16)
def system(instructions: str) -> str:
    """The system prompt: the same bytes for every thread and slice of an agent (G4)."""
    return f"{SYSTEM}\n\n{instructions}" if instructions else SYSTEM


def root_seed(thread: str) -> str:
    return f"This is the root thread of a new conversation. Its id is {thread}."


def spawned_seed(child: str, parent: str, instructions: str) -> str:
    return (
        f"You are now in the child thread {child}, created by this call. Its parent is {parent}, which continues with everything else. "
        f"Do only the following, do not carry on with earlier plans, then report with report_to_parent or close_thread.\n\n{instructions}"
    )


def forked_seed(fork: str, thread: str) -> str:
    return (
        f"From here on you are in the thread {fork}, a fork of {thread}: it goes on from this point another way, by itself. Calls that still ran here and "
        f"subscriptions belong to {thread}; nothing of them arrives here."
    )


def event_seed(child: str, parent: str) -> str:
    return (
        f"You are in the child thread {child}, created for the event above. Its parent {parent} continues on its own and has not seen the event. "
        "Handle this event only, do not carry on with earlier plans. If the parent should know, use report_to_parent; when nothing is left to do, close_thread."
    )


def inherited_call(parent: str) -> str:
    return f"This call belongs to the parent thread {parent}; its result goes there, not here."


PENDING = {
    "oauth": " Waiting for the user to authorise access; they have been asked.",
    "choice": " Waiting for the user to answer a question of the tool.",
    "consent": " It was not sent yet: the user was asked to allow it.",
}


def still_running(tool: str, prompt: str | None) -> str:
    return f"{tool} is still running. Its result will reach you as an event when it is there; do not call it again for that.{PENDING.get(prompt or '', '')}"


SLEEP_INTERRUPTED = "Woken: something arrived. It follows."
SLEEP_REFUSED = "Not asleep: another call of this turn was answered at once. See its result."
INTERRUPTED = "Cancelled: the user interrupted."
CANCELLED = "Cancelled: the user cancelled this call."
CLOSED = "Cancelled: the thread was closed."


def subscription_confirmed(call_id: str) -> str:
    return f"The subscription is active. Its tool_call_id is {call_id}."


def unknown_tool(name: str, names: list[str]) -> str:
    listed = ", ".join(names[:60])
    return f"Error: there is no tool {name!r}. Tools you can call: {listed}."


def bad_arguments(tool: str, problems: list[str]) -> str:
    return f"Error: {tool} was not called, its arguments are wrong: " + "; ".join(problems[:10])


class Sending(StrEnum):
    """How far a call has come on its way to its tool server (M7)."""

    NEVER = "never"
    ATTEMPTED = "attempted"
    ACKNOWLEDGED = "acknowledged"
    RUNNING = "running"
    """A function of this process, which is its own delivery."""


def too_large_to_keep(tool: str) -> str:
    return f"Error: {tool} returned more than the runtime's store takes at once, and none of it was kept. The tool has done its work; ask for less of it, or for a part."


def past_deadline(tool: str, seconds: float, sending: Sending) -> str:
    """Each says what is true of it, because the model decides by it whether to call again."""
    match sending:
        case Sending.NEVER:
            return f"Error: {tool} was never sent: its tool server could not be reached within {seconds:g} seconds. It will not be sent any more, so nothing of it was done."
        case Sending.ATTEMPTED:
            return (
                f"Error: {tool} gave no result within {seconds:g} seconds. Sending it was attempted and not acknowledged: it may have arrived, or not. "
                "It will not be sent again; find out whether it was done before you repeat it."
            )
        case Sending.RUNNING:
            return (
                f"Error: {tool} gave no result within {seconds:g} seconds and was told to stop. "
                "It may have done a part of its work; find out before you repeat it."
            )
        case Sending.ACKNOWLEDGED:
            return (
                f"Error: {tool} gave no result within {seconds:g} seconds; the runtime stopped waiting. Its tool server had acknowledged it, "
                "so it may still be running there or have been done; the server was told to cancel it. Find out before you repeat it."
            )


def unanswered(tool: str, seconds: float, *, sign_in: bool) -> str:
    what = "to sign in, and nobody did" if sign_in else "a question, and nobody answered"
    return f"Error: {tool} asked the user {what} within {seconds / 86_400:g} days (timeouts.prompt); the runtime stopped waiting. Ask the user before you call it again."


def undelivered(tool: str, detail: str) -> str:
    return f"Error: {tool} could not be delivered to its tool server ({detail}). The server may be down; try again later or use another way."


SENT = {
    "tool_result": "result",
    "user_choice": "question to the user",
    "oauth": "wish that the user signs in",
}


def refused(kind: str, reason: str) -> str:
    """For the model: what came back for its call could not be taken."""
    what = SENT.get(kind, "result")
    return f"Error: the tool server's {what} was refused by the runtime: {reason}. The call has ended; what it did has been done."


def refused_aside(kind: str, reason: str) -> str:
    """For the user."""
    what = "an event" if kind == "subscription_event" else "a view"
    return f"{what} of a tool server was refused: {reason}. Its call goes on"


def removed(tool: str, toolset: str, *, subscription: bool) -> str:
    if subscription:
        return f"The subscription of {tool} has ended: its tool server ({toolset}) is not configured any more. No further events will come."
    return f"Error: {tool} will give no result: its tool server ({toolset}) is not configured any more. What it was doing there may have been done."


def answer_undelivered(tool: str, detail: str) -> str:
    return f"your answer to a question of {tool} could not be delivered to its tool server ({detail}); the call is still open, and its result may still come"


def too_many_calls(limit: int) -> str:
    return f"Error: not called; one turn may make {limit} calls (limits.calls_per_turn). Make the rest in a later turn."


def declined(tool: str, reason: str) -> str:
    why = f" The user's reason: {reason}" if reason.strip() else ""
    return f"Error: the user declined {tool}. Do not try it again unless the user asks for it.{why}"


def not_editable(tool: str) -> str:
    return f"Error: not called; the user changed the arguments of {tool}, which this agent's policy does not allow."


def edited_and_gone(tool: str) -> str:
    return f"Error: not called; the user changed the arguments of {tool}, and no tool server offers it now, so that they cannot be checked."


def arguments_changed(arguments: bytes) -> str:
    text = arguments.decode(errors="replace")
    shown = text if len(text) <= _ARGUMENTS else f"{text[:_ARGUMENTS]} … (cut)"
    return f"The user changed the arguments to {shown} before allowing it."


def denied(tool: str) -> str:
    return f"Error: {tool} is denied by this agent's policy."


def child_ended(child: str, words: str, *, interrupted: bool) -> str:
    if interrupted:
        return f"Thread {child} was interrupted by the user and has not reported. It rests, and goes on only when it is given a message."
    said = f" Its last words, which were not meant for you:\n\n{words}" if words.strip() else ""
    return (
        f"Thread {child} has ended its turn without a report. It rests, so do not wait for it: nothing more comes of it by itself. "
        f"Use send_message_to_child if you need more from it.{said}"
    )


def child_stopped(child: str, problem: str) -> str:
    return (
        f"Thread {child} cannot go on, and has not finished what it was given. The reason: {problem}. "
        "Do not wait for it: nothing comes of it unless a person, or a message of yours, makes it go on."
    )
