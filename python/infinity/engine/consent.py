"""Whether a call may leave (DISC-9): what the policy says, and the runtime's own question where it says to ask.

A call that came with a conversation from another host passes this host's policy before it leaves, as if it were made here (S14).
"""

from __future__ import annotations

from infinity._core import Call
from infinity.abc import Offer, Origin, OutboxRow
from infinity.engine import prompts, questions
from infinity.engine.services import Services
from infinity.engine.slice.state import Slice
from infinity.message import Action, Control, Result, text_blocks
from infinity.settings import Policy

__all__ = ["admit", "ask", "editable", "review", "verdict", "verdict_here"]


def verdict(policy: Policy, offer: Offer) -> str:
    """``allow``, ``ask`` or ``deny``: by the tool's name, else the strictest of its annotations, else the default."""
    if offer.name in policy.tools:
        return policy.tools[offer.name]
    if not offer.annotations:
        return policy.default
    by_annotation = {"destructive": policy.destructive, **policy.annotations}
    said = {verdict for name, verdict in by_annotation.items() if offer.annotations.get(name)}
    return next((verdict for verdict in ("deny", "ask", "allow") if verdict in said), policy.default)


def verdict_here(current: Slice, offer: Offer) -> str:
    """The same for a thread: a fork, and whatever is below one, may be held to more than the policy."""
    said = {verdict(current.services.settings.policy, offer), Origin.of(current.thread).tools}
    return next((verdict for verdict in ("deny", "ask") if verdict in said), "allow")


def editable(policy: Policy, offer: Offer) -> bool:
    """Whether the user may change the arguments of a call before it is allowed. Not where the model knows them by other names, by which they are checked."""
    return offer.renamed is None and policy.edit.get(offer.name, policy.edit.get("default", True))


def ask(current: Slice, call: Call) -> None:
    """The runtime's own question before a call leaves: durable, answered like any other prompt."""
    offer = current.offer(call.tool)
    questions.open_prompt(
        current,
        "consent",
        call,
        {
            "annotations": offer.annotations if offer is not None else {},
            "editable": offer is not None and editable(current.services.settings.policy, offer),
            "message_id": call.id,
            "prompt": f"Allow {call.tool} with {call.arguments.decode()}?",
            "choices": ["Allow", "Deny"],
            "default": 1,
        },
    )


async def admit(services: Services, row: OutboxRow) -> OutboxRow | Result | Control:
    """An invocation of another host, as this host would send it; or the result that ends its call; or the control that has the user asked."""
    assert row.call_id is not None, "an invocation is of a call"
    found, thread = await services.store.find_call(row.call_id), await services.store.thread(row.thread)
    offer = None
    if found is not None and thread is not None:
        offer = (await services.catalogs.of(thread.root)).find(found[0].tool)
    if found is None or offer is None or offer.builtin is not None:
        tool = found[0].tool if found is not None else "the tool"
        return _refused(
            row.call_id, prompts.undelivered(tool, "no tool server that is configured here offers it")
        )
    match verdict(services.settings.policy, offer):
        case "deny":
            return _refused(row.call_id, prompts.denied(offer.name))
        case "ask":
            return Control(action=Action.REVIEW, argument=row.call_id)
    body = services.wire.rehomed(row.body, row.thread, row.call_id)
    return row._replace(target=offer.endpoint, body=row.body if body is None else body)


def review(current: Slice, call_id: str) -> None:
    """Take an invocation back and ask first."""
    call = current.thread.call(call_id)
    if call is not None and call.state == "planned":
        current.thread.cancel_outbox(f"invoke.{call.id}")
        ask(current, call)


def _refused(call_id: str, text: str) -> Result:
    return Result(call_id=call_id, content=text_blocks(text), failed=True)
