"""The order of a thread's messages is known however long its slices fail, and however many of them are dead (THR-1)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.cloud.world import CloudWorld

from infinity._core import Message
from infinity.cloud import envelope, order
from infinity.cloud.groups import Group
from infinity.cloud.hints import Order
from infinity.message import Kind, UserText, encode
from infinity.stores.postgres.queues import AT_ONCE
from infinity.testing.replies import say

DEAD = 10


def _text(thread: str, id: str) -> Message:
    return Message(
        thread, id, Kind.USER, encode(UserText(content=[{"type": "text", "text": f"<{id}>"}])), accepted_at=1
    )


def _record(thread: str, id: str, body: str, receives: int = 2) -> dict[str, Any]:
    return {
        "messageId": f"record-{id}",
        "body": body,
        "messageAttributes": {},
        "attributes": {"MessageGroupId": thread, "ApproximateReceiveCount": str(receives)},
    }


def _said(thread: str, id: str, receives: int = 2) -> dict[str, Any]:
    return _record(thread, id, envelope.seal(_text(thread, id)), receives)


async def _look(world: CloudWorld, *records: dict[str, Any]) -> Group:
    group = Group("t", list(records))
    await order.look(world.client.hints, [group])
    return group


@pytest.mark.rap("THR-1")
async def test_wakes_of_a_thread_that_fails_for_days_drive_out_no_message(world: CloudWorld) -> None:
    """They and the messages are dead, and gone from the queue; what comes next is told of the messages."""
    dead = [f"m{number}" for number in range(DEAD)]
    await _look(world, *(_said("t", id) for id in dead))
    for number in range(2 * order.LONGEST):
        await _look(world, _record("t", f"w{number}", envelope.wake("t")))
    group = await _look(world, _said("t", "last", receives=1))
    assert list(group.ahead) == dead


@pytest.mark.rap("THR-1")
async def test_a_wake_that_is_left_keeps_its_place(world: CloudWorld) -> None:
    """What stands behind it is in the queue still, and is not waited for."""
    wake = _record("t", "w", envelope.wake("t"))
    await _look(world, _said("t", "m0"), wake, _said("t", "m1"))
    assert (await _look(world, wake, _said("t", "m1"), _said("t", "m2"))).ahead == ("m0",)
    assert (await _look(world, wake)).ahead == ("m0",)


@pytest.mark.rap("THR-1")
def test_dead_letters_whose_order_is_forgotten_come_first_as_well() -> None:
    inbox = [_text("t", f"m{number}") for number in range(DEAD + 1)]
    group = Group("t", ahead=tuple(f"m{number}" for number in range(5, DEAD)))
    merged = order.merge(group, inbox, [_text("t", "early")], [_text("t", "late")])
    assert [message.id for message in merged] == [
        *(f"m{number}" for number in range(DEAD)),
        "early",
        f"m{DEAD}",
        "late",
    ]


@pytest.mark.rap("THR-1")
async def test_more_dead_letters_than_one_slice_takes_come_before_what_was_said_later(
    world: CloudWorld,
) -> None:
    await world.deployment.pause()
    host = world.client
    await world.runtime.create(id="t")
    dead = [f"m{number}" for number in range(AT_ONCE + 2)]
    for id in dead:
        await host.store.keep(_text("t", id))
    known = Order(tuple((f"record-{id}", id) for id in dead[-order.LONGEST :]))
    await host.hints.put_order({"t": known})
    world.model.then(*[say("I see")] * 4)
    await world.runtime.send("t", "the last one")
    world.deployment.resume()

    def through() -> bool:
        """What comes back after a rest has it behind it as soon as nothing runs."""
        if world.deployment.idle("t"):
            return True
        if not world.deployment.aws.lambdas.busy:
            world.clock.pass_time(1)
        return False

    await world.until(through)
    heard = json.dumps(world.model.requests[-1]["messages"])
    places = [heard.index(text) for text in (*(f"<{id}>" for id in dead), "the last one")]
    assert places == sorted(places)
