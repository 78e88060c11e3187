"""Questions and sign-ins of tools (CHO-3): while one is open, its call's deadline stands still, and it has a limit of its own.

At the limit a question sends its default and a sign-in fails its call (``engine/slice/prepare.py``). The limit counts from the first of a call's prompts that are open together:
another one does not extend it. Once nobody is asked any more the deadline runs on, with what was left of it, a minute at least.
"""

from __future__ import annotations

from typing import Any

import msgspec

from infinity._core import Call, Thread
from infinity.engine.memo import Asking, Memo, glance, recall, remember
from infinity.engine.slice.state import Slice
from infinity.escaping import escape
from infinity.message import Choice, Kind, Timer, TimerPurpose, encode

LEAST_LEFT_MS = 60_000
"""Of a deadline that goes on after an answer: time for a tool to take the answer and use it."""


def open_prompt(current: Slice, kind: str, call: Call, prompt: dict[str, Any]) -> None:
    """A question to the user, pending until it is answered or the call ends (OAU-1, CHO-1)."""
    prompt_id = f"{kind}.{call.id}"
    about = {"call_id": call.id, "tool": call.tool, "toolset": call.toolset, "asked_at": current.now}
    prompt = {**about, **_spelled_out(prompt)}
    current.thread.open_prompt(prompt_id, kind, msgspec.json.encode(prompt))
    if kind == "consent":
        memo = recall(current.thread)
        memo.prompts[call.id] = kind
        remember(current.thread, memo)
    else:
        _ask(current, kind, call, prompt)
    # The stream is kept for good, so the addresses stay out of it (OAU-1); clients read the prompt itself.
    shown = {key: value for key, value in prompt.items() if not key.endswith("_url")}
    current.note("prompt", id=prompt_id, prompt_kind=kind, **shown)


def _spelled_out(prompt: dict[str, Any]) -> dict[str, Any]:
    """A question with what cannot be seen in its words escaped, for every client that shows it (S12)."""
    if "prompt" not in prompt:
        return prompt
    asked = "\n".join(map(escape, prompt["prompt"].split("\n")))
    return {**prompt, "prompt": asked, "choices": [escape(choice) for choice in prompt["choices"]]}


def _ask(current: Slice, kind: str, call: Call, prompt: dict[str, Any]) -> None:
    """A question or sign-in has opened, or has taken the place of one of its kind."""
    memo = recall(current.thread)
    asking = memo.asking.setdefault(call.id, Asking())
    if not asking.open:
        _stop_deadline(current, call, memo, asking)
        limit = current.services.settings.timeouts.prompt
        asking.until = current.now + int(limit * 1000) if limit > 0 else 0
        asking.times += 1
    if kind not in asking.open:
        asking.open = [*asking.open, kind]
    if asking.until and (kind == "choice" or len(asking.open) == 1):
        _set_limit(current, call, asking, prompt if kind == "choice" else None)
    memo.prompts[call.id] = kind
    remember(current.thread, memo)


def answered(current: Slice, call: Call, kind: str) -> None:
    """The user has answered, or what they were asked is over; the call goes on."""
    memo = recall(current.thread)
    asking = memo.asking.get(call.id)
    memo.prompts.pop(call.id, None)
    if asking is not None and kind in asking.open:
        asking.open = [other for other in asking.open if other != kind]
        if asking.open:
            memo.prompts[call.id] = asking.open[-1]
        else:
            current.thread.cancel_timer(_limit_timer(call, asking))
            asking.until = 0
            if asking.left >= 0:
                _run_on(current, call, memo, asking)
    remember(current.thread, memo)


def waits(thread: Thread, call: Call) -> Asking | None:
    """What the call waits for, if the user is being asked."""
    asking = glance(thread).asking.get(call.id)
    return asking if asking is not None and asking.open else None


def is_open(thread: Thread, call: Call, kind: str) -> bool:
    """Whether the user is still asked this."""
    memo = glance(thread)
    asking = memo.asking.get(call.id)
    if kind != "consent" and asking is not None:
        return kind in asking.open
    return call.id in memo.prompts  # A question that an earlier version opened, or consent.


def adopt(current: Slice, call: Call) -> bool:
    """The deadline has come of a call whose question an earlier version opened, which did not stop it: from now on it is as if it had."""
    memo = recall(current.thread)
    kind = memo.prompts.get(call.id, "")
    if kind not in ("choice", "oauth") or call.id in memo.asking:
        return False
    limit = current.services.settings.timeouts.prompt
    asking = Asking([kind], current.now + int(limit * 1000) if limit > 0 else 0, 0, 1)
    memo.asking[call.id] = asking
    if asking.until:
        _set_limit(current, call, asking, None)
    remember(current.thread, memo)
    return True


def is_stale(thread: Thread, call: Call, timer: Timer) -> bool:
    """Whether a question has come, or has been answered, since the timer was set."""
    asking = glance(thread).asking.get(call.id)
    if asking is None:
        return False
    if timer.purpose is TimerPurpose.DEADLINE:
        return bool(asking.open) or timer.attempt != asking.times
    return not asking.open or timer.attempt != asking.times


def forget(thread: Thread, call: Call) -> list[str]:
    """The call has ended: take back what only this module knows. The kinds of prompts that were open."""
    seen, call_id = glance(thread), call.id
    if (
        call_id not in seen.prompts
        and call_id not in seen.asking
        and call_id not in seen.deadlines
        and call_id not in seen.refused
    ):
        return []
    memo = recall(thread)
    kind, asking = memo.prompts.pop(call.id, None), memo.asking.pop(call.id, None)
    memo.deadlines.pop(call.id, None)
    memo.refused.pop(call.id, None)
    remember(thread, memo)
    if asking is None:
        return [kind] if kind is not None else []
    thread.cancel_timer(_limit_timer(call, asking))
    thread.cancel_timer(_deadline_timer(call, asking))
    return asking.open or ([kind] if kind is not None else [])


def _stop_deadline(current: Slice, call: Call, memo: Memo, asking: Asking) -> None:
    due_at = memo.deadlines.get(call.id, call.deadline)
    if due_at is not None:
        asking.left = max(due_at - current.now, 0)
        current.thread.cancel_timer(_deadline_timer(call, asking))


def _run_on(current: Slice, call: Call, memo: Memo, asking: Asking) -> None:
    due_at = current.now + max(asking.left, LEAST_LEFT_MS)
    memo.deadlines[call.id] = due_at
    timer = Timer(purpose=TimerPurpose.DEADLINE, call_id=call.id, attempt=asking.times)
    current.thread.set_timer(_deadline_timer(call, asking), due_at, Kind.TIMER, encode(timer))


def _set_limit(current: Slice, call: Call, asking: Asking, prompt: dict[str, Any] | None) -> None:
    choice = None
    if prompt is not None:
        choice = Choice(
            call_id=call.id,
            prompt="",
            choices=[],
            default=prompt["default"],
            response_url=prompt["response_url"],
        )
    timer = Timer(
        purpose=TimerPurpose.PROMPT,
        call_id=call.id,
        attempt=asking.times,
        choice=choice,
        message_id=prompt["message_id"] if prompt is not None else "",
    )
    current.thread.set_timer(_limit_timer(call, asking), asking.until, Kind.TIMER, encode(timer))


def _deadline_timer(call: Call, asking: Asking) -> str:
    """The one that was set last."""
    return f"deadline.{call.id}" + (f".{asking.times}" if asking.times else "")


def _limit_timer(call: Call, asking: Asking) -> str:
    return f"prompt.{call.id}" + (f".{asking.times}" if asking.times > 1 else "")
