"""Functions of the agent's own run inside of the function that runs the slice, and die with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.crash.scenarios import ROOT

from infinity.models.script import Script

from . import program
from .host import CloudHost
from .runs import ended
from .stage import TIMEOUT


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[CloudHost]:
    program.begun.clear()
    program.work.clear()
    mind = Script().when("begin").call("measure", n=1).when_result("measure", "measured 1").say("all done")
    async with CloudHost(tmp_path, mind) as made:
        made.stage.places["INFINITY_AGENT"] = f"{program.__name__}:agent"
        yield made


async def _once(host: CloudHost) -> None:
    await host.watch(ROOT).said("all done")
    await ended(host)
    assert host.watch(ROOT).turns() == 2


@pytest.mark.rap("INV-8")
@pytest.mark.trap("L3")
async def test_a_function_that_dies_with_its_process_runs_again_and_is_answered_once(host: CloudHost) -> None:
    async def for_ever() -> None:
        await asyncio.Event().wait()

    program.work.append(for_ever)
    await host.create(ROOT)
    await host.say(ROOT, "begin")
    await host.until(lambda: program.begun == [1], "run")
    host.stage.clock.leap(TIMEOUT + 1)
    await _once(host)
    assert program.begun == [1, 1]
    assert host.deaths == [-9]


@pytest.mark.parametrize("step", ["sending", "posted", "sent", "delivered", "woken", "yielded"])
@pytest.mark.trap("L3")
async def test_the_result_of_a_function_is_there_once_wherever_its_process_dies(
    host: CloudHost, step: str
) -> None:
    await host.create(ROOT)
    host.stage.arm((step, 1))
    await host.say(ROOT, "begin")
    await _once(host)
    assert host.deaths == [-9]
    # A result that became durable before its row was gone ends the call; else the function runs again (at least once).
    assert len(program.begun) in ((1, 2) if step == "posted" else (1,))
