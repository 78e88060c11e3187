"""Prepare: fold the batch into history, in order. Results of attached calls come first, so that nothing in the same
batch pushes them aside (L5). Messages for which the commit has no room are left to another slice (B15). What each kind of message means is below, one function a kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from infinity._core import Call, Message
from infinity.abc import HELD_BACK, SPAWN, Origin, Problem
from infinity.engine import compaction, consent, endings, family, prompts, questions, spending
from infinity.engine.content import entering
from infinity.engine.memo import recall, remember
from infinity.engine.work import Slice, encode_json
from infinity.errors import LimitReached
from infinity.message import (
    KEEP_CALLS,
    Action,
    Body,
    Choice,
    Chosen,
    Control,
    Event,
    OAuth,
    ParentText,
    ProblemReport,
    Report,
    Result,
    Summary,
    Timer,
    TimerPurpose,
    UserText,
    decode,
    text_blocks,
)


def prepare(slice: Slice, batch: Sequence[Message]) -> None:
    started_at, position = slice.now, slice.thread.position
    fresh = [pair for message in batch if (pair := _open(slice, message)) is not None]
    attached = {call.id for call in slice.thread.attached()}
    first = [
        (message, body) for message, body in fresh if isinstance(body, Result) and body.call_id in attached
    ]
    for message, result in first:
        if _has_room(slice):
            slice.came_at = message.accepted_at
            _result(slice, message, result)
    slice.came_at = 0
    if first:
        slice.wake_sleepers(prompts.SLEEP_INTERRUPTED)
    for message, body in fresh:
        if not slice.thread.seen(message.id):
            if _has_room(slice):
                _fold(slice, message, body)
            else:
                slice.left.append(message)
    endings.go_on(slice)
    if slice.thread.position != position:
        slice.spoken = True
        spending.unhold(slice, person=slice.asked_by_a_person)
    slice.mark("prepare", started_at)
    slice.services.observer.gate("prepared")


def _has_room(slice: Slice) -> bool:
    """Whether one more message fits into the commit; the first does. Behind one that did not, nothing overtakes it (THR-1)."""
    return not slice.left and not (slice.thread.changed() and slice.full)


def _open(slice: Slice, message: Message) -> tuple[Message, Body] | None:
    """The decoded message, unless it ends here: seen before, or unreadable."""
    if slice.thread.seen(message.id):
        slice.thread.consume(message, "duplicate")
        return None
    try:
        return message, decode(message.kind, message.body)
    except ValueError as error:
        slice.discard(message, f"unreadable: {error}")
        return None


def _fold(slice: Slice, message: Message, body: Body) -> None:
    if slice.thread.status == "closed" or (endings.closing(slice) and not _is_wake(body)):
        slice.discard(message, "thread closed")
        return
    slice.came_at = message.accepted_at
    _FOLD[type(body)](slice, message, body)
    slice.came_at = 0


def _is_wake(body: Body) -> bool:
    return isinstance(body, Control) and body.action is Action.START


def _user(slice: Slice, message: Message, body: UserText) -> None:
    slice.detach_all()
    slice.asked_by_a_person = True
    if slice.thread.status == "stopped":
        _resume(slice)
    content, kept = entering(slice, body.content)
    slice.thread.add_user(
        encode_json(slice.stamped(content)),
        now=slice.now,
        actor=body.user_id,
        meta=encode_json(
            {
                "message_id": message.id,
                "user_id": body.user_id,
                **kept,
                **({"print": body.print} if body.print else {}),
            }
        ),
    )
    slice.thread.consume(message)


def _result(slice: Slice, message: Message, body: Result) -> None:
    call = endings.open_call(slice, body.call_id)
    if call is None:
        ended = slice.thread.call(body.call_id)
        cancelled = ended is not None and ended.state in ("planned", "cancelled")
        slice.discard(message, "cancelled" if cancelled else "the call is not open")
        return
    content, kept = entering(slice, body.content, slice.limits.result_chars)
    subscription = body.subscription
    if subscription and len(slice.thread.subscriptions()) >= slice.limits.subscriptions:
        subscription = False
        text = f"Error: no further subscription, the limit of {slice.limits.subscriptions} is reached; the server was told to cancel it."
        content = text_blocks(text)
        slice.notify_cancelled(call.id)
    elif subscription:
        content = [*content, *text_blocks(prompts.subscription_confirmed(call.id))]
    meta = {**kept, "display": body.display} if body.display else kept
    slice.answer(
        call,
        content,
        state="failed" if body.failed else "answered",
        error=body.failed,
        subscription=subscription,
        meta=meta,
    )
    if body.cancel:
        slice.notify_cancelled(call.id)
    slice.thread.consume(message)


def _problem(slice: Slice, message: Message, body: ProblemReport) -> None:
    slice.problem(body.code, body.text)
    call = slice.thread.call(body.call_id)
    if call is not None and (call.subscription or endings.open_call(slice, call.id) is not None):
        memo = recall(slice.thread)
        memo.refused[body.call_id] = body.text
        remember(slice.thread, memo)
    slice.thread.consume(message)


def _event(slice: Slice, message: Message, body: Event) -> None:
    call = slice.thread.call(body.call_id)
    if slice.thread.early(body.call_id):
        slice.thread.keep(message, body.call_id)
        return
    if call is None or not call.subscription:
        slice.discard(message, "not an active subscription")
        return
    if body.seq is not None:
        _follow(slice, call.id, body.seq)
    content, kept = entering(slice, body.content, slice.limits.result_chars)
    meta = {"message_id": message.id, "call_id": call.id, "seq": body.seq, **kept}
    event: dict[str, Any] = {
        "tool": call.tool,
        "call_id": call.id,
        "arguments": call.arguments,
        "blocks": encode_json(slice.stamped(content)),
        "now": slice.now,
        "meta": encode_json(meta),
    }
    if not (body.associative or _child_for(slice, message, event)):
        body = Event(call_id=body.call_id, content=body.content, associative=True, final=body.final)
    if body.associative:
        slice.detach_all()
        slice.thread.add_event(slice.ids.mint("event"), **event)
        slice.thread.set_actor(call.user_id)
    if body.final:
        slice.thread.end_subscription(call.id)
        slice.forget_subscription(call.id)
        slice.note("subscription", id=call.id, active=False)
    slice.thread.consume(message)


def _follow(slice: Slice, subscription: str, seq: int) -> None:
    """Events that carry a ``seq`` count up by one; a gap is told to the user, nothing more can be known of it (R3)."""
    memo = recall(slice.thread)
    last = memo.sequences.get(subscription)
    if last is not None and seq > last + 1:
        slice.note("gap", id=subscription, expected=last + 1, got=seq)
        slice.problem("gap", f"{seq - last - 1} events of subscription {subscription} did not arrive")
    memo.sequences[subscription] = max(seq, last or 0)
    remember(slice.thread, memo)


def _child_for(slice: Slice, message: Message, event: dict[str, Any]) -> bool:
    """A child thread for an event (SUB-5); false at a limit: then the thread itself gets it, nothing is lost."""
    call = slice.thread.call(event["call_id"])
    assert call is not None
    child_id = slice.child_id(message.id)
    try:
        child = slice.fork_for(child_id, call)
    except LimitReached as error:
        slice.problem("limit", f"{error}; the event was given to this thread instead")
        return False
    child.add_event(slice.ids.mint("event"), **event)
    seed = text_blocks(prompts.event_seed(child_id, slice.thread.id))
    child.add_user(encode_json(seed), now=slice.now, actor=call.user_id)
    return True


def _report(slice: Slice, message: Message, body: Report) -> None:
    slice.detach_all()
    family.heard_from(slice.thread, body.child)
    state = " and has closed" if body.closed else ""
    text = body.text if body.by_runtime else f"Thread {body.child} reports{state}:\n\n{body.text}"
    content, kept = entering(slice, text_blocks(text))
    slice.thread.add_event(
        slice.ids.mint("event"),
        tool=body.tool,
        call_id=body.call_id,
        arguments=encode_json(body.arguments),
        blocks=encode_json(slice.stamped(content)),
        now=slice.now,
        meta=encode_json({"message_id": message.id, "child": body.child, "closed": body.closed, **kept}),
    )
    slice.thread.set_actor(body.user_id)
    slice.thread.consume(message)


def _parent(slice: Slice, message: Message, body: ParentText) -> None:
    slice.detach_all()
    origin = Origin.of(slice.thread)
    content, kept = entering(slice, text_blocks(f"Message from the parent thread:\n\n{body.text}"))
    slice.thread.add_event(
        slice.ids.mint("event"),
        tool=origin.tool or SPAWN,
        call_id=origin.call_id,
        arguments=encode_json(origin.arguments or {}),
        blocks=encode_json(slice.stamped(content)),
        now=slice.now,
        meta=encode_json({"message_id": message.id, **kept}),
    )
    family.assign(slice.thread)
    slice.thread.set_actor(body.user_id)
    slice.thread.consume(message)


def _oauth(slice: Slice, message: Message, body: OAuth) -> None:
    _prompt(slice, message, "oauth", body.call_id, {"auth_url": body.auth_url})


def _choice(slice: Slice, message: Message, body: Choice) -> None:
    about = {
        "prompt": body.prompt,
        "choices": body.choices,
        "default": body.default,
        "response_url": body.response_url,
    }
    _prompt(slice, message, "choice", body.call_id, about)


def _prompt(slice: Slice, message: Message, kind: str, call_id: str, about: dict[str, Any]) -> None:
    """Pending until answered or the call ends; the call stays open (OAU-1, CHO-1). Never wakes the model."""
    call = endings.open_call(slice, call_id)
    if call is None:
        slice.discard(message, "the call is not open")
        return
    slice.open_prompt(kind, call, {"message_id": message.id, **about})
    slice.thread.consume(message)


def _allow(slice: Slice, call: Call) -> None:
    """The user allows it; the policy of this host may have come to deny it since the question was asked, or where it was asked (S14)."""
    offer = slice.offer(call.tool)
    if offer is not None and consent.verdict(slice.services.settings.policy, offer) == "deny":
        slice.fail(call, prompts.denied(call.tool))
    else:
        slice.release(call)


def _chosen(slice: Slice, message: Message, body: Chosen) -> None:
    call = endings.open_call(slice, body.call_id)
    if call is None:
        slice.discard(message, "the call is not open")
        return
    if not questions.is_open(slice.thread, call, body.prompt_kind):
        slice.discard(message, "the question was answered already")
        return
    slice.thread.close_prompt(body.choice_id)
    questions.answered(slice, call, body.prompt_kind)
    # Kept for good: what was decided, by whom and when.
    slice.note("prompt_closed", id=body.choice_id, selected=body.selected, user_id=body.user_id, at=slice.now)
    if body.prompt_kind == "consent":
        if body.selected == 0:
            _allow(slice, call)
        else:
            slice.fail(call, prompts.declined(call.tool))
    else:
        answer = slice.services.wire.choice(body.call_id, body.selected)
        slice.thread.plan_outbox(f"choice.{message.id}", "choice", body.response_url, answer, body.call_id)
    slice.thread.consume(message)


def _unanswered(slice: Slice, call: Call, timer: Timer) -> None:
    """Nobody has answered within ``timeouts.prompt``: a question sends its default, a sign-in fails its call (CHO-3)."""
    waiting = questions.waits(slice.thread, call)
    assert waiting is not None, "a timer of a question that is over is stale"
    seconds = slice.services.settings.timeouts.prompt
    if "oauth" in waiting.open or timer.choice is None:
        slice.fail(call, prompts.unanswered(call.tool, seconds, sign_in="oauth" in waiting.open))
        slice.notify_cancelled(call.id)
        return
    id, selected = f"choice.{call.id}", timer.choice.default
    slice.thread.close_prompt(id)
    questions.answered(slice, call, "choice")
    slice.note("prompt_closed", id=id, selected=selected, user_id=None, at=slice.now, unanswered=True)
    answer = slice.services.wire.choice(call.id, selected)
    key = f"choice.chosen.{timer.message_id}"
    slice.thread.plan_outbox(key, "choice", timer.choice.response_url, answer, call.id)


def _timer(slice: Slice, message: Message, body: Timer) -> None:
    if body.purpose is TimerPurpose.RETRY:
        _retry(slice, message, body)
        return
    call = endings.open_call(slice, body.call_id or "")
    if call is None:
        slice.discard(message, "the call is not open")
        return
    if body.purpose is TimerPurpose.SLEEP:
        content = text_blocks("The time has come: you slept as asked.")
        slice.answer(call, content if call.detached else slice.stamped(content))
    elif questions.is_stale(slice.thread, call, body):
        slice.discard(message, "the user was asked, or has answered, since this timer was set")
        return
    elif body.purpose is TimerPurpose.PROMPT:
        _unanswered(slice, call, body)
    elif not questions.adopt(slice, call):
        sending = slice.sending.get(call.id, prompts.Sending.ATTEMPTED)
        slice.fail(call, prompts.past_deadline(call.tool, slice.services.settings.timeouts.call, sending))
        if sending is not prompts.Sending.NEVER:
            slice.notify_cancelled(call.id)
    slice.thread.consume(message)


def _retry(slice: Slice, message: Message, body: Timer) -> None:
    """The one retry timer of the thread; any other one is stale, and asks nobody (R8)."""
    memo = recall(slice.thread)
    if memo.retry is None and body.version == slice.thread.version:
        memo.retry = message.id  # set by 0.1.0, which did not write its id down
        remember(slice.thread, memo)
    if message.id != memo.retry:
        slice.discard(message, "a later slice has tried again already")
        return
    # It may have been brought forward: then the timer itself is still there.
    spending.quiet(slice)
    slice.rounds, slice.woken = body.rounds, body.cause is not None
    slice.asked_by_a_person |= body.asked
    slice.thread.consume(message)


def _control(slice: Slice, message: Message, body: Control) -> None:
    match body.action:
        case Action.INTERRUPT:
            if body.argument != KEEP_CALLS:
                endings.interrupt(slice)
            slice.thread.set_pending(False)
            spending.interrupted(slice)
            slice.note("status", status="interrupted")
        case Action.STOP | Action.CLOSE if compaction.is_summariser(slice):
            # Its parent waits for it: one that is stopped has failed, so that another may begin.
            slice.thread.set_pending(False)
            compaction.finish(slice, None)
        case Action.STOP:
            slice.thread.set_stopped(True)
            slice.note("status", status="stopped")
        case Action.RESUME:
            _resume(slice)
            spending.started_anew(slice)
        case Action.CLOSE:
            slice.close(body.argument)
            endings.close(slice)
        case Action.MODEL:
            slice.thread.set_model(body.argument or "")
            slice.note("status", status="model", model=body.argument)
            spending.started_anew(slice)
        case Action.COMPACT:
            problem = compaction.start(slice)
            if problem is not None:
                slice.note("compaction", state="refused", text=problem)
        case Action.UNSUBSCRIBE:
            _unsubscribe(slice, body.argument or "")
        case Action.REVIEW:
            consent.review(slice, body.argument or "")
        case Action.START:
            pass
    slice.thread.consume(message)


def _resume(slice: Slice) -> None:
    """Go on: after a stop, or after a problem that ended in waiting for the user."""
    slice.thread.set_stopped(False)
    if slice.thread.problem is not None and not slice.thread.attached():
        # After a turn there is nothing to answer: a cut answer or a gap is only acknowledged.
        slice.thread.set_pending(not slice.thread.answered)
        slice.thread.set_problem(None)
    elif (problem := Problem.read(slice.thread.problem)) is not None and problem.code == HELD_BACK:
        slice.thread.set_problem(None)
    slice.note("status", status="resumed")


def _unsubscribe(slice: Slice, subscription: str) -> None:
    """What the built-in ``cancel_subscription`` does, asked for by the user (SUB-7). One that has ended by itself needs nothing."""
    if slice.thread.end_subscription(subscription):
        slice.notify_cancelled(subscription)
        slice.note("subscription", id=subscription, active=False)


_FOLD: dict[type[Body], Callable[[Slice, Message, Any], None]] = {
    UserText: _user,
    Result: _result,
    Event: _event,
    Report: _report,
    ParentText: _parent,
    OAuth: _oauth,
    Choice: _choice,
    Chosen: _chosen,
    Timer: _timer,
    Control: _control,
    Summary: compaction.apply,
    ProblemReport: _problem,
}
