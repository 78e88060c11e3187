"""Many threads at once, and functions in real processes that are killed by SIGKILL at random moments. A quarter of ``INFINITY_KILLS``: how often; ``INFINITY_SEED``: another run.

The processes run AWS's own runtime client. What a killed one had taken comes back after a random while, in place of its visibility time-out.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.crash.daemon import PATIENCE, REPOSITORY

from infinity.emulator.lambdas.invocation import Invocation, Outcome
from infinity.emulator.lambdas.process import Process

from .host import CloudHost
from .workload import LIMITS, TIMEOUTS, TOOLS, CloudMind, CloudWorkload, seed_of

KILLS = os.environ.get("INFINITY_KILLS")
DEATHS = 10 if KILLS else 4
"""In one run."""
RUNS = -(-int(KILLS) // 4 // DEATHS) if KILLS else 1
AT_ONCE = 4
"""Threads that are talked to at the same time."""
AGENTS = 3
"""Batches that are worked on at the same time."""
TEXTS = 2
DOZE = 2.5
"""Seconds; more than these processes leave to the delay queue."""
WINDOW = (0.1, 0.6)
"""Seconds between two kills."""
WORK = (0.0, 0.05)
"""Seconds of its work after which a process is killed."""
VICTIMS = ("agent", "agent", "agent", "receiver", "relay")
BACK = (0.0, 0.5)
"""Seconds after which the messages of a process that was killed are there again."""


class Running:
    """What each process works on."""

    def __init__(self) -> None:
        self.events: dict[Process, dict[str, Any]] = {}
        self._begun = asyncio.Event()

    async def one_of(self, name: str, chance: random.Random) -> Process:
        """A process of this function, at some moment of its work."""
        async with asyncio.timeout(PATIENCE):
            while True:
                found = [process for process in self.events if process._settings.name == name]
                victim = chance.choice(found) if found else None
                await asyncio.sleep(chance.uniform(*WORK))
                if victim is not None and victim in self.events:
                    return victim
                self._begun.clear()
                await self._begun.wait()

    def watched(self, run: Any) -> Any:
        async def watching(process: Process, invocation: Invocation) -> Outcome:
            self.events[process] = json.loads(invocation.payload)
            self._begun.set()
            try:
                outcome: Outcome = await run(process, invocation)
                return outcome
            finally:
                del self.events[process]

        return watching


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Running:
    made = Running()
    monkeypatch.setattr(Process, "run", made.watched(Process.run))
    return made


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("very_patient")
@pytest.mark.rap(
    "RES-4", "SUB-2", "SUB-5", "SUB-6", "THR-1", "RUN-4", "SRV-6", "INV-8", "CB-3", "CB-4", "CHO-2", "CAN-2"
)
@pytest.mark.trap("L1", "L2", "L3", "L4", "L5", "L6", "L12", "L13", "L14", "L15", "R3", "R6", "B8")
@pytest.mark.parametrize("run", range(RUNS))
async def test_nothing_is_lost_and_nothing_is_doubled_however_often_functions_are_killed(
    run: int, tmp_path: Path, running: Running
) -> None:
    seed = seed_of(
        run, f"{__file__}::test_nothing_is_lost_and_nothing_is_doubled_however_often_functions_are_killed"
    )
    mind, chance = CloudMind(DOZE), random.Random(seed)
    processes = {name: f"tests.cloud.crash.functions.{name}" for name in ("agent", "receiver", "relay")}
    stage = {"processes": processes, "code": REPOSITORY, "concurrency": AGENTS}
    host = CloudHost(tmp_path, mind, TOOLS, patient=True, limits=LIMITS, **stage)
    host.timeouts = TIMEOUTS
    async with host:
        workload = CloudWorkload(host, mind, chance, TEXTS)
        await workload.run(AT_ONCE, [partial(_kill, host, random.Random(seed), running)] * DEATHS)
        assert host.deaths == [-9] * DEATHS
        await workload.check(mind)
        await host.check_timers()
        await host.check_output()


async def _kill(host: CloudHost, chance: random.Random, running: Running) -> None:
    await asyncio.sleep(chance.uniform(*WINDOW))  # its lifetime: what this test is about
    name = chance.choice(VICTIMS)
    victim = await running.one_of(name, chance)
    records = running.events[victim].get("Records", [])
    victim.kill()
    host.deaths.append(-9)
    await host.until(lambda: victim not in running.events, "end of the process")
    await asyncio.sleep(chance.uniform(*BACK))
    queue = host.aws.sqs.queue(host.stage.delay if name == "relay" else host.stage.inbox)
    held = {message.id: message for message in queue.messages() if message.in_flight}
    for record in records:
        message = held.get(record["messageId"])
        if message is not None and queue.handle(message) == record["receiptHandle"]:
            queue.change_visibility(record["receiptHandle"], 0)
