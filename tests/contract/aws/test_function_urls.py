"""Function URLs: what a function gets of a request, and what becomes of its answer."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from tests.contract.aws.backends import REGION, Aws
from yarl import URL

MEBIBYTE = 1 << 20


class Stage:
    def __init__(self, aws: Aws, session: aiohttp.ClientSession) -> None:
        assert aws.emulator is not None
        self.aws = aws
        self.emulator = aws.emulator
        self.session = session
        self.events: list[dict[str, Any]] = []
        self.answer: Any = {"statusCode": 204}
        self.url = ""

    async def open(self, auth: Any = "NONE") -> str:
        async def handler(event: Any, _: Any) -> Any:
            self.events.append(event)
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

        self.emulator.lambdas.create("function", handler)
        self.url = await self.emulator.lambdas.url("function", auth)
        return self.url

    async def ask(self, path: str = "", method: str = "POST", **more: Any) -> tuple[int, bytes, Any]:
        async with self.session.request(method, URL(self.url + path, encoded=True), **more) as response:
            return response.status, await response.read(), response


@pytest.fixture
async def stage(aws: Aws) -> AsyncIterator[Stage]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        made = Stage(aws, session)
        await made.open()
        yield made


async def test_a_request_becomes_an_event_of_format_2(stage: Stage) -> None:
    await stage.ask(
        "a/b%20c?x=1&y=%C3%A4",
        headers={"Content-Type": "application/json", "X-Custom": "Value", "Cookie": "one=1; two=2"},
        data=b'{"a": 1}',
    )
    [event] = stage.events
    assert (event["version"], event["routeKey"]) == ("2.0", "$default")
    assert (event["rawPath"], event["rawQueryString"]) == ("/a/b%20c", "x=1&y=%C3%A4")
    assert event["queryStringParameters"] == {"x": "1", "y": "ä"}
    assert event["cookies"] == ["one=1", "two=2"]
    assert event["headers"]["x-custom"] == "Value" and "cookie" not in event["headers"]
    assert (event["body"], event["isBase64Encoded"]) == ('{"a": 1}', False)
    assert event["requestContext"]["http"]["method"] == "POST"
    assert event["requestContext"]["http"]["sourceIp"] == "127.0.0.1"
    assert f"http://{event['requestContext']['domainName']}/" == stage.url


@pytest.mark.parametrize(
    "kind", ["application/octet-stream", "image/png", "application/json; charset=latin-1"]
)
async def test_a_body_that_is_not_text_is_base64(stage: Stage, kind: str) -> None:
    await stage.ask(headers={"Content-Type": kind}, data=b"\xff\0")
    [event] = stage.events
    assert event["isBase64Encoded"] and base64.b64decode(event["body"]) == b"\xff\0"


async def test_a_request_without_a_body_has_none(stage: Stage) -> None:
    await stage.ask(method="GET")
    assert "body" not in stage.events[0]


async def test_an_answer_says_status_headers_cookies_and_body(stage: Stage) -> None:
    stage.answer = {
        "statusCode": 201,
        "headers": {"Content-Type": "text/plain", "X-Custom": "v"},
        "cookies": ["a=1; HttpOnly", "b=2"],
        "body": "made",
    }
    status, body, response = await stage.ask()
    assert (status, body) == (201, b"made")
    assert response.headers["X-Custom"] == "v" and response.content_type == "text/plain"
    assert response.headers.getall("Set-Cookie") == ["a=1; HttpOnly", "b=2"]


async def test_an_answer_may_be_bytes(stage: Stage) -> None:
    body = base64.b64encode(b"\xff\0").decode()
    stage.answer = {"statusCode": 200, "body": body, "isBase64Encoded": True}
    assert (await stage.ask())[:2] == (200, b"\xff\0")


@pytest.mark.parametrize(("answer", "body"), [({"a": 1}, b'{"a": 1}'), ("text", b'"text"'), (None, b"null")])
async def test_an_answer_without_a_status_is_the_body(stage: Stage, answer: Any, body: bytes) -> None:
    stage.answer = answer
    status, found, response = await stage.ask()
    assert (status, found, response.content_type) == (200, body, "application/json")


@pytest.mark.parametrize(
    "answer", [ValueError("x"), {"statusCode": "many"}, {"statusCode": 200, "headers": 7}]
)
async def test_a_function_that_fails_is_a_502(stage: Stage, answer: Any) -> None:
    stage.answer = answer
    assert (await stage.ask())[0] == 502


async def test_a_request_has_six_megabytes_at_most(stage: Stage) -> None:
    kind = {"Content-Type": "text/plain"}
    assert (await stage.ask(headers=kind, data=io.BytesIO(b"x" * (5 * MEBIBYTE))))[0] == 204
    status, body, _ = await stage.ask(headers=kind, data=io.BytesIO(b"x" * (6 * MEBIBYTE)))
    assert status == 413 and b"6291456" in body


async def test_an_answer_has_six_megabytes_at_most(stage: Stage) -> None:
    stage.answer = {"statusCode": 200, "body": "x" * (6 * MEBIBYTE)}
    assert (await stage.ask())[0] == 502


async def test_with_iam_a_request_is_signed_for_lambda(aws: Aws) -> None:
    async with aiohttp.ClientSession() as session:
        stage = Stage(aws, session)
        await stage.open("AWS_IAM")
        assert (await stage.ask(data=b"{}"))[0] == 403
        for service, secret, status in (
            ("lambda", aws.secret, 204),
            ("lambda", "guess", 403),
            ("sqs", aws.secret, 403),
        ):
            request = AWSRequest("POST", f"{stage.url}a/b?x=1", {"Content-Type": "application/json"}, b"{}")
            SigV4Auth(Credentials(aws.key, secret), service, REGION).add_auth(request)
            answer = await stage.ask("a/b?x=1", data=b"{}", headers=dict(request.headers))
            assert answer[0] == status, (service, answer[1])
        [event] = stage.events
        assert event["requestContext"]["authorizer"]["iam"]["accessKey"] == aws.key


async def test_every_path_reaches_the_function_one_with_a_line_break_as_well(stage: Stage) -> None:
    status, _, _ = await stage.ask("a%0Ab/%0E/c")
    assert status == 204 and stage.events[-1]["rawPath"] == "/a%0Ab/%0E/c"
