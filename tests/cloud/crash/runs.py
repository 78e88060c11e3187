"""One run of a scenario from the first word to the last, and everything that must hold at its end, anyone who has died on the way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.crash.history import check, tell
from tests.crash.scenarios import ROOT, Scenario

from .host import CloudHost

DELIVERED = frozenset({"delivered", "notified", "woken"})
"""Steps of the flush, which every scenario passes."""
_TAKEN_UP = frozenset(
    {
        "a child that reports and closes",
        "a subscription",
        "events before their confirmation",
        "sleep",
        "a question that nobody answers",
        "a sign-in that nobody makes",
        "close while calls and a child are open",
        "a message to a child",
        "an overloaded model",
        "compaction",
        "everything that needs a service",
    }
)
"""Scenarios in which a thread is woken for what it has on record; the others pass ``fired`` after a crash only."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """``passed``: how often each step was passed since the last death."""

    deaths: int
    told: list[tuple[str, list[str]]]
    passed: Mapping[str, int]


async def live(
    scenario: Scenario,
    home: Path,
    *kills: tuple[str, int],
    prepare: Callable[[CloudHost], Awaitable[object]] | None = None,
    **stage: Any,
) -> Outcome:
    """``kills``: steps at which a process dies. ``prepare``: what else is to go wrong."""
    host = CloudHost(home, scenario.respond(), **stage)
    host.timeouts = scenario.timeouts
    async with host:
        host.stage.arm(*kills)
        if prepare is not None:
            await prepare(host)
        root = await host.create(ROOT)
        await scenario.drive(host, root)
        return await ended(host)


async def ended(host: CloudHost) -> Outcome:
    """Everything that must hold once a scenario is over."""
    await host.settled()
    deaths, passed = len(host.deaths), dict(host.stage.passed)
    found = await check(host)
    await host.check_timers()
    await host.check_output()
    assert host.aws.permissions.refused == []
    return Outcome(deaths, [tell(history) for history in found], passed)


_undisturbed: dict[str, Outcome] = {}


async def undisturbed(scenario: Scenario, home: Path) -> Outcome:
    """How the scenario ends when nobody dies; found out once."""
    if scenario.name not in _undisturbed:
        _undisturbed[scenario.name] = await live(scenario, home, conflicts=0)
        assert not _undisturbed[scenario.name].deaths
    return _undisturbed[scenario.name]


def steps(scenario: Scenario) -> frozenset[str]:
    """The gates that it passes on this host."""
    fired = {"fired"} if scenario.name in _TAKEN_UP else set()
    return (scenario.steps - {"fired"}) | DELIVERED | fired
