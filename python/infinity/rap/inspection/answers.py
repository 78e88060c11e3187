"""Checking what comes back: callbacks as they must be, and error results as models can use them."""

from __future__ import annotations

import re

from infinity.errors import BadRequest
from infinity.rap import wire

from .receiver import Received
from .report import Report
from .visit import Probe

MAX_BYTES = 1 << 20
_TRACES = re.compile(
    r"Traceback \(most recent call last\)|^\s*File \".+\", line \d+|^\s+at .+[(:].*\d+\)?$|^goroutine \d+ \[|panicked at ",
    re.MULTILINE,
)


def read(report: Report, probe: Probe, received: Received, check: str) -> wire.Callback | None:
    """Read one callback and note what is wrong with it.

    Args:
        report: where findings go.
        probe: the call that it should be for.
        received: the request, as it came.
        check: the name of the check in findings.

    Returns:
        The callback, if it is one, is for this call, and was sent the way callbacks are; else ``None``.
    """
    before = len(report.findings)
    if received.method != "POST":
        report.failed("CB-6", check, f"the callback came with {received.method}; expected POST")
    if received.content_type != "application/json":
        text = f"the callback has content type {received.content_type}; expected application/json"
        report.failed("CB-6", check, text)
    try:
        callback = wire.read_callback(received.body, MAX_BYTES)
    except BadRequest as error:
        report.failed(error.rule or "CB-1", check, f"the callback is malformed: {error}")
        return None
    if callback.group_id != probe.group_id:
        report.failed(
            "CB-2", check, "the callback's group_id is not the invocation's; no runtime will take it"
        )
    named = (
        callback.tool_call_id
        if isinstance(callback, wire.SubscriptionEvent)
        else getattr(callback, "id", probe.id)
    )
    if named != probe.id:
        report.failed("CB-2", check, "the callback's id is not the invocation's; no runtime will take it")
    # These two have no call_id in the protocol.
    if not isinstance(callback, (wire.SubscriptionEvent, wire.View)) and callback.call_id != probe.call_id:
        report.failed(
            "INV-3", check, f"call_id was {_kind(callback.call_id)}; expected the one of the invocation"
        )
    # A callback with a fault is not looked into any further: one mistake, one finding.
    return callback if len(report.findings) == before else None


def check_error(report: Report, probe: Probe, received: Received, check: str) -> None:
    """The answer to an invocation that cannot work (SRV-2, RES-5).

    Args:
        report: where findings go.
        probe: the call.
        received: its first callback.
        check: the name of the check in findings.
    """
    before = len(report.findings)
    callback = read(report, probe, received, check)
    if callback is None:
        return
    if not isinstance(callback, wire.ToolResult):
        report.failed(
            "SRV-2", check, "the first callback is not a tool_result; expected one that says what is wrong"
        )
        return
    text = text_of(callback)
    if not text.startswith("Error: "):
        report.failed("RES-5", check, f"the result begins with {text[:40]!r}; expected 'Error: '")
    if callback.subscription:
        report.failed("RES-4", check, "an error result says that it is a subscription")
    if _TRACES.search(text):
        report.advised("SRV-2", check, "the result has a stack trace in it; say what to do instead")
    if len(report.findings) == before:
        report.passed("SRV-2", check, f"answered with {text[:100]!r}")


def text_of(result: wire.ToolResult) -> str:
    """What the model reads of a result (RES-1).

    Args:
        result: its content wins over its text.
    """
    if result.content:
        return "\n".join(item["text"] for item in result.content if item["type"] == "text")
    return result.text or ""


def _kind(call_id: str | None) -> str:
    return "missing" if call_id is None else "another one"
