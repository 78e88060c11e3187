"""Each service in turn has a bad hour, during the whole of a conversation: nothing is lost or doubled, people can see it, and it recovers by itself."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context
from pathlib import Path

import pytest
from tests.crash.scenarios import ROOT
from tests.patience import PATIENCE

from infinity.emulator.faults import Rule

from .faults import STYLES, sometimes, unreachable
from .host import CloudHost
from .runs import live, undisturbed
from .scenarios import EVERYTHING

FULL = os.environ.get("INFINITY_SWEEP") == "full"
SERVICES = ("sqs", "dynamodb", "scheduler", "s3")
SAMPLE = ("throttled", "out of order after the effect", "cut off after the effect")
OFTEN = 0.4


@pytest.mark.rap("RUN-2", "RUN-3", "CB-3")
@pytest.mark.trap("L10")
@pytest.mark.parametrize("style", STYLES if FULL else SAMPLE)
@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_that_fails_again_and_again_costs_nothing_but_time(
    service: str, style: str, tmp_path: Path
) -> None:
    expected = await undisturbed(EVERYTHING, tmp_path / "undisturbed")

    rules: list[Rule] = []

    async def prepare(host: CloudHost) -> None:
        rules.append(host.aws.faults.add(service, "*", sometimes(STYLES[style], OFTEN)))

    outcome = await live(EVERYTHING, tmp_path / "home", prepare=prepare)
    assert outcome.told == expected.told
    assert rules[0].hits > (service != "scheduler") * 2, f"{service} is not needed for everything"


Failure = Callable[[CloudHost], Awaitable[None]]


def _away(service: str) -> Failure:
    async def away(host: CloudHost) -> None:
        """From the first slice on, until people could see that something is wrong and somebody has repaired it; of the scheduler nobody needs to see it."""
        rule = host.aws.faults.add(service, "*", unreachable())
        least = 3 if service == "scheduler" else 6
        await host.until(lambda: rule.hits >= least, f"request to {service}")
        if service == "s3":
            await _visible(host)
        rule.remove()

    return away


async def _visible(host: CloudHost) -> None:
    """In the API's explanation, and on the output queue."""
    await _seen(host)
    await host.until(lambda: "failing" in _problems(host), "word on the output queue")


async def _seen(host: CloudHost) -> None:
    reasons: list[str] = []
    async with asyncio.timeout(PATIENCE):
        while "failing" not in reasons:
            thread = await host.request("GET", f"/v1/threads/{ROOT}")
            reasons = [reason["kind"] for reason in thread["explanation"]["reasons"]]
            await asyncio.sleep(0.02)


def _problems(host: CloudHost) -> list[str]:
    messages = host.aws.sqs.queue(host.stage.output).messages()
    return [json.loads(message.body)["data"].get("code", "") for message in messages]


async def _database(host: CloudHost) -> None:
    host.stage.database.refusing = True
    host.stage.database.cut()
    await host.until(lambda: "failing" in _problems(host), "word on the output queue")
    host.stage.database.refusing = False


AWAY: dict[str, Failure] = {**{service: _away(service) for service in SERVICES}, "database": _database}


@pytest.mark.rap("RUN-1", "RUN-2", "RUN-3", "CB-3")
@pytest.mark.trap("L10", "R1")
@pytest.mark.parametrize("service", AWAY)
async def test_a_service_that_is_away_for_a_while_is_seen_to_be_and_everything_goes_on_when_it_is_back(
    service: str, tmp_path: Path
) -> None:
    expected = await undisturbed(EVERYTHING, tmp_path / "undisturbed")
    falling: list[asyncio.Task[None]] = []

    async def prepare(host: CloudHost) -> None:
        def at(step: str) -> None:
            if step == "loaded" and not falling:
                # The test's own doing, and no part of the process that runs now.
                falling.append(asyncio.create_task(AWAY[service](host), context=Context()))

        host.stage.hooks.append(at)

    outcome = await live(EVERYTHING, tmp_path / "home", prepare=prepare)
    await falling[0]
    assert outcome.told == expected.told


@pytest.mark.rap("RUN-1", "RUN-3")
@pytest.mark.trap("R4")
async def test_a_database_whose_connections_break_at_random_loses_nothing(tmp_path: Path) -> None:
    expected = await undisturbed(EVERYTHING, tmp_path / "undisturbed")
    chance = random.Random(1)
    cutting: list[asyncio.Task[None]] = []

    async def cut(host: CloudHost) -> None:
        for _ in range(30):
            await asyncio.sleep(chance.uniform(0.002, 0.03))
            host.stage.database.cut()

    async def prepare(host: CloudHost) -> None:
        cutting.append(asyncio.create_task(cut(host)))

    outcome = await live(EVERYTHING, tmp_path / "home", prepare=prepare)
    with suppress(asyncio.CancelledError):
        cutting[0].cancel()
        await cutting[0]
    assert outcome.told == expected.told
