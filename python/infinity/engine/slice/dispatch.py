"""Dispatch: plan every call of the turn. Nothing leaves here; what is planned leaves after the commit (I5).

Built-ins answer in place. Unknown tools, bad arguments and refusals become error results, so that the model can react (M1, INV-2).
"""

from __future__ import annotations

import difflib
import re
from dataclasses import replace
from typing import Any

import msgspec

from infinity._core import Call
from infinity.abc import BuiltinError, ModelCall, Offer, Turn
from infinity.engine import calls, consent, endings, prompts
from infinity.engine.calls import SLEEPER
from infinity.engine.context import SliceContext
from infinity.engine.optional import optional
from infinity.engine.slice.state import Slice
from infinity.errors import LimitReached
from infinity.message import text_blocks

RESERVED = "receive_event__injected"
_UNFIT = re.compile(r"[^a-zA-Z0-9_-]")
_ENDS = {
    "max_tokens": ("max_tokens", "the answer was cut at the model's output limit"),
    "refusal": ("refused", "the model refused to answer"),
    "model_context_window_exceeded": (
        "context_too_long",
        "the answer was cut where the model's context window ends; compact the thread",
    ),
    "pause_turn": ("pause_turn", "the model paused its turn again and again; send a message to go on"),
    "empty": ("empty", "the model ended its turn without saying anything; send a message to go on"),
}
"""Ends of a turn that a person should know of (M8)."""


async def dispatch(current: Slice, turn: Turn) -> None:
    started_at = current.now
    turn = _in_real_names(current, turn)
    planned = _record(current, turn)
    current.last_words = "".join(block["text"] for block in turn.blocks if block["type"] == "text")
    current.said(current.last_words, by_person=False)
    answered_at_once = False
    for index, (model_call, call) in enumerate(zip(turn.calls, planned, strict=True)):
        if index < current.limits.calls_per_turn:
            await _route(current, model_call, call)
        else:
            calls.fail(current, call, prompts.too_many_calls(current.limits.calls_per_turn))
        answered_at_once |= call.tool != SLEEPER and call.id not in _open_ids(current)
    if answered_at_once and current.closing is None:
        calls.wake_sleepers(current, prompts.SLEEP_REFUSED)
    if current.closing is not None:
        endings.close(current)
    current.mark("dispatch", started_at)
    current.services.observer.gate("dispatched")


def _in_real_names(current: Slice, turn: Turn) -> Turn:
    """The calls with their arguments as the tools name them; what the model said stays in the turn's content as it said it."""
    offers = [current.offer(call.tool) for call in turn.calls]
    if not [offer for offer in offers if offer is not None and offer.renamed is not None]:
        return turn
    calls = [
        replace(call, arguments=offer.real(call.arguments))
        if offer is not None and call.arguments is not None
        else call
        for call, offer in zip(turn.calls, offers, strict=True)
    ]
    return replace(turn, calls=tuple(calls))


def _open_ids(current: Slice) -> set[str]:
    return {call.id for call in current.thread.attached()}


def _record(current: Slice, turn: Turn) -> list[Call]:
    """The turn as an entry. Its calls get ids of ours, unique for ever, in place of the provider's (L9)."""
    calls = [_plan(current, model_call) for model_call in turn.calls]
    ids = iter(calls)
    blocks = [_with_our_id(block, ids) if block["type"] == "tool_use" else block for block in turn.blocks]
    usage, cost = turn.usage, current.spend(turn.usage)
    current.thread.add_turn(
        msgspec.json.encode(blocks),
        calls,
        now=current.now,
        usage=(usage.input, usage.output, usage.cache_read, usage.cache_write),
        cost=cost,
        meta=current.figures(turn, cost),
    )
    if (problem := _ENDS.get(turn.stop_reason)) is not None:
        current.problem(*problem)
    return calls


def _with_our_id(block: dict[str, Any], calls: Any) -> dict[str, Any]:
    call: Call = next(calls)
    return {**block, "id": call.id, "name": _fit(block["name"])}


def _fit(name: str) -> str:
    """A tool's name as the model API takes it back in history, whatever the model wrote."""
    return _UNFIT.sub("_", name)[:128] or "unnamed"


def _plan(current: Slice, model_call: ModelCall) -> Call:
    offer = current.offer(model_call.tool)
    deadline = None
    if offer is not None and offer.builtin is None and not offer.annotations.get("longRunning"):
        seconds = current.services.settings.timeouts.call
        deadline = current.now + int(seconds * 1000) if seconds > 0 else None
    return current.thread.plan_call(
        current.ids.mint("call"),
        provider_id=model_call.id,
        tool=model_call.tool,
        toolset=offer.toolset if offer is not None else "",
        arguments=msgspec.json.encode(model_call.arguments or {}),
        deadline=deadline,
        user_id=current.thread.actor,
    )


async def _route(current: Slice, model_call: ModelCall, call: Call) -> None:
    offer = current.offer(model_call.tool)
    arguments = model_call.arguments
    if arguments is None:
        calls.fail(
            current, call, prompts.bad_arguments(call.tool, [model_call.problem or "not a JSON object"])
        )
    elif offer is None or call.tool == RESERVED:
        calls.fail(current, call, prompts.unknown_tool(call.tool, _nearest(current, call.tool)))
    elif problems := offer.problems(arguments):
        calls.fail(current, call, prompts.bad_arguments(call.tool, problems))
    elif offer.builtin is not None:
        await _run(current, offer, call, arguments)
    else:
        _send(current, offer, call)


def _nearest(current: Slice, name: str) -> list[str]:
    """What the model may have meant comes first."""
    names = current.catalog.names() if current.catalog is not None else []
    near = difflib.get_close_matches(name, names, n=5)
    return near + [other for other in names if other not in near]


async def _run(current: Slice, offer: Offer, call: Call, arguments: dict[str, Any]) -> None:
    assert offer.builtin is not None
    try:
        text = await offer.builtin.run(SliceContext(current), call, arguments)
    except BuiltinError as error:
        calls.fail(current, call, f"Error: {error}")
    except LimitReached as error:
        calls.fail(current, call, f"Error: {error}.")
    else:
        if text is not None:
            calls.answer(current, call, text_blocks(text))


def _send(current: Slice, offer: Offer, call: Call) -> None:
    current.note(
        "call",
        id=call.id,
        tool=call.tool,
        toolset=call.toolset,
        position=call.position,
        deadline=call.deadline,
        verdict=(verdict := consent.verdict_here(current, offer)),
        display=optional("the display of a call", current.thread.id, lambda: offer.display(call.arguments)),
    )
    match verdict:
        case "deny":
            calls.fail(current, call, prompts.denied(call.tool))
        case "ask":
            consent.ask(current, call)
        case _:
            calls.release(current, call)
