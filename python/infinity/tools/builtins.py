"""The built-in tools. They answer in place and only add to the slice's plan; every mistake is answered with
what was wrong.

The catalog offers them in every thread, and dispatch runs them while the slice plans. Nothing here may send
or wait: what a built-in wants done is part of the slice's commit (I5, I6).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from infinity._core import Call
from infinity.abc import SPAWN, BuiltinContext, BuiltinError, Origin
from infinity.message import Kind, ParentText, Timer, TimerPurpose, encode
from infinity.tools.times import BadTime, local_instant, spoken

Run = Callable[[BuiltinContext, Call, dict[str, Any]], Awaitable[str | None]]

LONGEST_SLEEP_SECONDS = 366 * 24 * 3600


@dataclass(frozen=True, slots=True)
class BuiltinTool:
    name: str
    description: str
    schema: dict[str, Any]
    run: Run


def _schema(
    required: dict[str, dict[str, Any]], optional: dict[str, dict[str, Any]] | None = None
) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
        "additionalProperties": False,
    }


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "description": description}


def _sleep_timer(context: BuiltinContext, call: Call, due_at: int) -> None:
    timer = Timer(purpose=TimerPurpose.SLEEP, call_id=call.id)
    context.thread.set_timer(f"sleep.{call.id}", due_at, Kind.TIMER, encode(timer))


async def _current_time(context: BuiltinContext, call: Call, arguments: dict[str, Any]) -> str | None:
    try:
        return f"It is {spoken(context.now, arguments.get('timezone', 'UTC'))}."
    except BadTime as error:
        raise BuiltinError(str(error)) from None


async def _sleep(context: BuiltinContext, call: Call, arguments: dict[str, Any]) -> str | None:
    _sleep_timer(context, call, context.now + int(arguments["seconds"] * 1000))
    return None


async def _sleep_until(context: BuiltinContext, call: Call, arguments: dict[str, Any]) -> str | None:
    try:
        due_at = local_instant(arguments["date"], arguments["time"], arguments["timezone"])
    except BadTime as error:
        raise BuiltinError(str(error)) from None
    # Answered in place: a timer in the past would wake the thread at once, for one more paid completion.
    if due_at <= context.now:
        return f"That moment is already past; it is {spoken(context.now, arguments['timezone'])} now."
    if due_at > context.now + LONGEST_SLEEP_SECONDS * 1000:
        raise BuiltinError("that is more than a year ahead; sleep in shorter steps.")
    _sleep_timer(context, call, due_at)
    return None


async def _sleep_until_event_or_input(
    context: BuiltinContext, call: Call, arguments: dict[str, Any]
) -> str | None:
    # Nothing to set: whatever wakes the thread answers the call.
    return None


async def _spawn_thread(context: BuiltinContext, call: Call, arguments: dict[str, Any]) -> str | None:
    child = await context.spawn(call, arguments["instructions"])
    return f"The child thread {child} was created and works by itself. What it reports will reach you as events; do not wait for it in any other way."


async def _report_to_parent(context: BuiltinContext, call: Call, arguments: dict[str, Any]) -> str | None:
    thread = context.thread
    if thread.parent is None or thread.origin is None or Origin.of(thread).fork:
        raise BuiltinError("this is a root thread, it has no parent. Say it to the user instead.")
    context.report(arguments["report"], key=f"report.{call.id}")
    return "Reported to the parent thread."


ROOT_STAYS_OPEN = (
    "this is the root thread of the conversation, and only the user closes that. It was not closed. "
    "To end for now, simply end your turn: the thread sleeps at no cost and wakes when the user writes or an event arrives. "
    "To stop events, use cancel_subscription."
)


async def _close_thread(context: BuiltinContext, call: Call, arguments: dict[str, Any]) -> str | None:
    """Children only (THR-4). The tool stays in every thread's list, because the list is the same for a whole
    tree (G4).
    """
    if context.thread.parent is None or Origin.of(context.thread).fork:
        raise BuiltinError(ROOT_STAYS_OPEN)
    context.close(arguments.get("report"))
    return "This thread is closed."


async def _send_message_to_child(
    context: BuiltinContext, call: Call, arguments: dict[str, Any]
) -> str | None:
    child = arguments["thread_id"]
    if not await context.is_open_child(child):
        raise BuiltinError(f"{child} is not an open child of this thread. Use the id that spawn_thread gave.")
    context.thread.send(
        child,
        f"parent.{call.id}",
        Kind.PARENT,
        encode(ParentText(text=arguments["message"], user_id=context.thread.actor)),
    )
    # The parent is told if the child ends without one (THR-5).
    context.expect_report(child)
    return f"Sent to {child}."


async def _cancel_subscription(context: BuiltinContext, call: Call, arguments: dict[str, Any]) -> str | None:
    subscription = arguments["tool_call_id"]
    if not context.thread.end_subscription(subscription):
        active = ", ".join(f"{each.id} ({each.tool})" for each in context.thread.subscriptions()) or "none"
        raise BuiltinError(f"{subscription} is not an active subscription of this thread. Active: {active}.")
    context.notify_cancelled(subscription)
    context.thread.note(
        "subscription", msgspec.json.encode({"at": context.now, "id": subscription, "active": False})
    )
    return f"The subscription {subscription} is cancelled; no further events will come."


BUILTINS: tuple[BuiltinTool, ...] = (
    BuiltinTool(
        "current_time",
        "The date and time now.",
        _schema(
            {},
            {
                "timezone": {
                    "type": "string",
                    "description": "IANA name, such as Europe/Berlin; UTC if left out",
                }
            },
        ),
        _current_time,
    ),
    BuiltinTool(
        "sleep",
        "Sleep for a number of seconds, at no cost. The user or an event may wake you earlier.",
        _schema(
            {
                "seconds": {
                    "type": "number",
                    "minimum": 0,
                    "maximum": LONGEST_SLEEP_SECONDS,
                    "description": "How long, up to a year.",
                }
            }
        ),
        _sleep,
    ),
    BuiltinTool(
        "sleep_until",
        "Sleep until a local date and time, at no cost. A moment in the past answers at once. When a clock change makes the time occur twice, "
        "the first is meant; when it skips the time, the same distance after the change is.",
        _schema(
            {
                "date": {"type": "string", "description": "YYYY-MM-DD"},
                "time": {"type": "string", "description": "HH:MM or HH:MM:SS, 24 hours"},
                "timezone": {"type": "string", "description": "IANA name, such as Europe/Berlin or UTC"},
            }
        ),
        _sleep_until,
    ),
    BuiltinTool(
        "sleep_until_event_or_input",
        "Sleep until anything arrives: user input, an event, a result, a report.",
        _schema({}),
        _sleep_until_event_or_input,
    ),
    BuiltinTool(
        SPAWN,
        "Create a child thread that knows this conversation and works on the instructions independently, in parallel. Its reports reach you as events.",
        _schema({"instructions": _text("What the child is to do and what to report.")}),
        _spawn_thread,
    ),
    BuiltinTool(
        "report_to_parent",
        "In a child thread: tell the parent thread something; it is all the parent sees of this thread.",
        _schema({"report": _text("The report.")}),
        _report_to_parent,
    ),
    BuiltinTool(
        "close_thread",
        "In a child thread: end it for good; its running calls and subscriptions are cancelled, its own children are closed. "
        "A root thread is closed by the user only.",
        _schema({}, {"report": _text("A last report to the parent.")}),
        _close_thread,
    ),
    BuiltinTool(
        "send_message_to_child",
        "Send a message to a child thread that is not closed.",
        _schema({"thread_id": _text("The child's id."), "message": _text("The message.")}),
        _send_message_to_child,
    ),
    BuiltinTool(
        "cancel_subscription",
        "End an active subscription of this thread.",
        _schema({"tool_call_id": _text("The id that the subscription's result gave.")}),
        _cancel_subscription,
    ),
)
