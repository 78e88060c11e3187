"""DynamoDB gives no answer at all: each process finds that out once, by one slow try, and everything goes on without it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.crash.scenarios import ROOT

from infinity.aws import breaker
from infinity.aws.client import RetryPolicy
from infinity.backoff import Backoff
from infinity.cloud import hints, start
from infinity.emulator.faults import Gate, Rule

from .host import CloudHost
from .minds import Held
from .runs import live, undisturbed
from .scenarios import EVERYTHING

TRIES = 3
"""Of one request."""
BESIDE = 2
"""Requests that a process has under way at the same time when it finds out."""


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request is given up soon; a table that gave no answer is left alone until the end of the test."""
    monkeypatch.setattr(hints, "_HINT", RetryPolicy(tries=TRIES, connect=1.0, once=0.1, total=1.0))
    monkeypatch.setattr(breaker, "REST", Backoff(3600.0, 3600.0))


def _silent(host: CloudHost) -> Rule:
    return host.aws.faults.add("dynamodb", "*", Gate())


@pytest.mark.rap("RUN-3")
@pytest.mark.trap("R1", "L10", "B1")
async def test_each_process_tries_a_silent_table_once_and_goes_on_without_it(tmp_path: Path) -> None:
    expected = await undisturbed(EVERYTHING, tmp_path / "undisturbed")
    made: list[tuple[CloudHost, Rule]] = []

    async def prepare(host: CloudHost) -> None:
        made.append((host, _silent(host)))

    outcome = await live(EVERYTHING, tmp_path / "home", ("committed", 3), prepare=prepare)
    assert outcome.told == expected.told
    assert outcome.deaths == 1
    ((host, rule),) = made
    processes = len(host.stage.lives) + outcome.deaths
    print(f"{rule.hits} requests to DynamoDB by {processes} processes")
    assert TRIES <= rule.hits <= BESIDE * TRIES * processes


@pytest.mark.trap("L10")
async def test_a_process_that_cannot_start_tries_a_silent_table_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is away as well, so that each batch is turned away, again and again, by the same process."""
    monkeypatch.setattr(start, "PATIENCE", 0.0)
    async with CloudHost(tmp_path, Held(0), conflicts=0) as host:
        await host.create(ROOT)
        await host.settled()
        await host.stage.mapping.disable()
        await host.say(ROOT, "begin")
        host.stage.database.refusing = True
        host.stage.database.cut()
        rule = _silent(host)
        host.stage.mapping.enable()
        await host.until(lambda: host.stage.mapping.partial >= 5, "batches that were turned away")
        assert rule.hits == TRIES
        host.stage.database.refusing = False
        await host.tools.invoked()
