"""The time limit of a function: reached in the middle of a stream, in the middle of the flush, and seen coming."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.crash.scenarios import ROOT

from infinity.cloud import batch
from infinity.emulator.faults import Gate
from infinity.emulator.wire import Request
from infinity.models.script import Script
from infinity.testing.tool_server import answering, failing

from .host import CloudHost
from .minds import Held
from .runs import ended
from .stage import TIMEOUT

SOON = 0.5
"""Seconds that a function has in tests of its remaining time."""


@pytest.mark.trap("L2", "L8")
async def test_a_function_whose_time_is_over_in_the_middle_of_a_stream_leaves_no_part_of_the_turn(
    tmp_path: Path,
) -> None:
    mind = Held()
    async with CloudHost(tmp_path, mind) as host:
        host.tools.behaviours["a"] = answering("what a found")
        root = await host.create(ROOT)
        await host.say(ROOT, "begin")
        await host.until(lambda: mind.asked == 1, "request to the model")
        host.stage.clock.leap(TIMEOUT + 1)
        await root.said("all done")
        await ended(host)
        assert host.deaths == [-9]
        assert mind.asked == 3
        assert list(host.tools.counts.values()) == [1]


def _to(name: str) -> dict[str, str]:
    return {"service": "sqs", "operation": "*", "to": name}


_SENDING = {
    "the rows of the output queue": _to("output.fifo"),
    "a wake": _to("inbox.fifo"),
    "a schedule": {"service": "scheduler", "operation": "CreateSchedule", "to": ""},
    "what the commit leaves in DynamoDB": {"service": "dynamodb", "operation": "*", "to": "seen#"},
}


@pytest.mark.trap("L3")
@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
@pytest.mark.parametrize("sending", _SENDING, ids=str)
async def test_a_function_whose_time_is_over_in_the_middle_of_the_pay_is_made_good_by_the_next(
    sending: str, after: bool, tmp_path: Path
) -> None:
    """One request of the flush is held until the time is over, with and without its effect."""
    where = _SENDING[sending]
    gate = Gate(after=after)

    def matches(request: Request) -> bool:
        wake = sending != "a wake" or b"wake" in request.body
        return where["to"].encode() in request.body and wake

    async with CloudHost(tmp_path, _spawning()) as host:
        root = await host.create(ROOT)
        rule = host.aws.faults.add(where["service"], where["operation"], gate, times=1, where=matches)
        host.tools.behaviours["a"] = answering("what a found")
        await host.say(ROOT, "begin")
        await gate.arrived()
        host.stage.clock.leap(TIMEOUT + 1)
        await host.until(lambda: bool(host.deaths), "end of the function")
        gate.open()
        await root.said("all done")
        await ended(host)
        assert rule.hits == 1
        # Calls leave beside replies: this one may have been on its way, and goes again under its id (I5).
        (count,) = host.tools.counts.values()
        assert count in ((1, 2) if sending == "the rows of the output queue" else (1,))


def _spawning() -> Script:
    """Something of everything that a commit may cause: a reply, a call with a deadline, a child that is to be woken."""
    return (
        Script()
        .when_result("spawn_thread", "You are now in the child thread")
        .call("close_thread", report="found it")
        .when("begin")
        .say("I begin.")
        .call("a", n=1)
        .call("spawn_thread", instructions="find it")
        .when_prompt(
            lambda prompt: "found it" in str(prompt.messages) and "what a found" in str(prompt.messages)
        )
        .say("all done")
        .when_prompt(lambda prompt: True)
        .say("I wait")
    )


ALMOST_NONE = 0.1


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A completion is ended soon after the function has begun."""
    monkeypatch.setattr(batch, "MARGIN", TIMEOUT - SOON)


@pytest.mark.trap("L14", "L8")
async def test_a_completion_that_does_not_fit_is_ended_in_time_and_asked_for_by_another_function(
    tmp_path: Path, short: None
) -> None:
    mind = Held()
    async with CloudHost(tmp_path, mind) as host:
        host.tools.behaviours["a"] = answering("what a found")
        root = await host.create(ROOT)
        await host.say(ROOT, "begin")
        await root.said("all done")
        await ended(host)
        assert host.deaths == []
        assert host.stage.mapping.partial == host.stage.mapping.failures == 0
        assert mind.asked >= 3
        assert list(host.tools.counts.values()) == [1]


@pytest.mark.trap("L18", "R5")
async def test_a_completion_that_never_fits_is_given_up_and_people_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "MARGIN", TIMEOUT - ALMOST_NONE)
    mind = Held(100)
    async with CloudHost(tmp_path, mind) as host:
        root = await host.create(ROOT)
        await host.say(ROOT, "begin")
        await root.noted("problem", code="time_limit")
        await ended(host)
        assert 1 <= mind.asked <= 9
        assert root.turns() == 0


@pytest.mark.trap("L17")
async def test_a_pay_that_does_not_end_is_abandoned_and_done_by_another_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "LAST", TIMEOUT - SOON)
    gate = Gate()
    async with CloudHost(tmp_path, Held(0)) as host:
        host.tools.behaviours["a"] = answering("what a found")
        root = await host.create(ROOT)
        host.aws.faults.add("scheduler", "CreateSchedule", gate, times=1)
        await host.say(ROOT, "begin")
        await root.said("all done")
        gate.open()
        await ended(host)
        assert host.deaths == []
        assert host.stage.mapping.partial > 0
        assert list(host.tools.counts.values()) == [1]


@pytest.mark.trap("B8")
async def test_what_a_function_has_given_up_does_not_go_on_in_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen process would go on with it hours later, and call a tool for what was taken back since."""
    monkeypatch.setattr(batch, "LAST", TIMEOUT - SOON)
    monkeypatch.setattr(batch, "PATIENCE", 30.0)
    async with CloudHost(tmp_path, Held(0), patient=True) as host:
        host.tools.behaviours["a"] = failing(503)
        root = await host.create(ROOT)
        await host.say(ROOT, "begin")
        await host.until(lambda: host.stage.mapping.partial == 1, "end of the first function")
        tries = sum(host.tools.counts.values())
        await asyncio.sleep(0.5)  # longer than the longest rest between two tries
        assert sum(host.tools.counts.values()) == tries
        host.tools.behaviours["a"] = answering("what a found")
        host.patient = False
        await root.said("all done")
        await ended(host)
