"""The agent is told the time: with what people say, with events and with wakes; and every row of the event stream says when (M6)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.slice.scenes import World

from infinity import Agent
from infinity._core import Message
from infinity.abc import Expect
from infinity.errors import ConfigError
from infinity.feed import event_data
from infinity.message import Kind, UserText, encode
from infinity.stamps import check_zone, is_stamp, stamp
from infinity.testing.replies import call, say
from infinity.testing.tool_server import ToolServer

pytestmark = pytest.mark.trap("M6")

ZERO = 1_767_225_600_000
"""2026-01-01 00:00:00 UTC, a Thursday."""


def _stamps(message: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for block in message["content"]:
        parts = block["content"] if block["type"] == "tool_result" else [block]
        found += [part["text"] for part in parts if is_stamp(part)]
    return found


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("UTC", "(time: Thu 2026-01-01 00:00:00 UTC)"),
        ("Asia/Kolkata", "(time: Thu 2026-01-01 05:30:00 Asia/Kolkata,UTC+05:30)"),
        ("America/New_York", "(time: Wed 2025-12-31 19:00:00 America/New_York,UTC-05:00)"),
    ],
)
def test_a_stamp_names_day_time_and_zone(zone: str, text: str) -> None:
    made = stamp(ZERO, zone)
    assert made == {"type": "text", "text": text} and is_stamp(made)


def test_what_is_no_zone_is_refused() -> None:
    assert check_zone("") == "" and check_zone("Europe/Berlin") == "Europe/Berlin"
    for zone in ("Middle/Earth", "../etc/passwd", "/etc/localtime"):
        with pytest.raises(ConfigError, match="is not an IANA time zone"):
            check_zone(zone)


async def test_a_text_says_when_it_was_accepted_and_is_never_written_again(world: World) -> None:
    world.model.then(say("one"), say("two"))
    first = stamp(world.clock.now(), "UTC")["text"]
    thread = await world.thread("hello")
    await world.said(thread, "one")
    await world.settled(thread)
    world.clock.advance(3_600)
    await world.runtime.send(thread, "and now?")
    await world.said(thread, "two")
    one, two = world.model.requests
    (said,) = [message for message in one["messages"] if first in _stamps(message)]
    # A block of its own, and the same bytes in each later request: the prompt cache holds.
    assert {"type": "text", "text": "hello"} in [dict(list(block.items())[:2]) for block in said["content"]]
    assert first in str(two["messages"][0])
    assert _stamps(two["messages"][-1]) == [stamp(world.clock.now(), "UTC")["text"]]


async def test_the_time_is_that_of_acceptance_and_not_that_of_reading(world: World) -> None:
    thread = await world.runtime.create()
    world.model.then(say("read"))
    body = encode(UserText(content=[{"type": "text", "text": "from long ago"}]))
    queued = Message(thread, "message.early", Kind.USER, body, accepted_at=ZERO)
    accepted = await world.store.accept(queued, Expect.ANY, None)
    assert accepted.message is not None
    world.mailbox.put([accepted.message])
    await world.said(thread, "read")
    assert _stamps(world.model.requests[-1]["messages"][-1]) == [stamp(ZERO, "UTC")["text"]]


async def test_events_and_late_results_say_when_they_came(tooled: World, server: ToolServer) -> None:
    tooled.model.then(call(("a", {})), say("listening"), say("seen"))
    thread = await tooled.thread("watch")
    await server.invoked()
    id = server.invocations[0].id
    await server.answer(id, text="watching", subscription=True)
    await tooled.said(thread, "listening")
    await tooled.settled(thread)
    tooled.clock.advance(5_000)
    await server.event(id, text="news", associative=True)
    await tooled.said(thread, "seen")
    assert _stamps(tooled.model.requests[-1]["messages"][-1]) == [stamp(tooled.clock.now(), "UTC")["text"]]


async def test_one_that_wakes_is_told_the_time(world: World) -> None:
    world.model.then(call(("sleep", {"seconds": 7_200})), say("awake"))
    thread = await world.thread("sleep")
    await world.event(thread, lambda event, _: event.kind == "slice")
    await world.settled(thread)
    world.clock.advance(7_201)
    await world.said(thread, "awake")
    assert _stamps(world.model.requests[-1]["messages"][-1]) == [stamp(world.clock.now(), "UTC")["text"]]


async def test_the_zone_is_a_setting_and_nothing_is_told_without_one(open_world: Any) -> None:
    world = await open_world(agent=Agent(timezone="")).start()
    world.model.then(say("one"))
    await world.said(await world.thread("hello"), "one")
    assert "(time: " not in str(world.model.requests[0]["messages"])
    await world.close()


async def test_a_tool_tells_the_time(world: World) -> None:
    asked = call(
        ("current_time", {"timezone": "Asia/Kolkata"}), ("current_time", {"timezone": "Middle/Earth"})
    )
    world.model.then(asked, say("I see"))
    await world.said(await world.thread("what time is it?"), "I see")
    right, wrong = [
        block["content"][0]["text"] for block in world.model.requests[-1]["messages"][-1]["content"]
    ]
    assert right.startswith("It is 20") and "IST" in right
    assert wrong.startswith("Error: ") and "is not an IANA time zone" in wrong


async def test_every_row_of_the_event_stream_says_when(tooled: World, server: ToolServer) -> None:
    tooled.model.then(call(("a", {})), say("done"))
    thread = await tooled.thread("go")
    await server.invoked()
    await server.choice(server.invocations[0].id, prompt="May I?", choices=["yes", "no"], default=1)
    await tooled.noted(thread, "prompt")
    await server.answer(server.invocations[0].id, text="fine")
    await tooled.said(thread, "done")
    await tooled.settled(thread)
    rows = await tooled.store.feed(thread)
    found = {row.kind: msgspec.json.decode(event_data(row)).get("at") for row in rows}
    assert {"entry", "call", "prompt", "prompt_closed", "call_ended", "slice"} <= found.keys()
    assert all(at is not None and abs(at - tooled.clock.now()) < 60_000 for at in found.values()), found
