"""One home, one daemon: anyone who starts a second one is told who holds the home, and the first does not notice."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.crash.daemon import Process, execute
from tests.crash.host import Host

from infinity.cli.exits import REFUSED
from infinity.models.script import Script

AT_ONCE = 4


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    made = Host(tmp_path / "home", execute, Script().otherwise().say("I am here"))
    await made.open()
    yield made
    await made.close()


@pytest.mark.slow
@pytest.mark.trap("B7")
async def test_a_second_start_says_who_holds_the_home_and_disturbs_nobody(host: Host) -> None:
    first = await host.start()
    await host.serve()
    watch = await host.create("thread-1")
    second = await host.start()
    assert await second.ended() == REFUSED
    assert f"pid {first.pid}" in second.log
    assert "infinity daemon stop" in second.log, "it says what to do"
    host.process = first
    await host.say("thread-1", "are you there?")
    await watch.said("I am here")
    assert first.status is None


@pytest.mark.slow
@pytest.mark.trap("B7")
async def test_of_many_starts_at_once_exactly_one_serves(host: Host) -> None:
    started = await asyncio.gather(*(host.start() for _ in range(AT_ONCE)))
    losers = [process for process in started if not await _serves(process)]
    (winner,) = [process for process in started if process not in losers]
    assert [await loser.ended() for loser in losers] == [REFUSED] * (AT_ONCE - 1)
    assert all("another daemon holds" in loser.log for loser in losers)
    host.process = winner
    await host.serve()
    watch = await host.create("thread-1")
    await host.say("thread-1", "are you there?")
    await watch.said("I am here")
    winner.signal(signal.SIGTERM)
    assert await winner.ended() == 0


async def _serves(process: Process) -> bool:
    try:
        await process.line("listening at")
    except AssertionError:
        return False
    return True
