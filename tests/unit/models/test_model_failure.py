"""Errors by status and type; their text is for people."""

from __future__ import annotations

import msgspec
import pytest

from infinity import errors
from infinity.models import failure, openai_failure
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
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": " "}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e400"}, 1e9),
        ({"retry-after": "9999999999"}, 1e9),
        ({"retry-after": "9" * 400}, 1e9),
        ({"retry-after": "1_000"}, 1000.0),
        ({"retry-after": "7 seconds"}, None),
        ({"retry-after": "²"}, None),
        ({"retry-after": "\x00"}, None),
        ({"retry-after": "Mon, 99 Foo 99999 99:99:99 GMT"}, None),
        ({"retry-after": "Mon, 23 Nov 2026 10:00:30 GMT", "date": "once"}, None),
        (
            {"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT", "date": "Thu, 01 Jan 0001 00:00:00 GMT"},
            1e9,
        ),
        ({"retry-after-ms": "nan"}, None),
        ({"retry-after-ms": "-1"}, 0.0),
        ({"retry-after-ms": "1e999"}, 1e9),
    ],
)
def test_the_wait_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert failure.retry_after(headers) == seconds
    assert failure.from_response(429, answer("rate_limit_error"), headers).retry_after == seconds


def test_a_date_without_the_servers_own_is_compared_with_our_clock() -> None:
    wait = failure.retry_after({"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"})
    assert wait is not None and wait > 1_000_000


TOO_LONG = (
    "This model's maximum context length is 8192 tokens.",
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    "This model's maximum prompt length is 131072 but the request contains 200000 tokens.",
    "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
    "You passed 8193 input tokens. However, the model's context length is only 8192 tokens.",
    "Your request exceeded model token limit: 262144 (requested: 300000)",
    "The number of tokens to keep from the initial prompt is greater than the context length",
    "Input length 131393 exceeds the maximum allowed input length of 131040 tokens.",
    "Input is too long for requested model.",
    "Prompt exceeds max length",
    "Range of input length should be [1, 30720]",
    "invalid params, context window exceeds limit (2013)",
    "Trying to submit a prompt with 9000 tokens which is over the limit 8192",
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens",
    "Input validation error: `inputs` must have less than 4095 tokens. Given: 5000",
    "Please reduce the length of the messages or completion.",
    "the request exceeds the available context size, try increasing it",
    "Too many input tokens",
    "Requested tokens (9000) exceed context window of 8192",
    "prompt token count of 70000 exceeds the limit of 64000",
    "Request too large for the model: 130,500 tokens in the prompt, limit 128,000",
    "Prompt contains 99328 tokens, too large for model with 32768 maximum context length",
    "total message token length exceed model limit",
    "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 299718 tokens.",
    "Your input exceeds the context window of this model. Please adjust your input and try again.",
)
SOMETHING_ELSE = (
    "max_tokens: 8192 > 4096, which is the maximum allowed number of output tokens for claude-3",
    "max_tokens is too large: 20000. This model supports at most 16384 completion tokens, whereas you provided 20000.",
    "messages.5.content.1.image.source.base64: image exceeds 5 MB maximum: 6291456 bytes > 5242880 bytes",
    "Invalid 'input[12].call_id': string too long. Expected a string with maximum length 64, but got length 70",
    "messages: text content blocks must be non-empty",
    "tools.0.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level",
    "messages.1.content.0: Invalid `signature` in `thinking` block",
    "thinking.budget_tokens: Input should be greater than or equal to 1024",
    "max_tokens must be greater than thinking.budget_tokens",
    "model: claude-9 was not found",
    "because",
    "",
)


@pytest.mark.parametrize("message", TOO_LONG)
def test_a_context_that_is_too_long_is_known_in_any_words(message: str) -> None:
    error = failure.from_response(400, answer("invalid_request_error", message), NONE)
    assert type(error) is errors.ContextTooLong
    for body in (
        {"message": message, "type": "BadRequestError", "code": 400},
        {"code": "invalid-argument", "error": message},
        {"error": message},
        {"detail": message},
        [{"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}],
        message,
    ):
        assert type(openai_failure.of(body, status=400)) is errors.ContextTooLong, body


@pytest.mark.parametrize("message", SOMETHING_ELSE)
def test_other_refusals_are_not_taken_for_it(message: str) -> None:
    error = failure.from_response(400, answer("invalid_request_error", message), NONE)
    assert type(error) is errors.InvalidModelRequest
    assert type(openai_failure.of({"message": message}, status=400)) is errors.InvalidModelRequest


@pytest.mark.parametrize(
    "code", ["context_length_exceeded", "exceed_context_size_error", "context-window-exceeded"]
)
def test_a_code_needs_no_words(code: str) -> None:
    for body in ({"code": code}, {"type": code}, {"error": {"type": code, "message": "no"}}):
        assert type(openai_failure.of(body, status=400)) is errors.ContextTooLong
    assert type(failure.from_response(400, answer(code, ""), NONE)) is errors.ContextTooLong


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("plain words", "plain words"),
        (["plain words"], "plain words"),
        ({"error": "in error"}, "in error"),
        ({"detail": "in detail"}, "in detail"),
        ({"detail": [{"loc": ["body"], "msg": "in a list"}]}, "in a list"),
        ({"message": {"text": "nested"}}, "nested"),
        ({"msg": "in msg"}, "in msg"),
    ],
)
def test_the_words_of_a_refusal_are_found_in_any_form(body: object, words: str) -> None:
    assert words in str(openai_failure.of(body, status=400))


@pytest.mark.parametrize("body", [None, 5, [], {}, [[]], {"message": None}, {"error": {"error": {}}}])
def test_a_refusal_without_words_has_its_status(body: object) -> None:
    assert "HTTP 400" in str(openai_failure.of(body, status=400))


def test_a_long_text_is_cut() -> None:
    assert len(str(failure.from_response(400, answer("invalid_request_error", "x" * 10_000), NONE))) < 700
