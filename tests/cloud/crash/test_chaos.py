"""Everything that can go wrong does, all the time and together: functions die at random steps, messages come back while they are worked on, services
and connections fail. A fifth of ``INFINITY_KILLS``: how many deaths; ``INFINITY_SEED``: another run."""

from __future__ import annotations

import os
import random
from functools import partial
from pathlib import Path

import pytest
from tests.crash.workload import Mind, Workload

from .faults import anything, sometimes
from .host import CloudHost

DEATHS = max(5, int(os.environ.get("INFINITY_KILLS", "25")) // 5)
SEED = int(os.environ.get("INFINITY_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
AT_ONCE = 4
TEXTS = 2
MORTALITY = 0.02
"""Probability of a death at each step."""
FAILURES = 0.05
"""Probability that a request to AWS fails."""
TWINS = 0.15
CUTS = 0.03
"""Probabilities at each step that a message comes back too early, and that all connections to the database break. By steps, because a machine that is
slow would otherwise get nothing done between two of them."""
TIMEOUT = 20.0


@pytest.mark.slow
@pytest.mark.rap("RES-4", "SUB-2", "SUB-5", "SUB-6", "THR-1", "RUN-3", "RUN-4", "INV-8", "CB-3", "CB-4")
@pytest.mark.trap("L1", "L2", "L3", "L4", "L5", "L6", "L15", "R1", "R3", "R4", "R6")
async def test_nothing_is_lost_and_nothing_is_doubled_whatever_goes_wrong(tmp_path: Path) -> None:
    print(f"INFINITY_SEED={SEED}")
    mind, chance = Mind(), random.Random(SEED)
    async with CloudHost(tmp_path, mind, timeout=TIMEOUT, conflicts=0.2) as host:
        host.aws.faults.add("*", "*", sometimes(anything(SEED), FAILURES, SEED))
        workload = Workload(host, chance, TEXTS)
        host.stage.hooks.append(partial(_trouble, host, chance))
        await workload.run(AT_ONCE, [partial(_deaths, host, chance)])
        host.stage.hooks.clear()
        host.aws.faults.clear()
        await workload.check(mind)
        await host.check_timers()
        await host.check_output()


async def _deaths(host: CloudHost, chance: random.Random) -> None:
    def perhaps(step: str) -> None:
        if chance.random() < MORTALITY and len(host.deaths) < DEATHS:
            host.stage.die()

    host.stage.hooks.append(perhaps)
    for number in range(1, DEATHS + 1):
        await host.until(lambda number=number: len(host.deaths) >= number, f"death {number}")


def _trouble(host: CloudHost, chance: random.Random, _: str) -> None:
    if chance.random() < TWINS:
        _twin(host, chance)
    if chance.random() < CUTS:
        host.stage.database.cut()


def _twin(host: CloudHost, chance: random.Random) -> None:
    queue = host.aws.sqs.queue(chance.choice((host.stage.inbox, host.stage.delay)))
    now = host.stage.clock.now()
    held = [message for message in queue.messages() if message.in_flight and message.visible_at > now]
    if held:
        queue.change_visibility(queue.handle(chance.choice(held)), 0)
