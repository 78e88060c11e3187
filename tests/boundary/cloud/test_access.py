"""Who gets in, which function serves what, and that neither says more than it must."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]
from tests.boundary.cloud.functions import TOKEN, Functions

from infinity.cloud.environment import Resources
from infinity.cloud.function_url import serve

pytestmark = pytest.mark.trap("S1")


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:5]}",
        "Bearer ☃",
        "Bearer \ud800",
        f"Bearer {TOKEN},Bearer {TOKEN}",
    ],
)
async def test_without_the_token_nothing_under_v1_answers(
    cloud: Functions, authorization: str | None
) -> None:
    for method, path in (("GET", "/v1/threads"), ("POST", "/v1/threads"), ("GET", "/v1/toolsets")):
        event = asked(method, path, {} if authorization is None else {"authorization": authorization})
        answer = await serve(cloud.host, event)
        assert answer["statusCode"] == 401 and answer["headers"]["www-authenticate"] == "Bearer"
        assert TOKEN not in answer["body"]
    assert (await cloud.get("/v1/threads")).body["threads"] == []


async def test_the_scheme_of_a_token_may_be_spelt_in_any_case(cloud: Functions) -> None:
    event = asked("GET", "/v1/threads", {"Authorization": f"bearer {TOKEN}"})
    assert (await serve(cloud.host, event))["statusCode"] == 200


async def test_what_holds_no_content_needs_no_token(cloud: Functions) -> None:
    for path in ("/healthz", "/openapi.json"):
        assert (await cloud.get(path, headers={"Authorization": "none"})).status == 200


def asked(method: str, path: str, headers: Mapping[str, str], authorizer: object = None) -> dict[str, Any]:
    context: dict[str, Any] = {"http": {"method": method, "path": path}}
    if authorizer is not None:
        context["authorizer"] = authorizer
    return {"version": "2.0", "rawPath": path, "headers": dict(headers), "requestContext": context}


class TestWithoutAToken:
    @pytest.fixture(autouse=True)
    def no_token(self, cloud: Functions, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cloud.host, "resources", Resources(public_url=cloud.url))

    @pytest.mark.parametrize(
        "authorizer",
        [None, {}, {"iam": None}, {"iam": {}}, {"iam": "yes"}, {"jwt": {"sub": "me"}}, "iam", []],
    )
    async def test_a_url_that_iam_does_not_guard_lets_nobody_in(
        self, cloud: Functions, authorizer: object
    ) -> None:
        for headers in ({}, {"authorization": "Bearer "}, {"authorization": "Bearer x"}):
            answer = await serve(cloud.host, asked("GET", "/v1/threads", headers, authorizer))
            assert answer["statusCode"] == 401
            assert "INFINITY_API_TOKEN" in answer["body"] and "AWS_IAM" in answer["body"]

    async def test_whoever_iam_lets_through_is_in(self, cloud: Functions) -> None:
        guarded = (await cloud.aws.lambdas.url("api", "AWS_IAM")) + "v1/threads"
        keys = cloud.aws.credentials
        request = AWSRequest("GET", guarded)
        SigV4Auth(Credentials(keys.access_key, keys.secret_key), "lambda", cloud.aws.region).add_auth(request)
        async with aiohttp.ClientSession() as session:
            async with session.get(guarded, headers=dict(request.headers)) as response:
                assert response.status == 200 and await response.json() == {"threads": [], "next": None}
            async with session.get(guarded) as response:
                assert response.status == 403


async def test_the_receiver_serves_callbacks_and_its_health_and_nothing_else(cloud: Functions) -> None:
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
        for method, path, status in (
            ("GET", "/healthz", 200),
            ("GET", "/v1/threads", 404),
            ("POST", "/v1/threads", 404),
            ("GET", "/openapi.json", 404),
            ("POST", "/callback/x", 403),
        ):
            async with session.request(method, cloud.url + path) as response:
                assert response.status == status, path
    assert (await cloud.ask("POST", "/v1/callback/x")).status == 404


async def test_errors_have_one_shape_everywhere(cloud: Functions) -> None:
    missing = await cloud.get("/v1/nothing")
    assert (missing.status, missing.code) == (404, "no_route")
    method = await cloud.ask("DELETE", "/v1/threads")
    assert (method.status, method.code) == (405, "method")
    assert method.headers["Allow"] == "GET, POST"
    for answer in (missing, method):
        assert set(answer.body) == {"error"} and answer.body["error"]["message"]


@pytest.mark.trap("S9")
async def test_the_log_holds_ids_and_sizes_only(
    tooled: Functions, server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "infinity")
    thread = await tooled.thread("/call build {}")
    invocation = await server.invoked()
    body = {"type": "tool_result", "group_id": thread, "id": invocation.id, "text": "the-secret-result"}
    token = invocation.callback_url.rpartition("/")[2]
    assert (await tooled.post(f"/callback/{token}", body)).status == 200
    assert (await tooled.post(f"/callback/{token}", {"type": "the-secret-type"})).status == 400
    await tooled.post(f"/v1/threads/{thread}/messages", {"content": "the-secret-message"})
    await tooled.said(thread, "the-secret-message")
    assert invocation.id in caplog.text
    for secret in ("the-secret", token, TOKEN):
        assert secret not in caplog.text


async def test_many_at_once_are_all_answered(cloud: Functions) -> None:
    answers = await asyncio.gather(*(cloud.post("/v1/threads", {"id": f"t{number}"}) for number in range(30)))
    assert {answer.status for answer in answers} == {201}
    same = await asyncio.gather(*(cloud.post("/v1/threads", {"id": "same"}) for _ in range(10)))
    assert {answer.status for answer in same} <= {200, 201} and 201 in {answer.status for answer in same}
