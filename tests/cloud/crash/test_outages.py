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

from infinity.cloud.emulator.faults import Rule, refused

from .faults import STYLES, sometimes, unreachable
from .host import CloudHost
from .minds import Held
from .runs import ended, live, undisturbed
from .scenarios import EVERYTHING, answered

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
    assert rules[0].hits > 2, f"{service} is not needed for everything"


Failure = Callable[[CloudHost], Awaitable[None]]


def _away(service: str) -> Failure:
    async def away(host: CloudHost) -> None:
        """From the first slice on, until people could see that something is wrong and somebody has repaired it."""
        rule = host.aws.faults.add(service, "*", unreachable())
        await host.until(lambda: rule.hits >= 6, f"request to {service}")
        if service in ("scheduler", "s3"):
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


@pytest.mark.trap("L10")
async def test_a_thread_rests_for_seconds_though_nobody_can_be_told(tmp_path: Path) -> None:
    """The output queue refuses: what failed comes back soon all the same, and not when a whole visibility time-out is over."""
    async with CloudHost(tmp_path, EVERYTHING.respond(), patient=True) as host:
        answered(host)
        root = await host.create(ROOT)
        rule = host.aws.faults.add(
            "sqs",
            "*",
            refused("AccessDeniedException"),
            where=lambda request: b"output.fifo" in request.body,
        )
        await host.say(ROOT, "begin")
        await host.until(lambda: host.stage.mapping.partial == 1, "failure")
        message = host.aws.sqs.queue(host.stage.inbox).messages()[0]
        assert message.visible_at - host.stage.clock.now() <= 2_000
        await _seen(host)
        rule.remove()
        host.patient = False
        await root.said("all done")
        await ended(host)


@pytest.mark.trap("L18")
async def test_people_are_told_once_of_a_failure_though_it_is_not_the_first_try_that_fails(
    tmp_path: Path,
) -> None:
    """The first function dies and says nothing; the next two fail."""
    async with CloudHost(tmp_path, Held(0)) as host:
        root = await host.create(ROOT)
        host.stage.arm(("loaded", 1))
        host.aws.faults.add("scheduler", "CreateSchedule", refused("AccessDeniedException"), times=2)
        await host.say(ROOT, "begin")
        call = (await host.tools.invoked()).id
        await host.settled()
        assert host.stage.mapping.partial == 2
        assert _problems(host).count("failing") == 1
        assert await host.tell(lambda: host.tools.answer(call, "what a found")) == 200
        await root.said("all done")
        await ended(host)
