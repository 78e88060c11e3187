"""A function's process dies at every step of every scenario, and nobody can tell afterwards.

Each run ends one process at one occurrence of one step, with everything that it had begun; its messages come back when their visibility is over. It must
end in the history of a run in which nobody died. By default one occurrence of each, and in ``make test`` of every step half of the scenarios
(see ``tests.sampling``); ``INFINITY_SWEEP=full``: all of them.
"""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

import pytest
from tests.crash.scenarios import SCENARIOS, Scenario
from tests.sampling import sample

from infinity.cloud import groups
from infinity.testing.gates import STEPS

from .runs import live, steps, undisturbed
from .scenarios import EVERYTHING, PLAIN

FULL = os.environ.get("INFINITY_SWEEP") == "full"
HERE = (*SCENARIOS, PLAIN, EVERYTHING) if FULL else (*SCENARIOS, PLAIN)
PASSED = sample(
    [
        pytest.param(scenario, step, id=f"{scenario.name}, {step}")
        for scenario in HERE
        for step in STEPS
        if FULL or step in steps(scenario)
    ],
    lambda case: str(case.values[1]),
)
MOST = 200
"""No scenario passes a step more often than this."""


@pytest.mark.rap("INV-8", "CB-3", "CB-4", "CAN-2", "CHO-2", "RUN-3", "SRV-6")
@pytest.mark.trap("L1", "L2", "L3", "L12", "L13", "L14", "L15", "R6")
@pytest.mark.parametrize(("scenario", "step"), PASSED)
async def test_a_function_that_dies_at_any_step_changes_nothing_that_anybody_sees(
    scenario: Scenario, step: str, tmp_path: Path
) -> None:
    expected = await undisturbed(scenario, tmp_path / "undisturbed")
    deaths = 0
    second = (2, 1) if expected.passed.get(step, 0) > 1 else (1,)
    for occurrence in count(1) if FULL else second:
        outcome = await live(scenario, tmp_path / f"{occurrence}", (step, occurrence))
        assert outcome.told == expected.told, f"after a death at {step}:{occurrence}"
        deaths += outcome.deaths
        if bool(outcome.deaths) != FULL:
            break
        assert occurrence < MOST, f"{step} is passed without end"
    assert (deaths > 0) == (step in steps(scenario)), f"{scenario.name} passes other steps than it says"


@pytest.mark.trap("L15")
@pytest.mark.parametrize("scenario", HERE, ids=lambda scenario: scenario.name)
async def test_a_death_in_the_middle_of_the_recovery_from_a_death_changes_nothing_either(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process after the other dies: the first after its commit, the next at each step that the recovery and the rest of the scenario pass."""
    expected = await undisturbed(scenario, tmp_path / "undisturbed")
    kills = [(step, 1) for step in STEPS if step in steps(scenario) | {"fired"}]
    early = [("committed", 1), ("fired", 1), ("fired", 1), ("delivered", 1)]
    # The rests in between are not to last longer than the deadline of a call.
    monkeypatch.setattr(groups, "LONGEST", groups.HELD)
    # So many deaths in a row are more than a thread gets by default.
    deaths = len(early) + len(kills)
    outcome = await live(scenario, tmp_path / "home", *early, *kills, slices=4 * deaths)
    assert outcome.deaths >= len(early)
    assert outcome.told == expected.told
