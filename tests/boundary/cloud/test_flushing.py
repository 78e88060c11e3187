"""What a request puts on record besides its message is flushed before it is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.boundary.cloud.functions import TOKEN, Functions

from infinity.api.responses import Health, Response, respond
from infinity.api.route import Route
from infinity.cloud import function_url
from infinity.cloud.effects import current_effects
from infinity.emulator.faults import refused


async def _owing(backend: Any, request: Any) -> Response:
    effects = current_effects()
    effects.wakes["t"] = "cause"
    effects.timers["t", "sleep.x"] = 1_900_000_000_000
    effects.notifications["output.t.1"] = ("output.t.1", "t", b'{"id": "t.1"}')
    return respond(Health("ok", ""))


@pytest.fixture
async def owing(cloud: Functions, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An event for a route that has effects, and nobody who would take it from the queue."""
    monkeypatch.setattr(
        function_url, "routes_of", lambda _: [Route("GET", "/v1/owing", _owing, "Owe", Health)]
    )
    await cloud.hold()
    context = {"http": {"method": "GET", "path": "/v1/owing"}}
    return {"requestContext": context, "headers": {"authorization": f"Bearer {TOKEN}"}}


@pytest.mark.trap("L3")
async def test_wakes_timers_and_words_leave_before_the_answer(
    cloud: Functions, owing: dict[str, Any]
) -> None:
    assert (await function_url.serve(cloud.host, owing))["statusCode"] == 200
    wakes = [json.loads(body) for body in cloud.queued()]
    assert wakes == [
        {"infinity": 1, "wake": "t"},
        {"infinity": 1, "wake": "t", "due": 1_900_000_000_000},
    ]
    [told] = cloud.aws.sqs.queue(cloud.deployment.output).messages()
    assert told.body == '{"id": "t.1"}'


@pytest.mark.trap("L3")
async def test_what_could_not_be_paid_is_no_success(cloud: Functions, owing: dict[str, Any]) -> None:
    rule = cloud.aws.faults.add("sqs", "SendMessage", refused("AccessDenied", status=403))
    assert (await function_url.serve(cloud.host, owing))["statusCode"] == 503
    rule.remove()
    assert (await function_url.serve(cloud.host, owing))["statusCode"] == 200
