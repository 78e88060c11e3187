"""Prepare: fold the batch into history, in order. Results of attached calls come first, so that nothing in the same
batch pushes them aside (L5). Messages for which the commit has no room are left to another slice (B15). What each kind of message means is below, one function a kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from infinity._core import Call, Message
from infinity.abc import HELD_BACK, SPAWN, Origin, Problem
from infinity.engine import calls, children, compaction, consent, endings, prompts, questions, spending
from infinity.engine.content import entering, stamped
from infinity.engine.memo import recall, remember
from infinity.engine.slice.state import Slice, Why
from infinity.errors import LimitReached
from infinity.message import (
    ALLOW,
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


def prepare(current: Slice, batch: Sequence[Message]) -> None:
    started_at, position = current.now, current.thread.position
    fresh = [pair for message in batch if (pair := _open(current, message)) is not None]
    attached = {call.id for call in current.thread.attached()}
    first = [
        (message, body) for message, body in fresh if isinstance(body, Result) and body.call_id in attached
    ]
    for message, result in first:
        if _has_room(current):
            current.came_at = message.accepted_at
            _result(current, message, result)
    current.came_at = 0
    if first:
        calls.wake_sleepers(current, prompts.SLEEP_INTERRUPTED)
    for message, body in fresh:
        if not current.thread.seen(message.id):
            if _has_room(current):
                _fold(current, message, body)
            else:
                current.left.append(message)
                current.folded -= 1
    endings.go_on(current)
    if current.thread.position != position:
        current.why |= Why.INPUT
        spending.unhold(current, person=current.asked_by_a_person)
    current.mark("prepare", started_at)
    current.services.observer.gate("prepared")


def _has_room(current: Slice) -> bool:
    """Whether one more message fits into the commit; the first does. Behind one that did not, nothing overtakes it (THR-1)."""
    return not current.left and not (current.thread.changed() and current.full)


def _open(current: Slice, message: Message) -> tuple[Message, Body] | None:
    """The decoded message, unless it ends here: seen before, or unreadable."""
    if current.thread.seen(message.id):
        current.thread.consume(message, "duplicate")
        return None
    current.folded += 1
    if message.accepted_at:
        current.queued_at = min(current.queued_at or message.accepted_at, message.accepted_at)
    try:
        return message, decode(message.kind, message.body)
    except ValueError as error:
        current.discard(message, f"unreadable: {error}")
        return None


def _fold(current: Slice, message: Message, body: Body) -> None:
    if current.thread.status == "closed" or (endings.closing(current) and not _is_wake(body)):
        current.discard(message, "thread closed")
        return
    current.came_at = message.accepted_at
    _FOLD[type(body)](current, message, body)
    current.came_at = 0


def _is_wake(body: Body) -> bool:
    return isinstance(body, Control) and body.action is Action.START


def _user(current: Slice, message: Message, body: UserText) -> None:
    calls.detach_all(current)
    current.why |= Why.PERSON
    if current.thread.status == "stopped":
        _resume(current)
    content, kept = entering(current, body.content)
    current.said(" ".join(block["text"] for block in content if block["type"] == "text"), by_person=True)
    current.thread.add_user(
        msgspec.json.encode(stamped(current, content)),
        now=current.now,
        actor=body.user_id,
        meta=msgspec.json.encode(
            {
                "message_id": message.id,
                "user_id": body.user_id,
                **kept,
                **({"print": body.print} if body.print else {}),
            }
        ),
    )
    current.thread.consume(message)


def _result(current: Slice, message: Message, body: Result) -> None:
    call = endings.open_call(current, body.call_id)
    if call is None:
        ended = current.thread.call(body.call_id)
        cancelled = ended is not None and ended.state in ("planned", "cancelled")
        current.discard(message, "cancelled" if cancelled else "the call is not open")
        return
    content, kept = entering(current, body.content, current.limits.result_chars)
    subscription = body.subscription
    if subscription and len(current.thread.subscriptions()) >= current.limits.subscriptions:
        subscription = False
        text = f"Error: no further subscription, the limit of {current.limits.subscriptions} is reached; the server was told to cancel it."
        content = text_blocks(text)
        calls.notify_cancelled(current, call.id)
    elif subscription:
        content = [*content, *text_blocks(prompts.subscription_confirmed(call.id))]
    meta = {**kept, "display": body.display} if body.display else kept
    calls.answer(
        current,
        call,
        content,
        state="failed" if body.failed else "answered",
        error=body.failed,
        subscription=subscription,
        meta=meta,
    )
    if body.cancel:
        calls.notify_cancelled(current, call.id)
    current.thread.consume(message)


def _problem(current: Slice, message: Message, body: ProblemReport) -> None:
    current.problem(body.code, body.text)
    call = current.thread.call(body.call_id)
    if call is not None and (call.subscription or endings.open_call(current, call.id) is not None):
        memo = recall(current.thread)
        memo.refused[body.call_id] = body.text
        remember(current.thread, memo)
    current.thread.consume(message)


def _event(current: Slice, message: Message, body: Event) -> None:
    call = current.thread.call(body.call_id)
    if current.thread.early(body.call_id):
        current.thread.keep(message, body.call_id)
        return
    if call is None or not call.subscription:
        current.discard(message, "not an active subscription")
        return
    if body.seq is not None:
        _follow(current, call.id, body.seq)
    content, kept = entering(current, body.content, current.limits.result_chars)
    meta = {"message_id": message.id, "call_id": call.id, "seq": body.seq, **kept}
    event: dict[str, Any] = {
        "tool": call.tool,
        "call_id": call.id,
        "arguments": call.arguments,
        "blocks": msgspec.json.encode(stamped(current, content)),
        "now": current.now,
        "meta": msgspec.json.encode(meta),
    }
    if not (body.associative or _child_for(current, message, event)):
        body = Event(call_id=body.call_id, content=body.content, associative=True, final=body.final)
    if body.associative:
        calls.detach_all(current)
        current.thread.add_event(current.ids.mint("event"), **event)
        current.thread.set_actor(call.user_id)
    if body.final:
        current.thread.end_subscription(call.id)
        calls.forget_subscription(current, call.id)
        current.note("subscription", id=call.id, active=False)
    current.thread.consume(message)


def _follow(current: Slice, subscription: str, seq: int) -> None:
    """Events that carry a ``seq`` count up by one; a gap is told to the user, nothing more can be known of it (R3)."""
    memo = recall(current.thread)
    last = memo.sequences.get(subscription)
    if last is not None and seq > last + 1:
        current.note("gap", id=subscription, expected=last + 1, got=seq)
        current.problem("gap", f"{seq - last - 1} events of subscription {subscription} did not arrive")
    memo.sequences[subscription] = max(seq, last or 0)
    remember(current.thread, memo)


def _child_for(current: Slice, message: Message, event: dict[str, Any]) -> bool:
    """A child thread for an event (SUB-5); false at a limit: then the thread itself gets it, nothing is lost."""
    call = current.thread.call(event["call_id"])
    assert call is not None
    child_id = children.child_id(current, message.id)
    try:
        child = children.fork_for(current, child_id, call)
    except LimitReached as error:
        current.problem("limit", f"{error}; the event was given to this thread instead")
        return False
    child.add_event(current.ids.mint("event"), **event)
    seed = text_blocks(prompts.event_seed(child_id, current.thread.id))
    child.add_user(msgspec.json.encode(seed), now=current.now, actor=call.user_id)
    return True


def _report(current: Slice, message: Message, body: Report) -> None:
    calls.detach_all(current)
    children.heard_from(current.thread, body.child)
    state = " and has closed" if body.closed else ""
    text = body.text if body.by_runtime else f"Thread {body.child} reports{state}:\n\n{body.text}"
    content, kept = entering(current, text_blocks(text))
    current.thread.add_event(
        current.ids.mint("event"),
        tool=body.tool,
        call_id=body.call_id,
        arguments=msgspec.json.encode(body.arguments),
        blocks=msgspec.json.encode(stamped(current, content)),
        now=current.now,
        meta=msgspec.json.encode(
            {"message_id": message.id, "child": body.child, "closed": body.closed, **kept}
        ),
    )
    current.thread.set_actor(body.user_id)
    current.thread.consume(message)


def _parent(current: Slice, message: Message, body: ParentText) -> None:
    calls.detach_all(current)
    origin = Origin.of(current.thread)
    content, kept = entering(current, text_blocks(f"Message from the parent thread:\n\n{body.text}"))
    current.thread.add_event(
        current.ids.mint("event"),
        tool=origin.tool or SPAWN,
        call_id=origin.call_id,
        arguments=msgspec.json.encode(origin.arguments or {}),
        blocks=msgspec.json.encode(stamped(current, content)),
        now=current.now,
        meta=msgspec.json.encode({"message_id": message.id, **kept}),
    )
    children.assign(current.thread)
    current.thread.set_actor(body.user_id)
    current.thread.consume(message)


def _oauth(current: Slice, message: Message, body: OAuth) -> None:
    _prompt(current, message, "oauth", body.call_id, {"auth_url": body.auth_url})


def _choice(current: Slice, message: Message, body: Choice) -> None:
    about = {
        "prompt": body.prompt,
        "choices": body.choices,
        "default": body.default,
        "response_url": body.response_url,
    }
    _prompt(current, message, "choice", body.call_id, about)


def _prompt(current: Slice, message: Message, kind: str, call_id: str, about: dict[str, Any]) -> None:
    """Pending until answered or the call ends; the call stays open (OAU-1, CHO-1). Never wakes the model."""
    call = endings.open_call(current, call_id)
    if call is None:
        current.discard(message, "the call is not open")
        return
    questions.open_prompt(current, kind, call, {"message_id": message.id, **about})
    current.thread.consume(message)


def _allow(current: Slice, call: Call, arguments: dict[str, Any] | None) -> None:
    """The user allows it, with other arguments perhaps. The policy of this host may have come to deny that since the question was asked, or where it
    was asked (S14), and the tool may have become another one."""
    offer = current.offer(call.tool)
    if offer is not None and consent.verdict_here(current, offer) == "deny":
        calls.fail(current, call, prompts.denied(call.tool))
        return
    if arguments is not None:
        # Never with the model's own in place of the person's.
        if offer is None:
            calls.fail(current, call, prompts.edited_and_gone(call.tool))
            return
        if not consent.editable(current.services.settings.policy, offer):
            calls.fail(current, call, prompts.not_editable(call.tool))
            return
        if problems := offer.problems(arguments):
            calls.fail(current, call, prompts.bad_arguments(call.tool, problems))
            return
        call = calls.edit(current, call, arguments)
    calls.release(current, call)


def _chosen(current: Slice, message: Message, body: Chosen) -> None:
    call = endings.open_call(current, body.call_id)
    if call is None:
        current.discard(message, "the call is not open")
        return
    if not questions.is_open(current.thread, call, body.prompt_kind):
        current.discard(message, "the question was answered already")
        return
    current.thread.close_prompt(body.choice_id)
    questions.answered(current, call, body.prompt_kind)
    # Kept for good: what was decided, by whom and when.
    current.note(
        "prompt_closed",
        id=body.choice_id,
        selected=body.selected,
        user_id=body.user_id,
        at=current.now,
        **({} if body.arguments is None else {"edited": calls.digests(call, body.arguments)}),
    )
    if body.prompt_kind == "consent":
        if body.selected == ALLOW:
            _allow(current, call, body.arguments)
        else:
            calls.fail(current, call, prompts.declined(call.tool, body.reason))
    else:
        answer = current.services.wire.choice(body.call_id, body.selected)
        current.thread.plan_outbox(f"choice.{message.id}", "choice", body.response_url, answer, body.call_id)
    current.thread.consume(message)


def _unanswered(current: Slice, call: Call, timer: Timer) -> None:
    """Nobody has answered within ``timeouts.prompt``: a question sends its default, a sign-in fails its call (CHO-3)."""
    waiting = questions.waits(current.thread, call)
    assert waiting is not None, "a timer of a question that is over is stale"
    seconds = current.services.settings.timeouts.prompt
    if "oauth" in waiting.open or timer.choice is None:
        calls.fail(current, call, prompts.unanswered(call.tool, seconds, sign_in="oauth" in waiting.open))
        calls.notify_cancelled(current, call.id)
        return
    prompt_id, selected = f"choice.{call.id}", timer.choice.default
    current.thread.close_prompt(prompt_id)
    questions.answered(current, call, "choice")
    current.note(
        "prompt_closed", id=prompt_id, selected=selected, user_id=None, at=current.now, unanswered=True
    )
    answer = current.services.wire.choice(call.id, selected)
    key = f"choice.chosen.{timer.message_id}"
    current.thread.plan_outbox(key, "choice", timer.choice.response_url, answer, call.id)


def _timer(current: Slice, message: Message, body: Timer) -> None:
    if body.purpose is TimerPurpose.RETRY:
        _retry(current, message, body)
        return
    call = endings.open_call(current, body.call_id or "")
    if call is None:
        current.discard(message, "the call is not open")
        return
    if body.purpose is TimerPurpose.SLEEP:
        content = text_blocks("The time has come: you slept as asked.")
        calls.answer(current, call, content if call.detached else stamped(current, content))
    elif questions.is_stale(current.thread, call, body):
        current.discard(message, "the user was asked, or has answered, since this timer was set")
        return
    elif body.purpose is TimerPurpose.PROMPT:
        _unanswered(current, call, body)
    elif not questions.adopt(current, call):
        sending = current.sending.get(call.id, prompts.Sending.ATTEMPTED)
        calls.fail(
            current, call, prompts.past_deadline(call.tool, current.services.settings.timeouts.call, sending)
        )
        if sending is not prompts.Sending.NEVER:
            calls.notify_cancelled(current, call.id)
    current.thread.consume(message)


def _retry(current: Slice, message: Message, body: Timer) -> None:
    """The one retry timer of the thread; any other one is stale, and asks nobody (R8)."""
    memo = recall(current.thread)
    if memo.retry is None and body.version == current.thread.version:
        memo.retry = message.id  # set by 0.1.0, which did not write its id down
        remember(current.thread, memo)
    if message.id != memo.retry:
        current.discard(message, "a later slice has tried again already")
        return
    # It may have been brought forward: then the timer itself is still there.
    spending.quiet(current)
    current.rounds = body.rounds
    current.why |= (Why.WAKE if body.cause is not None else Why.NOTHING) | (
        Why.PERSON if body.asked else Why.NOTHING
    )
    current.thread.consume(message)


def _control(current: Slice, message: Message, body: Control) -> None:
    match body.action:
        case Action.INTERRUPT:
            if body.argument != KEEP_CALLS:
                endings.interrupt(current)
            current.thread.set_pending(False)
            spending.interrupted(current)
            current.note("status", status="interrupted")
        case Action.STOP | Action.CLOSE if compaction.is_summariser(current):
            # Its parent waits for it: one that is stopped has failed, so that another may begin.
            current.thread.set_pending(False)
            compaction.finish(current, None)
        case Action.STOP:
            current.thread.set_stopped(True)
            current.note("status", status="stopped")
        case Action.RESUME:
            _resume(current)
            spending.started_anew(current)
        case Action.CLOSE:
            current.closing = (body.argument,)
            endings.close(current)
        case Action.MODEL:
            current.thread.set_model(body.argument or "")
            current.note("status", status="model", model=body.argument)
            spending.started_anew(current)
        case Action.TITLE:
            current.thread.set_title(body.argument or "")
            current.note("status", status="title", title=body.argument or "")
        case Action.CANCEL:
            if (call := endings.open_call(current, body.argument or "")) is None:
                current.discard(message, "the call is not open")
                return
            calls.cancel(current, call, prompts.CANCELLED)
            if not call.detached:
                # Unlike an interrupt, it does not end the agent's work: the model goes on without this result.
                current.thread.set_pending(True)
        case Action.COMPACT:
            problem = compaction.start(current)
            if problem is not None:
                current.note("compaction", state="refused", text=problem)
        case Action.UNSUBSCRIBE:
            _unsubscribe(current, body.argument or "")
        case Action.REVIEW:
            consent.review(current, body.argument or "")
        case Action.START:
            pass
    current.thread.consume(message)


def _resume(current: Slice) -> None:
    """Go on: after a stop, or after a problem that ended in waiting for the user."""
    current.thread.set_stopped(False)
    if current.thread.problem is not None and not current.thread.attached():
        # After a turn there is nothing to answer: a cut answer or a gap is only acknowledged.
        current.thread.set_pending(not current.thread.answered)
        current.thread.set_problem(None)
    elif (problem := Problem.read(current.thread.problem)) is not None and problem.code == HELD_BACK:
        current.thread.set_problem(None)
    current.note("status", status="resumed")


def _unsubscribe(current: Slice, subscription: str) -> None:
    """What the built-in ``cancel_subscription`` does, asked for by the user (SUB-7). One that has ended by itself needs nothing."""
    if current.thread.end_subscription(subscription):
        calls.notify_cancelled(current, subscription)
        current.note("subscription", id=subscription, active=False)


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
