"""Time on the cloud host: the delay queue up to 15 minutes, schedules beyond, and the sweep for what gets lost."""

from __future__ import annotations

import pytest
from tests.cloud.world import CloudWorld

from infinity.message import Action
from infinity.testing.replies import call, say
from infinity.testing.tool_server import ToolServer, failing

DAYS = 24 * 3600
MINUTE = 60


def schedules(world: CloudWorld) -> list[str]:
    return [schedule.name for schedule in world.deployment.aws.scheduler.schedules()]


@pytest.mark.trap("L14")
async def test_a_three_day_sleep_ends_within_the_minute_after_three_days_and_never_earlier(
    world: CloudWorld,
) -> None:
    world.model.then(call(("sleep", {"seconds": 3 * DAYS})), say("good morning"))
    thread = await world.thread("sleep three days")
    await world.settled(thread)
    assert len(schedules(world)) == 1
    world.clock.pass_time(3 * DAYS - 1)
    await world.settled(thread)
    assert len(world.model.requests) == 1
    world.clock.pass_time(MINUTE + 1)
    await world.said(thread, "good morning")
    await world.settled(thread)
    assert schedules(world) == [], "it deletes itself"


async def test_a_short_sleep_takes_the_delay_queue_and_ends_to_the_second(world: CloudWorld) -> None:
    world.model.then(call(("sleep", {"seconds": 600})), say("that was short"))
    thread = await world.thread("sleep ten minutes")
    await world.settled(thread)
    assert schedules(world) == []
    world.clock.pass_time(599)
    await world.settled(thread)
    assert len(world.model.requests) == 1
    world.clock.pass_time(2)
    await world.said(thread, "that was short")


async def test_the_schedule_of_a_timer_that_is_taken_back_goes_off_for_nothing(world: CloudWorld) -> None:
    world.model.then(call(("sleep", {"seconds": 3 * DAYS})))
    thread = await world.thread("sleep")
    await world.settled(thread)
    assert len(schedules(world)) == 1
    await world.runtime.control(thread, Action.INTERRUPT)
    await world.settled(thread)
    asked = len(world.model.requests)
    world.clock.pass_time(3 * DAYS + MINUTE)
    await world.until(lambda: schedules(world) == [])
    await world.settled(thread)
    assert len(world.model.requests) == asked


async def test_a_call_past_its_deadline_is_answered_with_an_error(
    tooled: CloudWorld, server: ToolServer
) -> None:
    tooled.model.then(call(("a", {})), say("too late"))
    thread = await tooled.thread("go")
    invocation = await server.invoked()
    await tooled.settled(thread)
    tooled.clock.pass_time(tooled.settings.timeouts.call + MINUTE + 1)
    await tooled.said(thread, "too late")
    assert await server.answer(invocation.id, text="finally") == 409


@pytest.mark.rap("INV-5", "INV-7", "INV-8")
@pytest.mark.trap("L14")
async def test_a_failing_tool_server_is_tried_again_by_later_invocations_under_the_same_id(
    tooled: CloudWorld, server: ToolServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infinity.cloud.batch.PATIENCE", 0.2)
    server.behaviours["a"] = failing(503)
    tooled.model.then(call(("a", {})), say("it is down"))
    thread = await tooled.thread("go")
    tries = tooled.settings.retries.dispatch

    async def told() -> bool:
        if tooled.deployment.idle():
            tooled.clock.pass_time(61)
        return len(tooled.model.requests) == 2

    await tooled.until(told)
    await tooled.said(thread, "it is down")
    assert len({each.id for each in server.invocations}) == 1
    # A try whose answer does not come before its function ends is not counted, on a machine that is busy.
    assert tries <= len(server.invocations) <= 2 * tries


@pytest.mark.trap("L15")
async def test_a_schedule_that_was_lost_is_made_good_by_the_sweep(world: CloudWorld) -> None:
    world.model.then(call(("sleep", {"seconds": DAYS})), say("overslept"))
    thread = await world.thread("sleep")
    await world.settled(thread)
    for timer in await world.store.timers(thread):
        await world.client.alarms.forget(thread, timer.due_at)
    assert schedules(world) == []
    world.clock.pass_time(DAYS + 10 * MINUTE)
    await world.settled(thread)
    assert len(world.model.requests) == 1, "nobody was there to wake it"
    assert await world.deployment.sweep() == {"overdue": 1, "woken": 1}
    await world.said(thread, "overslept")
    await world.settled(thread)
    assert await world.deployment.sweep() == {"overdue": 0, "woken": 0}


async def test_the_sweep_lets_alone_what_is_only_waiting(tooled: CloudWorld, server: ToolServer) -> None:
    tooled.model.then(call(("a", {}), ("sleep", {"seconds": DAYS})))
    thread = await tooled.thread("go")
    await server.invoked()
    await tooled.settled(thread)
    tooled.clock.pass_time(20 * MINUTE)
    assert await tooled.deployment.sweep() == {"overdue": 0, "woken": 0}
