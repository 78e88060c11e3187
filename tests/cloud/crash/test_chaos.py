"""Everything that can go wrong does, all the time and together: functions die at random steps, messages come back early, late and twice, services and
connections fail. Three quarters of ``INFINITY_KILLS``: how many deaths; ``INFINITY_SEED``: another run."""

from __future__ import annotations

import os
import random
from functools import partial
from pathlib import Path

import pytest

from .host import CloudHost
from .trouble import Trouble
from .workload import LIMITS, TIMEOUTS, TOOLS, CloudMind, CloudWorkload, seed_of

KILLS = os.environ.get("INFINITY_KILLS")
DEATHS = 10 if KILLS else 4
"""In one run."""
RUNS = -(-int(KILLS) * 3 // 4 // DEATHS) if KILLS else 1
AT_ONCE = 4
TEXTS = 3
MORTALITY = 0.02
"""Probability of a death at each step."""
TIMEOUT = 60.0
DOZE = 1200.0
"""Seconds; more than the delay queue can wait."""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("very_patient")
@pytest.mark.rap(
    "RES-4", "SUB-2", "SUB-5", "SUB-6", "THR-1", "RUN-3", "RUN-4", "INV-8", "CB-3", "CB-4", "CHO-2", "CAN-2"
)
@pytest.mark.trap(
    "L1", "L2", "L3", "L4", "L5", "L6", "L12", "L13", "L14", "L15", "R1", "R3", "R4", "R6", "B8"
)
@pytest.mark.parametrize("run", range(RUNS))
async def test_nothing_is_lost_and_nothing_is_doubled_whatever_goes_wrong(run: int, tmp_path: Path) -> None:
    seed = seed_of(run, f"{__file__}::test_nothing_is_lost_and_nothing_is_doubled_whatever_goes_wrong")
    mind, chance = CloudMind(DOZE), random.Random(seed)
    how = {"limits": LIMITS, "schedules": True, "timeout": TIMEOUT, "conflicts": 0.2}
    host = CloudHost(tmp_path, mind, TOOLS, **how)
    host.timeouts = TIMEOUTS
    async with host:
        host.aws.parameters.create("/infinity/key", "a key")
        host.stage.places["A_KEY"] = "ssm:/infinity/key"
        workload = CloudWorkload(host, mind, chance, TEXTS)
        trouble = Trouble(host, seed)
        await workload.run(AT_ONCE, [partial(_deaths, host, random.Random(seed))])
        trouble.end()
        host.stage.hooks.clear()
        await workload.check(mind)
        await host.check_timers()
        await host.check_output()
        print(dict(trouble.happened))


async def _deaths(host: CloudHost, chance: random.Random) -> None:
    def perhaps(step: str) -> None:
        if chance.random() < MORTALITY and len(host.deaths) < DEATHS:
            host.stage.die()

    host.stage.hooks.append(perhaps)
    for number in range(1, DEATHS + 1):
        await host.until(lambda number=number: len(host.deaths) >= number, f"death {number}")
