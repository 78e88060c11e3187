"""What a slice has committed and cannot send now never holds up the messages behind it: the delay queue brings a wake that sees to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.crash.scenarios import ROOT

from infinity.emulator.faults import Rule, broken, refused
from infinity.models.script import Script
from infinity.testing.tool_server import answering

from .host import CloudHost
from .minds import Held
from .runs import ended
from .silence import LONGEST, broken_silence, problems

HOUR = 3600.0
REFUSED = refused("AccessDeniedException", status=403)


def _out_of(host: CloudHost, queue: str) -> Rule:
    return host.aws.faults.add("sqs", "*", REFUSED, where=lambda request: queue.encode() in request.body)


@pytest.mark.trap("L10", "L15")
@pytest.mark.parametrize(
    "fault", [refused("ThrottlingException", status=429), broken(500)], ids=["refuses", "broken"]
)
async def test_a_scheduler_that_is_away_delays_no_answer_and_no_deadline(
    fault: object, tmp_path: Path
) -> None:
    """Only the deadline of a call needs it: by the delay queue, the thread is woken again and again until it is due."""
    async with CloudHost(tmp_path, Held(0), visibility=5400.0, conflicts=0) as host:
        host.aws.faults.add("scheduler", "*", fault)  # type: ignore[arg-type]
        await host.create("answered")
        await host.create("forgotten")
        await host.say("answered", "begin")
        call = (await host.tools.invoked()).id
        await host.say("forgotten", "begin")
        await host.tools.invoked(2)
        began = host.stage.clock.now()
        assert await host.tell(lambda: host.tools.answer(call, "found")) == 200
        assert await broken_silence(host, "answered", "all done", began) < LONGEST
        # The other one's tool says nothing for an hour.
        silent = await broken_silence(host, "forgotten", "all done", began)
        assert HOUR - LONGEST <= silent <= HOUR + LONGEST
        await host.settled()
        assert host.stage.mapping.partial == host.stage.mapping.failures == 0
        assert problems(host, "answered") == problems(host, "forgotten") == []


async def test_a_thread_that_calls_tools_all_the_time_needs_one_schedule(tmp_path: Path) -> None:
    script = Script().when("begin").call("a", n=0)
    for n in range(1, 6):
        script = script.when_result("a", f"found {n}").call("a", n=n)
    script = script.when_result("a", "found 6").say("all done")
    async with CloudHost(tmp_path, script, conflicts=0) as host:
        root = await host.create(ROOT)
        await host.say(ROOT, "begin")
        for n in range(1, 7):
            call = (await host.tools.invoked(n)).id
            assert await host.tell(lambda call=call, n=n: host.tools.answer(call, f"found {n}")) == 200
        await root.said("all done")
        await ended(host)
        requests = {name: count for name, count in host.aws.counts.items() if name.startswith("scheduler.")}
        assert requests == {"scheduler.CreateSchedule": 1}, "one for each call, and one to delete it, were 12"
        # It goes off for nothing.
        host.stage.clock.leap(2 * HOUR)
        await host.settled()
        assert host.aws.scheduler.schedules() == [] and root.turns() == 7


@pytest.mark.trap("L10", "L18")
async def test_a_thread_goes_on_though_nobody_can_be_told(tmp_path: Path) -> None:
    """The output queue refuses: the thread works all the same, people can see why they hear nothing, and hear all of it when the queue is back."""
    async with CloudHost(tmp_path, Held(0), visibility=5400.0) as host:
        host.tools.behaviours["a"] = answering("what a found")
        root = await host.create(ROOT)
        rule = _out_of(host, "output.fifo")
        await host.say(ROOT, "begin")
        await root.said("all done")
        assert host.stage.mapping.partial == host.stage.mapping.failures == 0
        thread = await host.request("GET", f"/v1/threads/{ROOT}")
        assert "failing" in [reason["kind"] for reason in thread["explanation"]["reasons"]]
        rule.remove()
        await ended(host)
        recovered = await host.request("GET", f"/v1/threads/{ROOT}")
        assert recovered["explanation"]["state"] == "idle"


@pytest.mark.trap("L10")
async def test_the_rest_between_two_tries_to_tell_grows(tmp_path: Path) -> None:
    async with CloudHost(tmp_path, Script().when("begin").say("all done"), patient=True, conflicts=0) as host:
        await host.create(ROOT)
        rule = _out_of(host, "output.fifo")
        waits = []
        await host.say(ROOT, "begin")
        for tried in range(1, 4):
            await host.until(lambda tried=tried: len(_delayed(host)) == 1 and _again(host) == tried, "wake")
            (message,) = _delayed(host)
            waits.append((message.visible_at - message.sent_at) / 1000)
            host.stage.clock.leap((message.visible_at - host.stage.clock.now() + 1) / 1000)
        assert all(
            least <= wait <= most for wait, (least, most) in zip(waits, [(1, 3), (1, 5), (1, 9)], strict=True)
        ), waits
        rule.remove()
        host.patient = False
        await ended(host)


def _delayed(host: CloudHost) -> list[object]:
    return host.aws.sqs.queue(host.stage.delay).messages()  # type: ignore[return-value]


def _again(host: CloudHost) -> int:
    return int(json.loads(_delayed(host)[0].body).get("again", 0))  # type: ignore[attr-defined]


@pytest.mark.trap("L3", "L10")
async def test_a_child_whose_wake_cannot_be_sent_is_woken_later_by_its_parent(tmp_path: Path) -> None:
    script = (
        Script()
        .when_result("spawn_thread", "You are now in the child thread")
        .call("close_thread", report="found it")
        .when("begin")
        .call("spawn_thread", instructions="find it")
        .when_event("spawn_thread", "found it")
        .say("all done")
        .when_prompt(lambda prompt: True)
        .say("I wait")
    )
    async with CloudHost(tmp_path, script, visibility=5400.0) as host:
        root = await host.create(ROOT)
        rule = host.aws.faults.add(
            "sqs",
            "*",
            REFUSED,
            where=lambda request: (
                b"inbox.fifo" in request.body
                and b'\\"wake\\"' in request.body
                and b"again" not in request.body
            ),
        )
        await host.say(ROOT, "begin")
        await host.until(lambda: rule.hits >= 2, "wakes that were refused")
        rule.remove()
        began = host.stage.clock.now()
        await root.said("all done")
        assert await broken_silence(host, ROOT, "all done", began) < LONGEST
        await ended(host)
        assert host.stage.mapping.partial == host.stage.mapping.failures == 0
