"""What AWS refuses, in words for people: which service and operation, its own name for it, what to do; no secrets."""

from __future__ import annotations

import json

import pytest

from infinity.aws.failure import is_throttling, refused, unreachable
from infinity.errors import StoreError


def json_error(code: str, message: str = "no") -> bytes:
    return json.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": message}).encode()


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        ({}, json_error("QueueDoesNotExist"), "QueueDoesNotExist"),
        ({}, b'{"__type":"ThrottlingException","Message":"m"}', "ThrottlingException"),
        (
            {"x-amzn-errortype": "ConflictException:http://internal.amazon.com/coral/"},
            b'{"Message":"m"}',
            "ConflictException",
        ),
        ({}, b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code><Message>m</Message></Error>', "NoSuchKey"),
        ({}, b"", "HTTP 400"),
        ({}, b"<html>bad gateway", "HTTP 400"),
        ({}, b"[" * 100_000, "HTTP 400"),
        ({}, b"\xff\xfe", "HTTP 400"),
        ({}, b'["x"]', "HTTP 400"),
    ],
)
def test_the_code_is_read_from_every_protocol(headers: dict[str, str], body: bytes, code: str) -> None:
    error = refused("sqs", "SendMessage", 400, headers, body)
    assert isinstance(error, StoreError)
    assert (error.service_code, error.status, error.code) == (code, 400, "storage")
    assert str(error).startswith(f"sqs SendMessage was refused: {code}")


@pytest.mark.parametrize(
    ("service", "operation", "code", "says"),
    [
        ("sqs", "SendMessage", "AccessDenied", "allow sqs:SendMessage"),
        ("sqs", "SendMessageBatch", "AccessDeniedException", "allow sqs:SendMessage"),
        ("scheduler", "CreateSchedule", "AccessDeniedException", "iam:PassRole"),
        ("s3", "GetObject", "AccessDenied", "s3:ListBucket"),
        ("sqs", "SendMessage", "KMS.AccessDeniedException", "kms:GenerateDataKey"),
        ("sqs", "SendMessage", "QueueDoesNotExist", "check its name, the region and the account"),
        ("dynamodb", "GetItem", "ExpiredTokenException", "check the credentials"),
        ("dynamodb", "GetItem", "ThrottlingException", "try again later"),
    ],
)
def test_the_text_says_what_to_do(service: str, operation: str, code: str, says: str) -> None:
    assert says in str(refused(service, operation, 400, {}, json_error(code)))


def test_what_may_pass_is_told_from_what_will_not() -> None:
    def retryable(status: int, code: str) -> bool:
        return refused("sqs", "SendMessage", status, {}, json_error(code)).retryable

    assert retryable(500, "InternalFailure") and retryable(503, "ServiceUnavailable") and retryable(429, "X")
    assert retryable(403, "RequestThrottled") and retryable(400, "ProvisionedThroughputExceededException")
    assert not retryable(400, "QueueDoesNotExist") and not retryable(403, "AccessDenied")
    assert is_throttling("KMS.ThrottlingException") and not is_throttling("InternalFailure")


@pytest.mark.trap("S9")
def test_a_refused_signature_does_not_show_what_was_signed() -> None:
    message = "The Canonical String should have been\n'POST\n/\n\nx-amz-security-token:THETOKEN'"
    for code in ("InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignatureException"):
        assert "THETOKEN" not in str(refused("sqs", "SendMessage", 403, {}, json_error(code, message)))


def test_of_a_long_message_one_short_line_is_passed_on() -> None:
    text = str(
        refused("sqs", "SendMessage", 400, {}, json_error("Odd", "first\x1b[2J" + "x" * 1000 + "\nsecond"))
    )
    assert "\x1b" not in text and "second" not in text and len(text) < 500


def test_no_answer_is_worth_another_try_later() -> None:
    error = unreachable("sqs", "SendMessage", "connection refused")
    assert error.retryable and error.status == 0 and "AWS_ENDPOINT_URL" in str(error)
