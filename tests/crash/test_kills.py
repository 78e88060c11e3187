"""Many threads at once, and a daemon that is killed again and again at random moments. ``INFINITY_KILLS``: how often; ``INFINITY_SEED``: another run."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from tests.crash.daemon import Forks
from tests.crash.host import Host
from tests.crash.workload import Mind, Workload

KILLS = int(os.environ.get("INFINITY_KILLS", "25"))
STOPS = max(5, KILLS // 8)
SEED = int(os.environ.get("INFINITY_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
AT_ONCE = 24
"""Threads that are talked to at the same time."""
WINDOW = (0.05, 0.4)
"""Seconds that a daemon lives once it serves."""


@pytest.mark.slow
@pytest.mark.rap("RES-4", "SUB-2", "SUB-5", "SUB-6", "THR-1", "RUN-4", "SRV-6", "INV-8", "CB-3", "CB-4")
@pytest.mark.trap("L1", "L2", "L3", "L4", "L5", "L6", "L15", "R3", "R6")
async def test_nothing_is_lost_and_nothing_is_doubled_however_often_the_daemon_is_killed(
    tmp_path: Path, forks: Forks
) -> None:
    host = await _live(tmp_path / "home", forks, [signal.SIGKILL] * KILLS)
    assert host.deaths == [-signal.SIGKILL] * KILLS


@pytest.mark.slow
@pytest.mark.trap("L17", "L15")
async def test_nothing_is_lost_and_nothing_is_doubled_however_often_the_daemon_is_stopped(
    tmp_path: Path, forks: Forks
) -> None:
    host = await _live(tmp_path / "home", forks, [signal.SIGTERM] * STOPS)
    assert host.deaths == [0] * STOPS


async def _live(home: Path, forks: Forks, endings: Sequence[signal.Signals]) -> Host:
    """The whole workload, and everything that must hold after it."""
    print(f"INFINITY_SEED={SEED}")
    mind, chance = Mind(), random.Random(SEED)
    async with Host(home, forks, mind) as host:
        host.endings = {-signal.SIGKILL, 0}
        workload = Workload(host, chance)
        await host.keep()
        await workload.run(AT_ONCE, [partial(_end, host, chance, ending) for ending in endings])
        await workload.check(mind)
    return host


async def _end(host: Host, chance: random.Random, ending: signal.Signals) -> None:
    await host.running()
    victim = host.process
    await asyncio.sleep(chance.uniform(*WINDOW))  # its lifetime: what this test is about
    victim.signal(ending)
    await victim.ended()
