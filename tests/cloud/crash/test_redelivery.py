"""Messages that come too early, too late, twice, and after their visibility: counted at the model and at the tool server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.crash.scenarios import ROOT
from tests.crash.watch import Watch

from infinity.emulator.faults import Attempt, Gate, refused
from infinity.emulator.lambdas.mapping import _record
from infinity.emulator.sqs.queue import Message, Queue
from infinity.emulator.wire import Reply
from infinity.models.script import Script
from infinity.testing.tool_server import answering

from .host import CloudHost
from .minds import Held
from .runs import ended

HOUR = 3600.0
WINDOW = 300.0
"""Seconds for which SQS knows a deduplication id."""


def _inbox(host: CloudHost) -> Queue:
    return host.aws.sqs.queue(host.stage.inbox)


def _in_flight(host: CloudHost) -> list[Message]:
    return [message for message in _inbox(host).messages() if message.in_flight]


def _back(host: CloudHost) -> None:
    """As if the visibility of everything that functions have taken were over."""
    for message in _in_flight(host):
        _inbox(host).change_visibility(_inbox(host).handle(message), 0)


def _expired(host: CloudHost) -> int:
    return host.aws.counts["sqs.DeleteMessageBatch (mapping) expired"]


async def _once(host: CloudHost, root: Watch, *, failures: bool = False, twins: bool = False) -> None:
    """One call, one result, two turns, anyone who has tried how often. ``failures``: a slice has failed; else a lost claim is none (I1).

    ``twins``: two processes were at it at once, and both may have sent the call, under one id (I5).
    """
    await root.said("all done")
    await ended(host)
    assert (host.stage.mapping.partial > 0) == failures
    assert root.turns() == 2
    [sent] = host.tools.counts.values()
    assert sent == 1 or (twins and sent == 2)


# -- early


@pytest.mark.trap("R4")
@pytest.mark.parametrize("first", [0, 1], ids=["the older ends first", "the younger ends first"])
async def test_of_twins_that_work_on_one_message_only_one_commits(first: int, tmp_path: Path) -> None:
    mind = Held(2)
    async with CloudHost(tmp_path, mind) as host:
        host.tools.behaviours["a"] = answering("what a found")
        root = await host.create(ROOT)
        await host.say(ROOT, "begin")
        await host.until(lambda: mind.asked == 1, "first twin")
        _back(host)
        await host.until(lambda: mind.asked == 2, "second twin")
        mind.go_on[first].set()
        await root.said("and then the rest")
        mind.go_on[1 - first].set()
        await _once(host, root, twins=True)
        assert mind.asked == 3


@pytest.mark.trap("R4")
async def test_a_zombie_that_wakes_up_long_after_its_twin_is_through_changes_nothing(tmp_path: Path) -> None:
    mind = Held(1)
    async with CloudHost(tmp_path, mind) as host:
        host.tools.behaviours["a"] = answering("what a found")
        root = await host.create(ROOT)
        await host.say(ROOT, "begin")
        await host.until(lambda: mind.asked == 1, "first twin")
        _back(host)
        await root.said("all done")
        await host.until(lambda: not _inbox(host).messages(), "end of the others")
        await root.reached((await host.request("GET", f"/v1/threads/{ROOT}"))["cursor"])
        seen = len(root.events)
        mind.go_on[0].set()
        await _once(host, root)
        assert root.events[seen:] == []


@pytest.mark.trap("L3")
@pytest.mark.parametrize("operation", ["SendMessage", "CreateSchedule"])
async def test_twins_that_pay_at_the_same_time_pay_once_by_their_ids(operation: str, tmp_path: Path) -> None:
    """The first has committed and is held in its flush; the second reads the effects from the record."""
    gate = Gate(after=True)
    service = "scheduler" if operation == "CreateSchedule" else "sqs"
    async with CloudHost(tmp_path, Held(0)) as host:
        host.tools.behaviours["a"] = answering("what a found")
        root = await host.create(ROOT)
        await host.say(ROOT, "begin")
        host.aws.faults.add(service, operation, gate, times=1)
        await gate.arrived()
        _back(host)
        await host.until(lambda: host.stage.passed["fired"] > 0, "second twin")
        gate.open()
        await _once(host, root)


# -- late


@pytest.mark.trap("L2")
async def test_a_result_whose_function_died_counts_though_it_comes_back_after_its_deadline(
    tmp_path: Path,
) -> None:
    async with CloudHost(tmp_path, Held(0)) as host:
        root = await host.create(ROOT)
        await host.say(ROOT, "begin")
        call = (await host.tools.invoked()).id
        await host.settled()
        host.patient = True
        host.stage.arm(("loaded", 1))
        assert await host.tell(lambda: host.tools.answer(call, "what a found")) == 200
        await host.until(lambda: len(host.deaths) == 1, "death")
        for message in _in_flight(host):
            _inbox(host).change_visibility(_inbox(host).handle(message), int(11 * HOUR * 1000))
        host.stage.clock.leap(2 * HOUR)
        # The deadline's wake waits behind the result, which was there first.
        await host.until(lambda: len(_inbox(host).messages()) == 2, "wake of the deadline")
        assert root.turns() == 1
        host.stage.clock.leap(9 * HOUR)
        host.patient = False
        await _once(host, root)
        assert "what a found" in str(host.model.bodies[-1]["messages"])


# -- twice


@pytest.fixture
async def quick(tmp_path: Path) -> AsyncIterator[tuple[CloudHost, Watch]]:
    async with CloudHost(tmp_path, Held(0)) as host:
        host.tools.behaviours["a"] = answering("what a found")
        yield host, await host.create(ROOT)


@pytest.mark.trap("R1")
@pytest.mark.rap("CB-4")
async def test_what_is_sent_again_after_the_queue_has_forgotten_it_is_applied_once(
    quick: tuple[CloudHost, Watch],
) -> None:
    """Both copies are in the queue, because no slice has seen either."""
    host, root = quick
    await host.stage.mapping.disable()
    await host.say(ROOT, "begin")
    host.stage.clock.leap(WINDOW + 1)
    await host.say(ROOT, "begin")
    assert len(_inbox(host).messages()) == 2
    host.stage.mapping.enable()
    await _once(host, root)


@pytest.mark.trap("R1")
@pytest.mark.rap("CB-4")
async def test_a_result_that_is_sent_again_long_after_it_was_applied_is_taken_and_changes_nothing(
    quick: tuple[CloudHost, Watch],
) -> None:
    host, root = quick
    await host.say(ROOT, "begin")
    await root.said("all done")
    call = host.tools.invocations[0].id
    await _once(host, root)
    seen = len(root.events)
    host.stage.clock.leap(WINDOW + 1)
    assert await host.tell(lambda: host.tools.answer(call, "what a found")) == 200
    # And past the door, as a copy that was on its way.
    sealed = {"infinity": 1, "thread": ROOT, "id": call, "kind": "result"}
    body = {"call_id": call, "content": [{"type": "text", "text": "again"}]}
    message = json.dumps({**sealed, "accepted_at": host.stage.clock.now(), "body": body})
    for name in ("one", "two"):
        request = {"QueueUrl": host.stage.inbox, "MessageBody": message, "MessageGroupId": ROOT}
        host.aws.sqs.send_message({**request, "MessageDeduplicationId": name})
    await _once(host, root)
    # That a slice has looked at the copies is no news to anybody.
    assert {event.kind for event in root.events[seen:]} <= {"slice"}


@pytest.mark.trap("L5")
async def test_one_record_that_is_twice_in_a_batch_is_applied_once(quick: tuple[CloudHost, Watch]) -> None:
    host, root = quick
    await host.stage.mapping.disable()
    await host.say(ROOT, "begin")
    [message] = _inbox(host).receive(10)
    record = _record(_inbox(host), message, host.aws.region)
    event = json.dumps({"Records": [record, record]}).encode()
    outcome = await host.aws.lambdas.function("agent").invoke(event)
    assert outcome.value() == {"batchItemFailures": []}
    _inbox(host).delete(_inbox(host).handle(message))
    host.stage.mapping.enable()
    await _once(host, root)


# -- out of visibility


async def test_success_that_is_reported_after_the_visibility_is_over_is_found_to_be_success(
    tmp_path: Path,
) -> None:
    """Only one function may run: nobody takes the message before the first has reported on it, and its report is refused."""
    mind = Held(1)
    async with CloudHost(tmp_path, mind, concurrency=1) as host:
        host.tools.behaviours["a"] = answering("what a found")
        root = await host.create(ROOT)
        await host.say(ROOT, "begin")
        await host.until(lambda: mind.asked == 1, "request to the model")
        _back(host)
        mind.go_on[0].set()
        await _once(host, root)
        assert _expired(host) == 1
        assert mind.asked == 2


async def test_a_failure_that_is_reported_after_the_visibility_is_over_is_tried_again(tmp_path: Path) -> None:
    gate = Gate()

    async def held_and_refused(attempt: Attempt) -> Reply:
        await gate(attempt)
        return await refused("AccessDeniedException")(attempt)

    async with CloudHost(tmp_path, Held(0), concurrency=1) as host:
        host.tools.behaviours["a"] = answering("what a found")
        root = await host.create(ROOT)
        await host.say(ROOT, "begin")
        # Neither a reply nor the wake in its place can be sent.
        host.aws.faults.add(
            "sqs",
            "*",
            held_and_refused,
            times=2,
            where=lambda request: b"/output.fifo" in request.body or b"/delay" in request.body,
        )
        await gate.arrived()
        _back(host)
        gate.open()
        await _once(host, root, failures=True)


# -- too often


@pytest.mark.trap("L10")
async def test_a_message_that_every_function_dies_of_ends_on_record_and_goes_on_when_they_live(
    tmp_path: Path,
) -> None:
    async with CloudHost(tmp_path, Script().when("begin").say("all done"), receives=3) as host:
        root = await host.create(ROOT)
        host.stage.arm(*[("loaded", 1)] * 3)
        await host.say(ROOT, "begin")
        await host.until(lambda: host.stage.mapping.failures == 3, "third death")
        await host.until(lambda: not host.stage.queued() and not host.stage.busy, "dead letter")
        explained = await host.request("GET", f"/v1/threads/{ROOT}")
        assert "again and again" in str(explained["explanation"]["reasons"])
        host.stage.clock.leap(600)
        outcome = await host.aws.lambdas.function("sweep").invoke(b"{}")
        assert outcome.value() == {"overdue": 1, "woken": 1}
        await root.said("all done")
        await ended(host)
        assert root.turns() == 1
        recovered = await host.request("GET", f"/v1/threads/{ROOT}")
        assert recovered["explanation"]["state"] == "idle"
        codes = [
            json.loads(message.body)["data"].get("code")
            for message in host.aws.sqs.queue(host.stage.output).messages()
        ]
        assert "dead_letter" in codes
