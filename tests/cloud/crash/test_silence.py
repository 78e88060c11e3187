"""How long an innocent thread is silent when something fails beside it: measured by the clock of the queues, and compared with the table in
``docs/internals/cloud.md``. What a busy machine adds does not count: only what was waited for."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from tests.crash.daemon import REPOSITORY
from tests.crash.scenarios import ROOT

from infinity.aws.client import RetryPolicy
from infinity.cloud import hints, start
from infinity.cloud import host as hosts
from infinity.emulator.faults import Gate, refused, throttled
from infinity.models.script import Reply
from infinity.stores.postgres import connections
from infinity.testing.tool_server import answering

from .host import CloudHost
from .minds import Held
from .silence import LONGEST, told
from .test_neighbours import INNOCENT, VISIBILITY, Poisoned

DOCUMENT = REPOSITORY / "docs" / "internals" / "cloud.md"
TRY = 10.0
NOBODY = refused("AccessDeniedException", status=403)


def _documented() -> dict[str, list[float]]:
    """By fault, the seconds that the last column names."""
    _, _, rest = DOCUMENT.read_text().partition("The longest silence of a thread that is not at fault")
    table = takewhile(str.strip, rest.partition("\n\n")[2].splitlines())
    rows = [line.strip("| ").split(" | ") for line in list(table)[2:]]
    return {row[0]: [float(number) for number in re.findall(r"\d+", row[-1])] for row in rows}


async def _reply(host: CloudHost, thread: str, text: str, since: int, count: int = 1) -> float:
    """Seconds that were waited for until the thread has said this so often."""

    def said() -> list[int]:
        return [
            at
            for at, body in told(host)
            if body["thread"] == thread and body["kind"] == "reply" and text in body["data"]["text"]
        ]

    await host.until(lambda: len(said()) >= count, f"{text} of {thread}")
    return host.stage.clock.leapt_between(since, sorted(said())[count - 1])


async def _began(host: CloudHost, thread: str, text: str) -> int:
    """Somebody says this now."""
    since = host.stage.clock.now()
    await host.say(thread, text)
    return since


def _cloud(path: Path, respond: Any, **how: Any) -> CloudHost:
    return CloudHost(path, respond, receives=20, visibility=VISIBILITY, conflicts=0, **how)


# -- one bad thread


async def _neighbour(path: Path) -> float:
    mind = Poisoned()
    async with _cloud(path, mind, slices=3) as host:
        for name in ("bad", *INNOCENT):
            await host.create(name)
        await host.stage.mapping.disable()
        since = await _began(host, "bad", "poison")
        for name in INNOCENT:
            await host.say(name, "please answer")
        host.stage.hooks.append(lambda step: mind.passing(host, step))
        host.stage.mapping.enable()
        return max([await _reply(host, name, "innocent", since) for name in INNOCENT])


async def _death(path: Path) -> float:
    async with _cloud(path, Held(0)) as host:
        host.tools.behaviours["a"] = answering("found")
        await host.create(ROOT)
        host.stage.arm(("prepared", 1))
        return await _reply(host, ROOT, "all done", await _began(host, ROOT, "begin"))


async def _slow(path: Path) -> float:
    slow = asyncio.Event()

    def respond(request: dict[str, Any]) -> Reply:
        reply = Reply().say("at last, ").pause(slow) if "slow" in str(request["messages"]) else Reply()
        return reply.say("quick, again" if "more" in str(request["messages"]) else "quick")

    async with _cloud(path, respond) as host:
        await host.create("slow")
        quick = await host.create("quick")
        await host.stage.mapping.disable()
        await host.say("slow", "be slow")
        await host.say("quick", "be quick")
        host.stage.mapping.enable()
        await quick.said("quick")
        waited = await _reply(host, "quick", "quick, again", await _began(host, "quick", "more"))
        slow.set()
        return waited


# -- after the commit


async def _scheduler(path: Path) -> float:
    async with _cloud(path, Held(0)) as host:
        host.aws.faults.add("scheduler", "*", NOBODY)
        await host.create(ROOT)
        await host.say(ROOT, "begin")
        call = (await host.tools.invoked()).id
        since = host.stage.clock.now()
        assert await host.tell(lambda: host.tools.answer(call, "found")) == 200
        return await _reply(host, ROOT, "all done", since)


async def _no_deletions(path: Path) -> float:
    async with _cloud(path, Held(0)) as host:
        rule = host.aws.faults.add("scheduler", "DeleteSchedule", NOBODY)
        await host.create(ROOT)
        await host.say(ROOT, "begin")
        call = (await host.tools.invoked()).id
        since = host.stage.clock.now()
        assert await host.tell(lambda: host.tools.answer(call, "found")) == 200
        waited = await _reply(host, ROOT, "all done", since)
        assert rule.hits == 0
        return waited


async def _output(path: Path) -> float:
    async with _cloud(path, lambda _: Reply().say("noted")) as host:
        root = await host.create(ROOT)
        rule = host.aws.faults.add("sqs", "*", NOBODY, where=lambda request: b"output.fifo" in request.body)
        await host.say(ROOT, "one")
        await root.said("noted")
        since = await _began(host, ROOT, "two")
        heard = await root.until(lambda seen: seen.kind == "entry" and "two" in str(seen.data["user"]), "two")
        waited = host.stage.clock.leapt_between(since, heard.data["at"])
        rule.remove()
        return waited


# -- start


async def _cold(path: Path) -> float:
    return max([await _cold_without(what, path / what) for what in ("ssm", "database")])


async def _cold_without(what: str, path: Path) -> float:
    async with _cloud(path, Held(0)) as host:
        host.tools.behaviours["a"] = answering("found")
        host.aws.parameters.create("/infinity/key", "a key")
        host.stage.places["A_KEY"] = "ssm:/infinity/key"
        await host.create(ROOT)
        rule = host.aws.faults.add("ssm", "*", throttled()) if what == "ssm" else None
        await host.stage.mapping.disable()
        since = await _began(host, ROOT, "begin")
        if rule is None:
            host.stage.database.refusing = True
            host.stage.database.cut()
        host.stage.mapping.enable()
        await host.until(lambda: host.stage.mapping.partial > 0, "a batch that was turned away")
        host.stage.database.refusing = False
        if rule is not None:
            rule.remove()
        return await _reply(host, ROOT, "all done", since)


# -- others


async def _no_table(path: Path) -> float:
    async with _cloud(path, Held(0)) as host:
        host.tools.behaviours["a"] = answering("found")
        await host.create(ROOT)
        host.aws.faults.add("dynamodb", "*", Gate())
        waited = await _reply(host, ROOT, "all done", await _began(host, ROOT, "begin"))
        return waited + _HINT.total


async def _dead_connections(path: Path) -> float:
    """By the driver's bounds: ``test_broken_connections`` and ``test_connections`` show that they are kept."""
    return max(connections.PROBE, hosts.STATEMENT)


_HINT = hints._HINT
FAULTS: dict[str, Callable[[Path], Awaitable[float]]] = {
    "another thread of the batch ends the process, again and again": _neighbour,
    "a process dies in the middle of a slice": _death,
    "another thread of the batch takes 15 minutes": _slow,
    "Scheduler refuses: an answer of a tool waits": _scheduler,
    "only `DeleteSchedule` refuses": _no_deletions,
    "the output queue refuses: the thread's next message waits": _output,
    "SSM or the database is away for a moment while a process starts": _cold,
    "connections to the database have died silently": _dead_connections,
    "DynamoDB gives no answer": _no_table,
}


def test_the_table_names_every_fault_that_is_measured() -> None:
    assert _documented().keys() == FAULTS.keys()


@pytest.mark.trap("L10")
@pytest.mark.parametrize("fault", FAULTS)
async def test_no_innocent_thread_is_silent_for_longer_than_the_table_says(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "PATIENCE", 0.05)
    monkeypatch.setattr(hints, "_HINT", RetryPolicy(tries=3, connect=1.0, once=0.1, total=0.5))
    waited = await FAULTS[fault](tmp_path)
    print(f"{fault}: {waited:.0f} s")
    # A busy machine may need a second try of what takes one.
    assert waited <= min(2 * max(_documented()[fault]) + TRY, LONGEST)
