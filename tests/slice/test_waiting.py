"""Sleeping: durable, woken by time or by whatever comes first, at no cost."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from tests.slice.scenes import World

from infinity.testing.replies import call, say, texts
from infinity.testing.tool_server import ToolServer
from infinity.tools.times import BadTime, local_instant

DAYS = 24 * 3600


async def test_a_three_day_sleep_ends_after_three_days(world: World) -> None:
    world.model.then(call(("sleep", {"seconds": 3 * DAYS})), say("good morning"))
    thread = await world.thread("sleep three days")
    await world.noted(thread, "slice")
    await world.settled(thread)
    world.clock.advance(3 * DAYS - 1)
    await world.settled(thread)
    assert len(world.model.requests) == 1
    world.clock.advance(1)
    await world.said(thread, "good morning")


@pytest.mark.trap("L14", "L15")
async def test_a_sleep_that_ended_while_nobody_ran_wakes_at_the_start(world: World) -> None:
    world.model.then(call(("sleep", {"seconds": DAYS})), say("overslept"))
    thread = await world.thread("sleep")
    await world.noted(thread, "slice")
    await world.settled(thread)
    await world.runtime.timers.stop()
    world.clock.advance(5 * DAYS)
    await world.restart()
    await world.said(thread, "overslept")


async def test_talking_to_a_sleeper_detaches_its_sleep_which_ends_as_an_event(world: World) -> None:
    world.model.then(call(("sleep", {"seconds": DAYS})), say("yes?"), say("now I slept"))
    thread = await world.thread("sleep")
    await world.noted(thread, "slice")
    await world.runtime.send(thread, "are you awake?")
    await world.said(thread, "yes?")
    world.clock.advance(DAYS + 1)
    await world.said(thread, "now I slept")
    assert "receive_event__injected" in str(world.model.requests[-1]["messages"][-2])


async def test_sleep_until_event_or_input_is_answered_by_input(world: World) -> None:
    world.model.then(call(("sleep_until_event_or_input", {})), say("awake"))
    thread = await world.thread("sleep")
    await world.noted(thread, "slice")
    await world.runtime.send(thread, "wake up")
    await world.said(thread, "awake")
    assert [block["type"] for block in world.model.requests[1]["messages"][-1]["content"]] == [
        "tool_result",
        "text",  # when it was said
        "text",
    ]


async def test_sleep_until_event_or_input_is_answered_by_a_result_of_its_own_turn(
    tooled: World, server: ToolServer
) -> None:
    tooled.model.then(call(("a", {}), ("sleep_until_event_or_input", {})), say("awake"))
    thread = await tooled.thread("go")
    invocation = await server.invoked()
    await server.answer(invocation.id, text="42")
    await tooled.said(thread, "awake")
    assert "42" in texts(tooled.model.requests[1]["messages"][-1])


async def test_an_error_beside_a_sleep_is_told_at_once(world: World) -> None:
    world.model.then(call(("no_such_tool", {}), ("sleep_until_event_or_input", {})), say("I see"))
    thread = await world.thread("go")
    await world.said(thread, "I see")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"date": "2027-13-01", "time": "10:00", "timezone": "UTC"}, "2027-13-01"),
        ({"date": "2027-01-20", "time": "25:00", "timezone": "UTC"}, "25:00"),
        ({"date": "2027-01-20", "time": "10:00", "timezone": "Mars/Olympus"}, "Mars/Olympus"),
        ({"date": "2027-01-20", "time": "10:00+01:00", "timezone": "UTC"}, "offset"),
        ({"date": "2027-01-20"}, "time"),
        ({"date": "2030-01-20", "time": "10:00", "timezone": "UTC"}, "year"),
        ({"date": "2020-01-20", "time": "10:00", "timezone": "UTC"}, "past"),
    ],
)
async def test_a_time_that_cannot_be_slept_until_is_answered_at_once(
    world: World, arguments: dict[str, str], part: str
) -> None:
    world.model.then(call(("sleep_until", arguments)), say("noted"))
    thread = await world.thread("go")
    await world.said(thread, "noted")
    assert part in texts(world.model.requests[1]["messages"][-1])


async def test_sleep_until_wakes_at_the_local_time(world: World) -> None:
    arguments = {"date": "2027-01-16", "time": "09:00", "timezone": "Europe/Berlin"}
    world.model.then(call(("sleep_until", arguments)), say("nine o'clock"))
    thread = await world.thread("go")
    await world.noted(thread, "slice")
    await world.settled(thread)
    due = datetime(2027, 1, 16, 9, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
    world.clock.advance(due - world.clock.now() / 1000 - 1)
    await world.settled(thread)
    assert len(world.model.requests) == 1
    world.clock.advance(1)
    await world.said(thread, "nine o'clock")


def test_an_ambiguous_time_is_the_first_and_a_missing_one_lies_after_the_change() -> None:
    first = local_instant("2026-10-25", "02:30", "Europe/Berlin")
    assert datetime.fromtimestamp(first / 1000, UTC) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    missing = local_instant("2026-03-29", "02:30", "Europe/Berlin")
    assert datetime.fromtimestamp(missing / 1000, UTC) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    with pytest.raises(BadTime, match="IANA"):
        local_instant("2026-03-29", "02:30", "../etc/passwd")
