"""A completion is bought a bounded number of times, anyone who fails: the daemon behind its turn, the model, the store, or one after the other (I12).

Counted at the model server, by real processes that die by SIGKILL.
"""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.crash.daemon import Forks
from tests.crash.host import Host
from tests.crash.scenarios import ROOT

from infinity.models.script import Reply, Script
from infinity.testing.gates import GATE

COMPLETION, SLICES = 1, 2
BOUND = COMPLETION * (SLICES + 1)
"""What the guide promises: ``retries.completion`` times ``retries.slices`` and one."""
DEATHS = 14
FULL = os.environ.get("INFINITY_SWEEP") == "full"


class _FewTries(Host):
    slices = SLICES

    def _config(self) -> str:
        return f"{super()._config()}\n[retries]\ncompletion = {COMPLETION}\nslices = {self.slices}\n"


class _Two(_FewTries):
    """Two tries in all, so that there is one wait between them."""

    slices = 1


@pytest.mark.trap("R7")
@pytest.mark.parametrize("step", ["completed", "dispatched"])
async def test_a_crash_loop_behind_a_completion_ends_in_a_problem(
    step: str, tmp_path: Path, forks: Forks
) -> None:
    script = Script().otherwise().say("all done")
    async with _FewTries(tmp_path / "home", forks, script) as host:
        await host.keep(*[{GATE: f"{step}:1"}] * DEATHS)
        root = await host.create(ROOT)
        await host.say(ROOT, "begin")
        problem = await root.noted("problem")
        assert "resume" in problem.data["text"].lower()
        await host.settled()
        assert len(host.model.bodies) == BOUND
        before = len(host.model.bodies)
        await host.request("POST", f"/v1/threads/{ROOT}/resume", key="resume-1")
        await host.settled()
        assert len(host.model.bodies) <= before + BOUND + 1, "resuming refills it once"


_FAILURES: dict[str, Callable[[], Reply]] = {
    "a stream that breaks": lambda: Reply().say("some words, and then").break_off(),
    "a server error behind some words": lambda: Reply().say("some words, and then").fail(500),
    "throttling": lambda: Reply().fail(429, retry_after=0.1),
    "a refusal": lambda: Reply().fail(400, message="this is not valid"),
}
_STEPS = ("accepted", "fired", "prepared", "loaded", "committed", "yielded", "completed")
_KILLED = [
    pytest.param(failure, step, id=f"{failure}, killed at {step}")
    for number, failure in enumerate(_FAILURES)
    for place, step in enumerate(_STEPS)
    # By default every step once. No timer fires after a refusal, nor while further messages ask at once.
    if (FULL and (step != "fired" or number < 2)) or place % len(_FAILURES) == number
]


@pytest.mark.trap("R7", "R8")
@pytest.mark.parametrize(("failure", "step"), _KILLED)
async def test_a_model_that_fails_and_a_daemon_that_dies_at_a_step_each_time_ask_no_more_than_the_bound(
    failure: str, step: str, tmp_path: Path, forks: Forks
) -> None:
    messages = 15 if failure == "throttling" else 1
    async with _Two(tmp_path / "home", forks, lambda _: _FAILURES[failure]()) as host:
        await host.keep()
        root = await host.create(ROOT)
        await host.settled()
        await host.end_next(*[{GATE: f"{step}:1"}] * 5)
        for number in range(messages):
            await host.say(ROOT, f"word {number}")
        await root.until(lambda seen: _parked(seen.kind, seen.data), "problem that waits for a person")
        await host.settled()
        assert len(host.deaths) > 1, "nothing was killed on the way"
        assert len(host.model.bodies) <= COMPLETION * (host.slices + 1)
        told = await host.entries(ROOT)
        assert sum(f"word {messages - 1}" in str(entry["user"]) for entry in told) == 1, (
            "it is in history once"
        )
        reasons = (await host.request("GET", f"/v1/threads/{ROOT}"))["explanation"]["reasons"]
        assert reasons[-1]["kind"] == "problem", "what it waits for is said"


def _parked(kind: str, data: dict[str, Any]) -> bool:
    return kind == "problem" and "resume" in str(data["text"]).lower()


class _Pausing:
    """A model whose answers wait until the test lets them go on."""

    def __init__(self) -> None:
        self.asked = 0
        self._go_on: list[asyncio.Event] = []

    def __call__(self, _: dict[str, Any]) -> Reply:
        self.asked += 1
        self._go_on.append(asyncio.Event())
        return Reply().say("an expensive ").pause(self._go_on[-1]).say("answer")

    def go_on(self) -> None:
        self._go_on[-1].set()


def _full(pid: int, *, full: bool) -> None:
    """The disk is full for one process: files of more than a page cannot be written any more."""
    most = 4096 if full else resource.RLIM_INFINITY
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


async def _commit_fails(host: Host, model: _Pausing, completions: int) -> None:
    """The model has answered, and the store of this daemon cannot take it: the turn is kept in memory."""
    await host.until(lambda: model.asked == completions, f"completion {completions}")
    _full(host.process.pid, full=True)
    model.go_on()
    await host.process.line("failed (1 in a row)")


@pytest.mark.trap("R7")
async def test_a_turn_that_is_kept_while_the_disk_is_full_is_committed_when_there_is_room(
    tmp_path: Path, forks: Forks
) -> None:
    model = _Pausing()
    async with _FewTries(tmp_path / "home", forks, model) as host:
        await host.keep()
        root = await host.create(ROOT)
        await host.say(ROOT, "begin")
        await _commit_fails(host, model, 1)
        _full(host.process.pid, full=False)
        await root.said("an expensive answer")
        await host.settled()
        assert model.asked == 1 and not host.deaths


@pytest.mark.trap("R7")
async def test_a_daemon_that_is_killed_with_a_kept_turn_buys_it_again_no_more_often_than_the_bound(
    tmp_path: Path, forks: Forks
) -> None:
    model = _Pausing()
    async with _FewTries(tmp_path / "home", forks, model) as host:
        await host.keep()
        root = await host.create(ROOT)
        await host.say(ROOT, "begin")
        for bought in range(1, BOUND + 1):
            await _commit_fails(host, model, bought)
            await host.process.kill()
        problem = await root.noted("problem")
        assert "resume" in problem.data["text"].lower()
        await host.settled()
        assert (model.asked, len(host.deaths)) == (BOUND, BOUND)
        await host.request("POST", f"/v1/threads/{ROOT}/resume", key="resume-1")
        await host.until(lambda: model.asked == BOUND + 1, "completion after resuming")
        model.go_on()
        await root.said("an expensive answer")
