"""The net under everything: every wake is lost, and the sweep alone keeps the conversation going."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.crash.scenarios import ROOT

from infinity.emulator.faults import Attempt
from infinity.emulator.wire import Reply

from .host import CloudHost
from .minds import Held
from .runs import ended, undisturbed
from .scenarios import EVERYTHING

QUARTER = 900.0
"""Seconds between two sweeps."""


class Vanishing:
    """Wakes are taken and come to nothing, until it is told to stop. ``lost`` counts them."""

    def __init__(self, host: CloudHost) -> None:
        self.host = host
        self.lost = 0
        self.on = True
        host.aws.faults.add("sqs", "*", self, where=lambda request: b'\\"wake\\"' in request.body)

    async def __call__(self, attempt: Attempt) -> Reply:
        reply = await attempt.act()
        for url in (self.host.stage.inbox, self.host.stage.delay) if self.on else ():
            queue = self.host.aws.sqs.queue(url)
            for message in queue.messages():
                if '"wake"' in message.body and not message.in_flight:
                    queue._remove(message)
                    self.lost += 1
        return reply


async def _sweeps(host: CloudHost, vanishing: Vanishing) -> None:
    while True:
        await asyncio.sleep(0.02)
        if not host.stage.busy and not host.stage.queued():
            host.stage.clock.leap(QUARTER)
            vanishing.on = False
            await host.aws.lambdas.function("sweep").invoke(b"{}")
            vanishing.on = True


@pytest.mark.trap("L14", "L15")
async def test_a_conversation_whose_wakes_are_all_lost_is_kept_going_by_the_sweep(tmp_path: Path) -> None:
    expected = await undisturbed(EVERYTHING, tmp_path / "undisturbed")
    async with CloudHost(tmp_path / "home", EVERYTHING.respond()) as host:
        root = await host.create(ROOT)
        vanishing = Vanishing(host)
        sweeping = asyncio.create_task(_sweeps(host, vanishing))
        await EVERYTHING.drive(host, root)
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
        assert vanishing.lost >= 2
        outcome = await ended(host)
        assert outcome.told == expected.told


@pytest.mark.rap("RUN-5")
@pytest.mark.trap("B3")
async def test_a_deadline_whose_schedule_is_gone_is_found_by_the_sweep(tmp_path: Path) -> None:
    async with CloudHost(tmp_path, Held(0)) as host:
        root = await host.create(ROOT)
        await host.say(ROOT, "begin")
        await host.tools.invoked()
        await host.settled()
        host.lose_schedules()
        host.stage.clock.leap(3_600 + QUARTER)
        outcome = await host.aws.lambdas.function("sweep").invoke(b"{}")
        assert outcome.value() == {"overdue": 1, "woken": 1}
        await root.said("all done")
        await ended(host)
