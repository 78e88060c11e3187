"""The daemon dies at every step of every scenario, and nobody can tell afterwards.

Each run pulls the plug at one occurrence of one step, starts the daemon again, and must end in the history of a run in which nobody died;
every call reached its tool under one id and was answered once, and no request to the model broke a rule.
By default one occurrence of each, and in ``make test`` of every step half of the scenarios (see ``tests.sampling``); ``INFINITY_SWEEP=full``: all of them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from tests.crash.daemon import Forks
from tests.crash.history import check, tell
from tests.crash.host import Host
from tests.crash.scenarios import ROOT, SCENARIOS, Scenario
from tests.sampling import sample

from infinity.testing.gates import AFTER, GATE, STEPS

FULL = os.environ.get("INFINITY_SWEEP") == "full"
PASSED = sample(
    [
        pytest.param(scenario, step, id=f"{scenario.name}, {step}")
        for scenario in SCENARIOS
        for step in STEPS
        if FULL or step in scenario.steps
    ],
    lambda case: str(case.values[1]),
)
MOST = 200
"""No scenario passes a step more often than this."""


@dataclass(frozen=True, slots=True)
class Outcome:
    deaths: int
    told: list[tuple[str, list[str]]]


async def live(scenario: Scenario, home: Path, forks: Forks, *environments: Mapping[str, str]) -> Outcome:
    """One run from the first word to the last, and everything that must hold at its end."""
    host = Host(home, forks, scenario.respond())
    host.timeouts = scenario.timeouts
    async with host:
        await host.keep(*environments)
        root = await host.create(ROOT)
        await scenario.drive(host, root)
        await host.settled()
        found = await check(host)
        return Outcome(len(host.deaths), [tell(history) for history in found])


_undisturbed: dict[str, Outcome] = {}


async def undisturbed(scenario: Scenario, home: Path, forks: Forks) -> Outcome:
    """How the scenario ends when nobody dies; found out once."""
    if scenario.name not in _undisturbed:
        _undisturbed[scenario.name] = await live(scenario, home, forks)
        assert not _undisturbed[scenario.name].deaths
    return _undisturbed[scenario.name]


@pytest.mark.rap("INV-8", "CB-3", "CB-4", "CAN-2", "CHO-2", "RUN-3", "SRV-6")
@pytest.mark.trap("L1", "L2", "L3", "L12", "L13", "L14", "L15", "R6")
@pytest.mark.parametrize(("scenario", "step"), PASSED)
async def test_a_crash_at_any_step_changes_nothing_that_anybody_sees(
    scenario: Scenario, step: str, tmp_path: Path, forks: Forks
) -> None:
    expected = await undisturbed(scenario, tmp_path / "undisturbed", forks)
    deaths = 0
    for occurrence in count(1) if FULL else (2, 1):
        outcome = await live(scenario, tmp_path / f"{occurrence}", forks, {GATE: f"{step}:{occurrence}"})
        assert outcome.told == expected.told, f"after a crash at {step}:{occurrence}"
        deaths += outcome.deaths
        if bool(outcome.deaths) != FULL:
            break
        assert occurrence < MOST, f"{step} is passed without end"
    assert (deaths > 0) == (step in scenario.steps), f"{scenario.name} passes other steps than it says"


@pytest.mark.trap("L15")
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_a_crash_in_the_middle_of_the_recovery_from_a_crash_changes_nothing_either(
    scenario: Scenario, tmp_path: Path, forks: Forks
) -> None:
    """After the first, several in a row die on the way up or soon after, then one at every step that the rest of the scenario passes."""
    expected = await undisturbed(scenario, tmp_path / "undisturbed", forks)
    early = [{AFTER: str(milliseconds)} for milliseconds in (1, 3, 6, 10, 15, 25)]
    gates = [{GATE: f"{step}:1"} for step in STEPS if step in scenario.steps]
    outcome = await live(scenario, tmp_path / "home", forks, {GATE: "committed:1"}, *early, *gates)
    assert outcome.deaths >= len(early)
    assert outcome.told == expected.told
