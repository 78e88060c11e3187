"""DynamoDB may lag behind the database without harm: its writes lost, late and repeated, for every kind of item."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.crash.scenarios import ONE_CALL, ROOT, SUBSCRIPTION, Scenario

from infinity.cloud import hold
from infinity.emulator.dynamodb.losses import delayed, lost, repeated
from infinity.emulator.faults import Fault, Rule, refused
from infinity.models.prompt_view import read_prompt
from infinity.models.script import Reply

from .host import CloudHost
from .runs import ended, live, undisturbed
from .stage import LONGEST

LATE = 0.15
"""Seconds; the steps of a scenario are some hundredths apart."""
LATER = 600.0
LOSSES: dict[str, Callable[[], Fault]] = {
    "lost": lost,
    "late": lambda: delayed(LATE),
    "much too late": lambda: delayed(LATER),
    "repeated": lambda: repeated(LATE),
}
_WRITES = (b"PutRequest", b"DeleteRequest", b'"Item"')


def _spoil(host: CloudHost, item: str, fault: Fault) -> Rule:
    """Writes and deletions of items of this kind."""

    def matches(request: Any) -> bool:
        return f'"{item}'.encode() in request.body and any(word in request.body for word in _WRITES)

    return host.aws.faults.add("dynamodb", "*", fault, where=matches)


@pytest.mark.trap("R1", "R2")
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("item", "scenario"),
    [("seen#", SUBSCRIPTION), ("toolset", ONE_CALL)],
    ids=lambda value: value.name if isinstance(value, Scenario) else value,
)
async def test_a_scenario_ends_the_same_whatever_becomes_of_what_lags(
    item: str, scenario: Scenario, loss: str, tmp_path: Path
) -> None:
    """A process dies as well, so that what was lost is asked for."""
    expected = await undisturbed(scenario, tmp_path / "undisturbed")
    rules: list[Rule] = []

    async def prepare(host: CloudHost) -> None:
        rules.append(_spoil(host, item, LOSSES[loss]()))

    outcome = await live(scenario, tmp_path / "home", ("committed", 2), prepare=prepare)
    assert outcome.told == expected.told
    assert outcome.deaths == 1
    assert rules[0].hits > 0


class Slow:
    """Says half of its answer, waits, says the rest; one event for each answer."""

    def __init__(self) -> None:
        self.go_on = [asyncio.Event() for _ in range(3)]
        self.asked = 0

    def __call__(self, request: dict[str, Any]) -> Reply:
        self.asked += 1
        reply = Reply().say("half ").pause(self.go_on[self.asked - 1])
        return reply.say("all done" if "go on" in read_prompt(request).text else "the whole of it")


@pytest.mark.rap("CAN-1")
@pytest.mark.trap("B8")
@pytest.mark.parametrize("loss", ["lost", "late", "repeated"])
async def test_a_hint_of_an_interrupt_ends_the_slice_it_is_for_or_none(
    loss: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: the interrupt happens after the slice. Late or repeated, it finds another slice at work and leaves it alone."""
    mind = Slow()
    losses = {"lost": lost(), "late": delayed(LATER), "repeated": repeated(LATER)}
    # Within the time that a function has, and its messages are held, so that neither is over because the clock is put forward.
    monkeypatch.setattr(hold, "HELD", int(2 * LATER))
    async with CloudHost(tmp_path, mind, timeout=LONGEST) as host:
        root = await host.create(ROOT)
        await host.say(ROOT, "begin")
        await host.until(lambda: mind.asked == 1, "first completion")
        rule = _spoil(host, "interrupt", losses[loss])
        await host.request("POST", f"/v1/threads/{ROOT}/interrupt", key="interrupt-1")
        assert rule.hits > 0
        if loss == "repeated":
            await root.said("half")
        mind.go_on[0].set()
        await root.said("half" if loss == "repeated" else "half the whole of it")
        await host.settled()
        await host.say(ROOT, "go on")
        await host.until(lambda: mind.asked == 2, "second completion")
        if loss != "lost":
            taken = host.aws.counts["dynamodb.DeleteItem"]
            host.stage.clock.leap(LATER)
            await host.until(lambda: host.aws.counts["dynamodb.DeleteItem"] > taken, "look at the late copy")
        mind.go_on[1].set()
        await root.said("half all done")
        await ended(host)
        assert root.turns() == 2


@pytest.mark.rap("VIEW-1")
@pytest.mark.parametrize("loss", ["late", "repeated", "much too late"])
async def test_an_older_view_never_replaces_a_newer_one(loss: str, tmp_path: Path) -> None:
    async with CloudHost(tmp_path, ONE_CALL.respond()) as host:
        root = await host.create(ROOT)
        await host.say(ROOT, "begin")
        call = (await host.tools.invoked()).id
        rule = _spoil(host, "view#", LOSSES[loss]())
        assert await host.tell(lambda: host.tools.view(call, "diff", {"n": 1})) == 200
        rule.remove()
        await asyncio.sleep(0.005)  # a millisecond is the grain of their order
        assert await host.tell(lambda: host.tools.view(call, "diff", {"n": 2})) == 200
        host.stage.clock.leap(LATER)
        assert await host.tell(lambda: host.tools.answer(call, "what a found")) == 200
        await root.said("all done")
        await ended(host)
        found = await host.request("GET", f"/v1/threads/{ROOT}/views")
        assert found["views"] == [{"view_type": "diff", "content": {"n": 2}}]


@pytest.mark.rap("VIEW-1")
async def test_a_view_that_was_lost_is_shown_again_at_the_next_update(tmp_path: Path) -> None:
    async with CloudHost(tmp_path, ONE_CALL.respond()) as host:
        root = await host.create(ROOT)
        await host.say(ROOT, "begin")
        call = (await host.tools.invoked()).id
        rule = _spoil(host, "view#", lost())
        assert await host.tell(lambda: host.tools.view(call, "diff", {"n": 1})) == 200
        assert (await host.request("GET", f"/v1/threads/{ROOT}/views"))["views"] == []
        rule.remove()
        assert await host.tell(lambda: host.tools.view(call, "diff", {"n": 2})) == 200
        assert len((await host.request("GET", f"/v1/threads/{ROOT}/views"))["views"]) == 1
        assert await host.tell(lambda: host.tools.answer(call, "what a found")) == 200
        await root.said("all done")
        await ended(host)


@pytest.mark.trap("L10")
@pytest.mark.parametrize("loss", LOSSES)
async def test_why_a_thread_fails_is_all_that_is_lost_with_the_record_of_it(
    loss: str, tmp_path: Path
) -> None:
    expected = await undisturbed(ONE_CALL, tmp_path / "undisturbed")
    rules: list[Rule] = []

    async def prepare(host: CloudHost) -> None:
        rules.append(_spoil(host, "failing", LOSSES[loss]()))
        host.aws.faults.add(
            "sqs",
            "*",
            refused("AccessDenied"),
            times=2,
            where=lambda request: b"/output.fifo" in request.body,
        )

    outcome = await live(ONE_CALL, tmp_path / "home", prepare=prepare)
    assert outcome.told == expected.told
    assert rules[0].hits > 0
