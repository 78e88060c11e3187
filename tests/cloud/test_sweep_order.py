"""The sweep: threads that stay overdue keep nobody else waiting, and what fails in one part of it is no reason to leave out the other."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from tests.cloud.world import CloudWorld

from infinity._core import Message
from infinity.api.backend import Backend, Part
from infinity.api.requests import Request
from infinity.api.responses import Response
from infinity.api.route import Route
from infinity.cloud import function_url, sweep
from infinity.cloud.effects import current_effects
from infinity.cloud.sweep import ENOUGH, wake_overdue
from infinity.errors import BadRequest, StoreError
from infinity.message import Kind, UserText, encode

OVERDUE = [f"t{number}" for number in range(7)]


def _time_for(wakes: int) -> Callable[[], float]:
    """So many groups of wakes are sent before the time is over."""
    left = [ENOUGH] * wakes + [0.0]
    return lambda: left.pop(0) if len(left) > 1 else left[0]


async def _woken(world: CloudWorld) -> list[str]:
    """Whom the queue has a wake for; it is empty then."""
    queue = world.deployment.aws.sqs.queue(world.client.inbox_queue.url)
    found = [json.loads(message.body)["wake"] for message in queue.messages()]
    queue.purge()
    return found


@pytest.fixture
async def overdue(world: CloudWorld, monkeypatch: pytest.MonkeyPatch) -> CloudWorld:
    """Nobody takes what the queue has, and each of the threads has a message that was kept an hour ago."""
    monkeypatch.setattr(sweep, "TOGETHER", 2)
    monkeypatch.setattr(sweep, "PAGE", 3)
    await world.deployment.pause()
    said = encode(UserText(content=[{"type": "text", "text": "hello"}]))
    for thread in OVERDUE:
        await world.runtime.create(id=thread)
        await world.client.store.keep(
            Message(thread, f"m-{thread}", Kind.USER, said, accepted_at=world.clock.now())
        )
    world.clock.pass_time(3600)
    return world


@pytest.mark.trap("L15")
async def test_a_sweep_goes_on_behind_the_thread_at_which_the_last_one_ran_out_of_time(
    overdue: CloudWorld,
) -> None:
    host = overdue.client
    rounds = []
    for _ in range(4):
        await wake_overdue(host, _time_for(2))
        rounds.append(await _woken(overdue))
    # All of them stay overdue: each gets its turn all the same.
    assert rounds[0] == ["t0", "t1", "t2"]
    assert {thread for woken in rounds[:3] for thread in woken} == set(OVERDUE)
    assert await wake_overdue(host, lambda: 60.0) == {"overdue": 7, "woken": 7}
    assert sorted(await _woken(overdue)) == OVERDUE
    assert await host.store.sweep_place() == ""


async def test_deletions_that_fail_keep_no_thread_from_being_woken(
    overdue: CloudWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> list[str]:
        raise StoreError("the database is busy")

    monkeypatch.setattr(overdue.client.store, "deletions", fail)
    with pytest.raises(StoreError, match="busy"):
        await wake_overdue(overdue.client, lambda: 60.0)
    assert await _woken(overdue) == OVERDUE


@pytest.mark.trap("L15")
async def test_a_request_that_is_refused_after_its_message_was_durable_wakes_its_thread_all_the_same(
    overdue: CloudWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handler(backend: Backend, request: Request) -> Response:
        current_effects().wakes["t3"] = "a message that is on record"
        raise BadRequest("and something else was wrong with the request")

    event = {"requestContext": {"http": {"method": "POST"}}, "rawPath": "/callback"}
    route = Route("POST", "/callback", handler, "", None, Part.RECEIVER)
    monkeypatch.setattr(function_url, "routes_of", lambda _: [route])
    assert (await function_url.receive(overdue.client, event))["statusCode"] == 400
    assert await _woken(overdue) == ["t3"]
