"""One thread ends its process again and again, or takes very long: the others of its batch are answered all the same, and it is parked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.crash.scenarios import ROOT

from infinity.cloud import hold
from infinity.cloud.groups import Group
from infinity.cloud.hints import Trouble
from infinity.models.script import Reply
from infinity.testing.tool_server import answering

from .host import CloudHost
from .lives import current
from .minds import Held
from .runs import ended
from .silence import LONGEST, problems, silence

VISIBILITY = 5400.0
"""Of a deployment: six times a time limit of 900 s."""
SLICES = 3
"""``retries.slices`` of these hosts."""
INNOCENT = ["good1", "good2", "good3", "good4"]


class Poisoned:
    """Anyone who runs the slice of the thread that hears ``poison`` dies of it; the others are in the middle of their answers when that happens first."""

    def __init__(self) -> None:
        self.bought = 0
        self._answering = 0
        self._all, self._dead = asyncio.Event(), asyncio.Event()

    def __call__(self, request: dict[str, Any]) -> Reply:
        if "poison" in str(request["messages"]):
            self.bought += 1
            return Reply().say("boo").pause(self._all).say("m")
        self._answering += 1
        if self._answering == len(INNOCENT):
            self._all.set()
        return Reply().say("an ").pause(self._dead).say("innocent answer")

    def passing(self, host: CloudHost, step: str) -> None:
        task = asyncio.current_task()
        # Its own slice does: in a batch that it is given back from, others go on.
        if (
            step == "completed"
            and current() is not None
            and task is not None
            and task.get_name() == "slice bad"
        ):
            self._dead.set()
            host.stage.die()


@pytest.mark.trap("L10", "L18")
@pytest.mark.rap("RUN-3")
async def test_the_neighbours_of_a_thread_that_ends_its_process_are_answered_within_about_a_minute(
    tmp_path: Path,
) -> None:
    mind = Poisoned()
    async with CloudHost(
        tmp_path, mind, slices=SLICES, receives=20, visibility=VISIBILITY, conflicts=0
    ) as host:
        await host.create("bad")
        for name in INNOCENT:
            await host.create(name)
        await host.stage.mapping.disable()
        await host.say("bad", "poison")
        for name in INNOCENT:
            await host.say(name, "please answer")
        began = host.stage.clock.now()
        host.stage.hooks.append(lambda step: mind.passing(host, step))
        host.stage.mapping.enable()
        await host.until(lambda: "process" in problems(host, "bad"), "parked thread")
        waited = {name: silence(host, name, "innocent", began) for name in INNOCENT}
        assert max(waited.values()) <= hold.HELD + 15 < LONGEST, waited
        # Together with its neighbours once, and then alone.
        assert mind.bought == len(host.deaths) == SLICES + 1
        host.stage.hooks.clear()
        await host.settled()
        assert mind.bought == SLICES + 1


@pytest.mark.trap("L10")
async def test_a_thread_whose_slice_is_done_goes_on_while_another_one_of_its_batch_still_runs(
    tmp_path: Path,
) -> None:
    slow = asyncio.Event()

    def respond(request: dict[str, Any]) -> Reply:
        if "slow" in str(request["messages"]):
            return Reply().say("at last, ").pause(slow).say("the slow one")
        return Reply().say("quick, again" if "more" in str(request["messages"]) else "quick")

    async with CloudHost(tmp_path, respond, visibility=VISIBILITY, conflicts=0) as host:
        slow_one, quick = await host.create("slow"), await host.create("quick")
        await host.stage.mapping.disable()
        await host.say("slow", "be slow")
        await host.say("quick", "be quick")
        host.stage.mapping.enable()
        await quick.said("quick")
        await host.say("quick", "more")
        await quick.said("quick, again")
        assert slow_one.turns() == 0
        slow.set()
        await slow_one.said("the slow one")
        await ended(host)
        assert host.aws.counts["sqs.DeleteMessageBatch (mapping) expired"] == 0
        assert host.aws.counts["sqs.DeleteMessageBatch"] == 1, "the mapping deletes what nobody waits for"


@pytest.mark.trap("L10")
async def test_the_messages_of_a_slice_that_takes_long_are_held_for_as_long_as_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold, "BEAT", 0.02)
    mind = Held()
    async with CloudHost(tmp_path, mind, timeout=900.0, visibility=VISIBILITY, conflicts=0) as host:
        host.tools.behaviours["a"] = answering("what a found")
        root = await host.create(ROOT)
        await host.say(ROOT, "begin")
        await host.until(lambda: mind.asked == 1, "request to the model")
        for _ in range(5):
            beats = host.aws.counts["sqs.ChangeMessageVisibilityBatch"]
            await host.until(
                lambda beats=beats: host.aws.counts["sqs.ChangeMessageVisibilityBatch"] >= beats + 2, "beat"
            )
            host.stage.clock.leap(hold.HELD - 5)
        mind.go_on[0].set()
        await root.said("all done")
        await ended(host)
        assert mind.asked == 2
        assert host.stage.mapping.partial == host.stage.mapping.failures == 0


@pytest.mark.trap("L10")
async def test_the_messages_of_a_process_that_ended_are_back_within_a_minute(tmp_path: Path) -> None:
    async with CloudHost(tmp_path, Held(0), visibility=VISIBILITY, patient=True, conflicts=0) as host:
        host.tools.behaviours["a"] = answering("what a found")
        root = await host.create(ROOT)
        host.stage.arm(("loaded", 1))
        began = host.stage.clock.now()
        await host.say(ROOT, "begin")
        await host.until(lambda: len(host.deaths) == 1, "death")
        (message,) = host.aws.sqs.queue(host.stage.inbox).messages()
        assert message.visible_at - began <= (hold.HELD + 10) * 1000
        host.patient = False
        await root.said("all done")
        await ended(host)


def _group(receives: int, trouble: Trouble | None) -> Group:
    return Group("t", [{"attributes": {"ApproximateReceiveCount": str(receives)}}], trouble)


@pytest.mark.parametrize(
    ("group", "suspect"),
    [
        (_group(1, Trouble()), False),
        (_group(2, Trouble()), True),
        (_group(3, Trouble("failed", heard=2)), False),
        (_group(4, Trouble("failed", heard=2)), True),
        (_group(9, None), False),
    ],
    ids=["new", "nothing was heard", "it said why", "nothing since", "nothing can be known"],
)
def test_a_thread_is_suspected_only_for_receives_that_nothing_was_heard_of(
    group: Group, suspect: bool
) -> None:
    assert group.suspect == suspect


def test_the_rest_of_a_thread_that_ends_its_process_grows_with_each_time_that_it_did() -> None:
    groups = [_group(20, Trouble(begun=begun)) for begun in range(9)]
    assert [group.held for group in groups] == [60, 60, 120, 240, 480, 900, 900, 900, 900]


def test_what_was_no_fault_of_the_thread_is_no_failure_of_it() -> None:
    assert _group(7, Trouble(excused=4)).failures == 3
    assert _group(1, Trouble()).failures == 1
