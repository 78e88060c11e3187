"""Calling a server as a runtime does, with calls that change nothing.

They name an operation that does not exist, or give arguments that cannot be right. Each probe adds its
own findings to the visit's report.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from typing import Any

import jsonschema_rs

from infinity.rap.manifest import Tool, Toolset

from .answers import check_error
from .visit import Probe, Reply, Visit

ACKNOWLEDGE = "acknowledgement"


def unknown() -> str:
    """The name of an operation that no server has."""
    return f"no_such_operation_{secrets.token_hex(3)}"


async def acknowledges(visit: Visit, toolset: Toolset) -> bool:
    """First acknowledged, then answered: the callback is not taken before the acknowledgement is here
    (SRV-1).

    Args:
        visit: the server; findings go to its report.
        toolset: where calls are sent.

    Returns:
        Whether the other probes make sense: a server that acknowledges nothing is not asked any more.
    """
    check, probe = "unknown operation", visit.probe()
    probe.line.hold = asyncio.Event()
    reply = asyncio.create_task(visit.post(toolset.endpoint, probe.body(unknown(), {})))
    await asyncio.wait({reply}, timeout=visit.limits.acknowledge * 0.8)
    early = not reply.done() and bool(probe.line.received)
    probe.line.hold.set()
    acknowledged = await reply
    if early:
        text = "the acknowledgement waits for the callback to be taken; acknowledge first, then work"
        visit.report.failed("SRV-1", ACKNOWLEDGE, text)
    elif acknowledged.status == 0 or acknowledged.status >= 500:
        visit.report.failed(
            "SRV-1", ACKNOWLEDGE, f"{acknowledged}; expected 200 at once, whatever is asked for"
        )
    elif not acknowledged.acknowledged:
        visit.report.failed(
            "SRV-2", check, f"{acknowledged}; expected 200, then a result that says what is wrong"
        )
    else:
        visit.report.passed("SRV-1", ACKNOWLEDGE, f"after {acknowledged.seconds * 1000:.0f} ms")
        note_status(visit, acknowledged, ACKNOWLEDGE)
    if acknowledged.acknowledged:
        await _answered(visit, probe, check)
    return acknowledged.acknowledged


def note_status(visit: Visit, reply: Reply, check: str) -> None:
    """Advise where a status is taken here, and may not be taken by others.

    Infinity takes any 2xx for an acknowledgement; a runtime that keeps to the letter takes 200 alone
    (INV-9).

    Args:
        visit: whose report gets the advice.
        reply: to an invocation or a notice.
        check: the name of the check in findings.
    """
    if reply.acknowledged and reply.status != 200:
        text = f"{reply} is taken for an acknowledgement here; the protocol says 200, and other runtimes may insist on it"
        visit.report.advised("INV-9", check, text)


async def refuses_bad_arguments(visit: Visit, toolset: Toolset) -> None:
    """Arguments that break the schema must be answered with an error (SRV-2).

    A tool that only reads is preferred; a destructive one is never tried, should the server not check
    its arguments.
    """
    check = "bad arguments"
    for tool in sorted(
        (tool for tool in toolset.tools if not tool.destructive), key=lambda tool: not tool.read_only
    ):
        arguments = wrong_arguments(tool)
        if arguments is not None:
            await _expect_error(visit, toolset, tool.name, arguments, f"{check} ({tool.name})")
            return
    visit.report.skipped("SRV-2", check, "no tool that is not destructive has arguments that can be wrong")


async def _expect_error(visit: Visit, toolset: Toolset, operation: str, arguments: Any, check: str) -> None:
    probe = visit.probe()
    reply = await visit.post(toolset.endpoint, probe.body(operation, arguments))
    if not reply.acknowledged:
        visit.report.failed("SRV-2", check, f"{reply}; expected 200, then a result that says what is wrong")
        return
    await _answered(visit, probe, check)


async def _answered(visit: Visit, probe: Probe, check: str) -> None:
    if await probe.line.arrived(1, visit.limits.patience):
        check_error(visit.report, probe, probe.line.received[0], check)
        return
    text = f"no callback within {visit.limits.patience:g} s; no invocation may be dropped silently"
    visit.report.failed("SRV-2", check, text)


async def runs_duplicates_once(visit: Visit, toolset: Toolset) -> None:
    """An invocation that arrives twice is answered once (SRV-6)."""
    check, probe = "duplicates", visit.probe()
    body = probe.body(unknown(), {})
    replies = await asyncio.gather(*(visit.post(toolset.endpoint, body) for _ in range(2)))
    if not all(reply.acknowledged for reply in replies):
        shown = ", ".join(map(str, replies))
        visit.report.failed("SRV-6", check, f"{shown}; expected 200 for an invocation that is there already")
        return
    if not await probe.line.arrived(1, visit.limits.patience):
        visit.report.failed("SRV-2", check, "an invocation that came twice was not answered at all")
    elif await probe.line.arrived(2, visit.limits.settle):
        text = "an invocation that came twice was answered twice; its id is an idempotency key"
        visit.report.failed("SRV-6", check, text)
    else:
        visit.report.passed("SRV-6", check, "an invocation that came twice was answered once")


async def tries_again(visit: Visit, toolset: Toolset) -> None:
    """A callback that was answered with 503 comes again, unchanged (SRV-3)."""
    check, probe = "callback retry", visit.probe()
    probe.line.statuses = deque([503])
    await visit.post(toolset.endpoint, probe.body(unknown(), {}))
    if not await probe.line.arrived(1, visit.limits.patience):
        visit.report.skipped("SRV-3", check, "there was no callback")
    elif not await probe.line.arrived(2, visit.limits.patience):
        text = f"a callback that was answered with 503 did not come again within {visit.limits.patience:g} s"
        visit.report.failed("SRV-3", check, text)
    elif probe.line.received[0].body != probe.line.received[1].body:
        visit.report.failed("SRV-3", check, "a callback that came again was not the same")
    else:
        visit.report.passed("SRV-3", check, "a callback that was answered with 503 came again")


async def gives_up(visit: Visit, toolset: Toolset) -> None:
    """A callback that was answered with 404 does not come again (SRV-3)."""
    check, probe = "callback refused", visit.probe()
    probe.line.statuses = deque([404] * 100)
    await visit.post(toolset.endpoint, probe.body(unknown(), {}))
    if not await probe.line.arrived(1, visit.limits.patience):
        visit.report.skipped("SRV-3", check, "there was no callback")
    elif await probe.line.arrived(2, visit.limits.settle):
        visit.report.failed("SRV-3", check, "a callback that was answered with 404 came again; 4xx is final")
    else:
        visit.report.passed("SRV-3", check, "a callback that was answered with 404 did not come again")


async def survives_nonsense(visit: Visit, toolset: Toolset) -> None:
    """Bodies that are no invocation are refused and crash nothing."""
    check = "malformed invocation"
    bodies = [b"{", b"", b"[]", b"\xff\xfe", b'{"operation": 5}', b"null"]
    replies = await asyncio.gather(*(visit.post(toolset.endpoint, None, raw=body) for body in bodies))
    bad = [reply for reply in replies if reply.status == 0 or reply.status >= 500]
    if bad:
        # No runtime sends this, and the protocol does not say what is to come of it.
        visit.report.advised("SRV-2", check, f"{bad[0]}; expected a 4xx for what is not an invocation")
    else:
        visit.report.passed("SRV-2", check, "refused")


async def answers_notices(visit: Visit) -> None:
    """``/cancel_tool_call`` and ``/close_thread`` answer 200 always: they come unasked for, to every
    server, about other servers' calls.
    """
    thread = visit.thread
    odd: list[Any] = [
        {},
        {"thread_id": "../../etc/passwd", "tool_call_id": "'; --"},
        {"thread_id": 5, "tool_call_id": None},
    ]
    cancels = [{"thread_id": thread, "tool_call_id": "call_unknown"}, *odd]
    closes = [{"thread_id": "thread_unknown"}, *odd, {"thread_id": thread}]
    for path, rule, bodies in (
        ("/cancel_tool_call", "SRV-5", cancels),
        ("/close_thread", "THR-3", closes),
    ):
        replies = [await visit.post(visit.base_url + path, body) for body in bodies]
        bad = [reply for reply in replies if not reply.acknowledged]
        if bad:
            visit.report.failed(rule, path, f"{bad[0]}; expected 200 always, for unknown and odd ids too")
        else:
            visit.report.passed(rule, path, "acknowledged for unknown and odd ids")
            note_status(visit, max(replies, key=lambda reply: reply.status), path)


async def keeps_strangers_out(visit: Visit, toolset: Toolset) -> None:
    """Only where the server is known to want a token."""
    reply = await visit.post(toolset.endpoint, visit.probe().body(unknown(), {}), token=False)
    if reply.status in (401, 403):
        visit.report.passed("S1", "token", "callers without the token are refused")
    else:
        text = f"{reply} for a caller without the token; expected 401"
        visit.report.failed("S1", "token", text)


def wrong_arguments(tool: Tool) -> dict[str, Any] | None:
    """Arguments that break the tool's schema, the plainest first.

    Args:
        tool: with a valid schema.

    Returns:
        ``None`` if there are none: the schema takes anything.
    """
    properties = tool.input_schema.get("properties", {})
    names = list(properties) if isinstance(properties, dict) else []
    wrong: list[dict[str, Any]] = [{}]
    values: tuple[Any, ...] = ({"wrong": []}, [{}], "wrong", None)
    wrong += [{name: value} for name in names for value in values]
    wrong.append({"infinity_inspects_this": True})
    return next((each for each in wrong if not jsonschema_rs.is_valid(tool.input_schema, each)), None)
