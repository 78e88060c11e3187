"""Events of Function URLs, as AWS sends them and as nobody should: each becomes a request or a refusal, never an exception."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity.api.errors import Refused, refusal
from infinity.api.requests import Request
from infinity.api.responses import Response, View, respond
from infinity.cloud.environment import Resources
from infinity.cloud.function_url import EventBody, close_event, open_event, receive, serve
from infinity.errors import BadRequest

EVENT: dict[str, Any] = {
    "version": "2.0",
    "routeKey": "$default",
    "rawPath": "/v1/threads/a%20b",
    "rawQueryString": "after=1&limit=2&after=3&empty=&a=%2B+%C3%A4",
    "cookies": ["a=1"],
    "headers": {"content-type": "application/json", "X-Mixed": "Yes"},
    "requestContext": {
        "http": {"method": "post", "path": "/other"},
        "authorizer": {"iam": {"userArn": "arn"}},
    },
    "body": "eyJhIjogMX0=",
    "isBase64Encoded": True,
}


async def test_an_event_of_lambda_becomes_a_request() -> None:
    request = open_event(EVENT)
    assert (request.method, request.path, request.by_iam) == ("POST", "/v1/threads/a%20b", True)
    assert request.query == {"after": "1", "limit": "2", "empty": "", "a": "+ ä"}
    assert request.headers == {"content-type": "application/json", "x-mixed": "Yes"}
    assert request.body is not None and await request.body.read(100) == b'{"a": 1}'


def test_what_may_be_missing_is_nothing() -> None:
    request = open_event({"requestContext": {"http": {"method": "GET", "path": "/"}}})
    assert request == Request("GET", "/")
    assert request.body is None


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        "text",
        {},
        {"Records": []},
        {"httpMethod": "GET", "path": "/", "requestContext": {}},
        {**EVENT, "requestContext": None},
        {**EVENT, "requestContext": {"http": "GET /"}},
        {**EVENT, "requestContext": {"http": {"method": 5, "path": "/"}}},
        {**EVENT, "rawPath": None},
        {**EVENT, "rawPath": ["/"]},
        {**EVENT, "body": {"a": 1}},
        {**EVENT, "body": 5},
        {**EVENT, "rawQueryString": "&".join(f"a{n}=1" for n in range(500))},
    ],
)
def test_what_is_no_such_event_is_refused(event: Any) -> None:
    with pytest.raises(BadRequest):
        open_event(event)


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("headers", None),
        ("headers", ["a"]),
        ("headers", {"content-type": None, "x": 1, "y": ["z"]}),
        ("rawQueryString", None),
        ("rawQueryString", 7),
        ("rawQueryString", "%ff=%00&&=&;"),
        ("isBase64Encoded", "true"),
        ("cookies", {"a": 1}),
        ("body", None),
    ],
)
def test_what_has_a_wrong_type_counts_as_absent(change: str, value: Any) -> None:
    request = open_event({**EVENT, change: value})
    assert request.method == "POST"
    assert all(isinstance(text, str) for text in request.headers.values())


class TestBodies:
    @pytest.mark.trap("G2")
    @pytest.mark.parametrize("encoded", [False, True])
    async def test_one_of_the_greatest_size_is_read_and_a_byte_more_is_refused(self, encoded: bool) -> None:
        for size in (0, 1, 2, 3, 64, 65, 66, 67, 100):
            data = b"x" * size
            text = base64.b64encode(data).decode() if encoded else data.decode()
            assert await EventBody(text, encoded).read(size) == data
            if size:
                with pytest.raises(Refused) as caught:
                    await EventBody(text, encoded).read(size - 1)
                assert caught.value.status == 413

    @pytest.mark.trap("G2")
    async def test_the_size_is_that_of_the_bytes(self) -> None:
        assert await EventBody("ä" * 10).read(20) == "ä".encode() * 10
        with pytest.raises(Refused):
            await EventBody("ä" * 10).read(19)

    @pytest.mark.trap("G2")
    async def test_what_is_far_too_large_is_refused_before_it_is_decoded(self) -> None:
        with pytest.raises(Refused, match="larger"):
            await EventBody("not base64 at all!" * 100, encoded=True).read(64)

    @pytest.mark.parametrize("text", ["a", "abc", "ab=c", "a b=", "ä", "\ud800", "====", "YQ==YQ=="])
    async def test_what_is_no_base64_is_refused(self, text: str) -> None:
        with pytest.raises(BadRequest, match="base64"):
            await EventBody(text, encoded=True).read(100)

    async def test_what_is_no_unicode_stays_bad_utf_8(self) -> None:
        with pytest.raises(UnicodeDecodeError):
            (await EventBody("\ud800").read(100)).decode()

    @pytest.mark.trap("S9")
    def test_nothing_of_a_request_s_content_is_in_its_repr(self) -> None:
        headers = {"authorization": "Bearer secret"}
        request = Request(
            "POST", "/x", headers=headers, body=EventBody("secret"), parameters={"token": "secret"}
        )
        assert "secret" not in repr(request)


class TestAnswers:
    def test_one_is_what_lambda_takes(self) -> None:
        made = close_event(refusal(429, "limit", "too much"))
        assert made == {
            "statusCode": 429,
            "headers": {"content-type": "application/json", "retry-after": "1"},
            "body": '{"error":{"code":"limit","message":"too much"}}',
            "isBase64Encoded": False,
        }

    @pytest.mark.parametrize("size", [1, 1 << 20, (1 << 20) + 1, 4 << 20])
    def test_a_large_one_is_encoded_so_that_it_grows_by_a_third_only(self, size: int) -> None:
        made = close_event(Response(200, b'"' * size))
        body = made["body"]
        assert (base64.b64decode(body) if made["isBase64Encoded"] else body.encode()) == b'"' * size
        assert len(json.dumps(made)) < 6_000_000

    def test_one_that_lambda_would_not_give_back_is_a_failure_that_says_so(self) -> None:
        made = close_event(Response(200, b"x" * (6 << 20)))
        assert made["statusCode"] == 500 and "larger" in made["body"]

    def test_one_keeps_its_words(self) -> None:
        assert json.loads(close_event(respond(View("text", "ä☃\x00")))["body"]) == {
            "view_type": "text",
            "content": "ä☃\x00",
        }


class Nobody:
    """A host that nothing may be asked of."""

    resources = Resources(api_token="token")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "rawPath": st.text(max_size=30) | _JSON,
        "rawQueryString": st.text(max_size=30) | _JSON,
        "headers": st.dictionaries(st.text(max_size=8), st.text(max_size=8) | _JSON) | _JSON,
        "body": st.text(max_size=30) | _JSON,
        "isBase64Encoded": _JSON,
        "requestContext": st.fixed_dictionaries(
            {
                "http": st.fixed_dictionaries({"method": st.text(max_size=6), "path": st.text(max_size=30)})
                | _JSON
            },
            optional={"authorizer": _JSON},
        )
        | _JSON,
    },
)


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(event=_EVENTS | _JSON)
async def test_any_event_gets_an_answer_of_the_known_shape(event: Any) -> None:
    for function in (receive, serve):
        made = await function(Nobody(), event)  # type: ignore[arg-type]
        assert 400 <= made["statusCode"] < 500
        error = json.loads(made["body"])["error"]
        assert error["code"] and error["message"]
        assert not made["isBase64Encoded"]
