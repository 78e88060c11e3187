"""The whole inspection: description, acknowledgement, then everything else at once, notices last.

``infinity rap inspect`` and authors' own tests call it. It calls a server that may be in use, so it
never invokes an existing tool with valid arguments, unless a ``Trial`` asks for that.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from infinity.rap import wire
from infinity.rap.address import Server
from infinity.rap.manifest import Toolset

from . import probes
from .answers import read, text_of
from .description import discover
from .receiver import Receiver
from .report import Report
from .visit import TimeLimits, Visit


@dataclass(frozen=True, slots=True)
class Trial:
    """A call of a real tool, on request: it may have effects.

    ``arguments`` is the JSON object of the call; ``seconds``: how long to wait for its result.
    """

    operation: str
    arguments: dict[str, Any]
    seconds: float = 60.0


async def inspect_server(
    server: Server,
    *,
    probing: bool = True,
    trial: Trial | None = None,
    limits: TimeLimits | None = None,
    callback_host: str = "127.0.0.1",
    reserved: frozenset[str] = frozenset(),
) -> Report:
    """What is right and wrong with a server.

    Args:
        server: where it is, and with which token.
        probing: call it, too; nothing that exists is invoked with valid arguments.
        trial: a call of a real tool that is made as well.
        limits: how long each answer may take.
        callback_host: an address of this machine that the server can reach.
        reserved: names of built-in tools (DISC-4).

    Returns:
        All findings. It does not raise for what the server does.
    """
    import aiohttp

    report = Report(server.base_url)
    connections = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True), cookie_jar=aiohttp.DummyCookieJar()
    )
    async with connections as session, Receiver(callback_host) as receiver:
        visit = Visit(server.base_url, session, receiver, report, limits or TimeLimits(), server.token)
        toolset = await discover(visit, reserved)
        if toolset is None:
            if report.reachable:
                report.skipped("SRV-1", "probes", "a server whose description is refused is not called")
        elif probing:
            await _probe(visit, toolset)
            if trial is not None:
                await _try(visit, toolset, trial)
            # Last: closing the thread ends the calls of the other probes.
            await probes.answers_notices(visit)
            if receiver.strays:
                text = "callbacks came to addresses that no call was given; use the callback_url as it is"
                report.failed("CB-5", "callback address", text)
    return report


async def _probe(visit: Visit, toolset: Toolset) -> None:
    if not await probes.acknowledges(visit, toolset):
        visit.report.skipped("SRV-2", "other probes", "the server does not acknowledge")
        return
    await asyncio.gather(
        probes.refuses_bad_arguments(visit, toolset),
        probes.runs_duplicates_once(visit, toolset),
        probes.tries_again(visit, toolset),
        probes.gives_up(visit, toolset),
        probes.survives_nonsense(visit, toolset),
    )
    if visit.token is not None:
        await probes.keeps_strangers_out(visit, toolset)


async def _try(visit: Visit, toolset: Toolset, trial: Trial) -> None:
    check, probe, report = f"call of {trial.operation}", visit.probe(), visit.report
    reply = await visit.post(toolset.endpoint, probe.body(trial.operation, trial.arguments))
    if not reply.acknowledged:
        report.failed("SRV-1", check, f"{reply}; expected 200")
        return
    probes.note_status(visit, reply, check)
    until, seen = time.monotonic() + trial.seconds, 0
    while await probe.line.arrived(seen + 1, max(until - time.monotonic(), 0)):
        callback = read(report, probe, probe.line.received[seen], check)
        seen += 1
        if callback is None:
            return
        if isinstance(callback, wire.ToolResult):
            _conclude(report, check, callback)
            return
    report.failed("SRV-2", check, f"no result within {trial.seconds:g} s")


def _conclude(report: Report, check: str, result: wire.ToolResult) -> None:
    text = text_of(result)
    report.answer = {"text": text, "subscription": result.subscription}
    if text.startswith("Error: "):
        report.failed("RES-5", check, text[:500])
    else:
        report.passed("RES-1", check, text[:500])
