"""SIGTERM: the daemon stops within its bound, says so with status 0, and loses nothing (L17). Real commands, real interpreters."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.crash.daemon import execute
from tests.crash.history import check
from tests.crash.host import Host
from tests.crash.watch import Watch
from tests.patience import PATIENCE

from infinity.local.assembly import GRACE, HANG_UP
from infinity.models.prompt_view import read_prompt
from infinity.models.script import Reply

BOUND = GRACE + HANG_UP + PATIENCE
ROOT = "thread-under-test"


class Held:
    """A model that says half of its answer, then waits until the test lets it go on."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    def __call__(self, request: dict[str, Any]) -> Reply:
        prompt = read_prompt(request)
        if "use the tool" in prompt.text:
            return Reply().call("a", n=1)
        if prompt.results:
            return Reply().say("the tool is done")
        return Reply().say("half of it, ").pause(self.go_on).say("all of it")


@pytest.fixture
def model() -> Held:
    return Held()


@pytest.fixture
async def host(tmp_path: Path, model: Held) -> AsyncIterator[Host]:
    async with Host(tmp_path / "home", execute, model) as made:
        await made.start()
        await made.serve()
        yield made


async def _streaming(host: Host) -> Watch:
    watch = await host.create(ROOT)
    await host.say(ROOT, "speak")
    await watch.until(lambda seen: seen.kind == "text" and "half" in seen.data["text"], "half an answer")
    return watch


async def _stop(host: Host, within: float) -> None:
    began = time.monotonic()
    assert await host.process.ended(within=2 * BOUND) == 0, host.process.log
    assert time.monotonic() - began < within
    assert not (host.home / "daemon.json").exists()


async def _start(host: Host) -> None:
    await host.start()
    await host.serve()


async def _turned_away(host: Host) -> None:
    """Wait until nobody can connect any more: the daemon has begun to stop."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", host.port)
            except OSError:
                return
            writer.close()
            await asyncio.sleep(0.01)


@pytest.mark.trap("L17")
async def test_a_stop_in_the_middle_of_a_stream_waits_for_the_turn_and_commits_it(
    host: Host, model: Held
) -> None:
    await _streaming(host)
    host.process.signal(signal.SIGTERM)
    await _turned_away(host)
    model.go_on.set()
    await _stop(host, within=BOUND)
    await _start(host)
    await host.watch(ROOT).said("half of it, all of it")
    await host.settled()
    await check(host)
    assert len(host.model.requests) == 1, "the turn was paid for twice"


@pytest.mark.trap("L17", "B8", "M5")
async def test_a_stop_does_not_wait_for_ever_for_a_stream_and_the_message_is_answered_after_the_next_start(
    host: Host, model: Held
) -> None:
    await _streaming(host)
    host.process.signal(signal.SIGTERM)
    await _stop(host, within=BOUND)
    assert host.model.effects.abandoned == 1
    model.go_on.set()
    await _start(host)
    await host.watch(ROOT).said("half of it, all of it")
    await host.settled()
    (history,) = await check(host)
    assert [entry["kind"] for entry in history.entries] == ["user", "user", "turn"]


@pytest.mark.trap("L17", "L19")
async def test_a_stop_while_a_tool_runs_is_swift_and_the_tool_is_heard_after_the_next_start(
    host: Host,
) -> None:
    watch = await host.create(ROOT)
    await host.say(ROOT, "use the tool")
    call = (await host.tools.invoked()).id
    await watch.noted("call", id=call)
    host.process.signal(signal.SIGTERM)
    await _stop(host, within=GRACE)  # it does not use the time that slices get
    assert await host.tools.answer(call) == 0, "nobody listens"
    await _start(host)
    assert await host.tell(lambda: host.tools.answer(call)) == 200
    await watch.said("the tool is done")
    await host.settled()
    await check(host)


async def test_a_second_sigterm_does_not_wait_for_slices(host: Host, model: Held) -> None:
    await _streaming(host)
    host.process.signal(signal.SIGTERM)
    await _turned_away(host)
    host.process.signal(signal.SIGTERM)
    assert await host.process.ended() == 128 + signal.SIGTERM
    model.go_on.set()
    await _start(host)
    await host.watch(ROOT).said("half of it, all of it")
    await host.settled()
    await check(host)
