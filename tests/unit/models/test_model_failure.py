"""Errors by status and type; their text is for people."""

from __future__ import annotations

import msgspec
import pytest

from infinity import errors
from infinity.models import failure
from infinity.models.events import Failure

NONE: dict[str, str] = {}


def answer(kind: str, message: str = "because") -> bytes:
    return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": message}})


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (400, "invalid_request_error", errors.InvalidModelRequest),
        (401, "authentication_error", errors.ModelAuthentication),
        (402, "billing_error", errors.ModelAuthentication),
        (403, "permission_error", errors.ModelAuthentication),
        (404, "not_found_error", errors.InvalidModelRequest),
        (408, "timeout_error", errors.ModelUnavailable),
        (409, "conflict_error", errors.ModelUnavailable),
        (413, "request_too_large", errors.ContextTooLong),
        (418, "invalid_request_error", errors.InvalidModelRequest),
        (429, "rate_limit_error", errors.RateLimited),
        (500, "api_error", errors.ModelUnavailable),
        (502, "", errors.ModelUnavailable),
        (503, "", errors.ModelUnavailable),
        (504, "timeout_error", errors.ModelUnavailable),
        (529, "overloaded_error", errors.Overloaded),
    ],
)
def test_every_status_has_its_error(status: int, kind: str, expected: type[errors.ModelError]) -> None:
    error = failure.from_response(status, answer(kind), {"request-id": "req_1"})
    assert type(error) is expected
    assert error.status == status
    assert "because" in str(error) and "req_1" in str(error)


@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b"[]", b'{"error": "text"}'])
def test_an_answer_that_is_no_json_still_has_its_status(body: bytes) -> None:
    error = failure.from_response(502, body, NONE)
    assert type(error) is errors.ModelUnavailable
    assert "HTTP 502" in str(error)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("overloaded_error", errors.Overloaded),
        ("rate_limit_error", errors.RateLimited),
        ("api_error", errors.ModelUnavailable),
        ("timeout_error", errors.ModelUnavailable),
        ("something_new", errors.ModelUnavailable),
        ("authentication_error", errors.ModelAuthentication),
        ("invalid_request_error", errors.InvalidModelRequest),
    ],
)
def test_an_error_inside_a_stream_is_told_by_its_type(kind: str, expected: type[errors.ModelError]) -> None:
    error = failure.from_event(Failure(kind, "because"), NONE)
    assert type(error) is expected
    assert error.status is None


@pytest.mark.parametrize(
    "message",
    [
        "prompt is too long: 205668 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 182831 + 64000 > 200000, decrease input length",
    ],
)
def test_a_prompt_beyond_the_window_is_told_by_its_words_alone(message: str) -> None:
    error = failure.from_response(400, answer("invalid_request_error", message), NONE)
    assert type(error) is errors.ContextTooLong


def test_those_words_mean_nothing_under_another_status() -> None:
    error = failure.from_response(429, answer("rate_limit_error", "prompt is too long"), NONE)
    assert type(error) is errors.RateLimited


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        (
            {"retry-after": "Mon, 23 Nov 2026 10:00:30 GMT", "date": "Mon, 23 Nov 2026 10:00:00 GMT"},
            30.0,
        ),
        (
            {"retry-after": "Mon, 23 Nov 2026 09:00:00 GMT", "date": "Mon, 23 Nov 2026 10:00:00 GMT"},
            0.0,
        ),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after-ms": "many"}, None),
    ],
)
def test_the_wait_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert failure.retry_after(headers) == seconds
    assert failure.from_response(429, answer("rate_limit_error"), headers).retry_after == seconds


def test_a_date_without_the_servers_own_is_compared_with_our_clock() -> None:
    wait = failure.retry_after({"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"})
    assert wait is not None and wait > 1_000_000


def test_a_long_text_is_cut() -> None:
    assert len(str(failure.from_response(400, answer("invalid_request_error", "x" * 10_000), NONE))) < 700
