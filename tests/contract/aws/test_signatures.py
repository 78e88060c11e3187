"""Signature Version 4: what is not signed rightly is refused, by every service, in its own words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from tests.contract.aws.backends import REGION, Aws

JSON_SERVICES = {
    "sqs": "AmazonSQS.ListQueues",
    "dynamodb": "DynamoDB_20120810.ListTables",
    "secretsmanager": "secretsmanager.GetSecretValue",
    "ssm": "AmazonSSM.GetParameter",
}
PATHS = {
    **dict.fromkeys(JSON_SERVICES, "/"),
    "scheduler": "/schedules?NamePrefix=a%20b&MaxResults=5",
    "lambda": "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-central-1%3A000000000000%3Afunction%3Ax/configuration",
    "s3": "/bucket/a%20b%2Bc/d?list-type=2&prefix=x%2Fy",
    "sts": "/",
}
METHODS = {"scheduler": "GET", "lambda": "GET", "s3": "GET"}
MISMATCH = {"s3": "SignatureDoesNotMatch", "sts": "SignatureDoesNotMatch"}
MISSING = {"s3": "AccessDenied", "sts": "MissingAuthenticationToken"}
UNKNOWN = {"s3": "InvalidAccessKeyId", "sts": "InvalidClientTokenId"}


class Caller:
    """A thin client that signs with botocore's signer, so that a test can spoil the request afterwards."""

    def __init__(self, aws: Aws, service: str) -> None:
        self.aws = aws
        self.service = service
        self.method = METHODS.get(service, "POST")
        self.url = aws.endpoint + PATHS[service]
        self.body = b"Action=GetCallerIdentity&Version=2011-06-15" if service == "sts" else b"{}"
        if self.method == "GET":
            self.body = b""
        self.headers: dict[str, str] = {}
        if service in JSON_SERVICES:
            self.headers = {
                "X-Amz-Target": JSON_SERVICES[service],
                "Content-Type": "application/x-amz-json-1.0",
            }

    def sign(self, *, key: str = "", secret: str = "", service: str = "", region: str = REGION) -> Caller:
        credentials = Credentials(key or self.aws.key, secret or self.aws.secret)
        signer = S3SigV4Auth if self.service == "s3" else SigV4Auth
        request = AWSRequest(self.method, self.url, dict(self.headers), self.body)
        signer(credentials, service or self.service, region).add_auth(request)
        self.headers = dict(request.headers)
        return self

    async def send(self) -> tuple[int, str, Mapping[str, str]]:
        from yarl import URL

        async with (
            aiohttp.ClientSession(skip_auto_headers=("Content-Type",)) as session,
            session.request(
                self.method, URL(self.url, encoded=True), data=self.body or None, headers=self.headers
            ) as response,
        ):
            return response.status, await response.text(), response.headers


def code(answer: tuple[int, str, Mapping[str, str]]) -> str:
    """The error's name, wherever the protocol keeps it."""
    status, text, headers = answer
    assert 400 <= status < 500, answer
    if "x-amzn-errortype" in headers:
        return headers["x-amzn-errortype"]
    if text.startswith("<?xml"):
        return text.partition("<Code>")[2].partition("</Code>")[0]
    return str(json.loads(text)["__type"]).partition("#")[2]


every_service = pytest.mark.parametrize("service", sorted(PATHS))


@every_service
async def test_a_right_signature_is_let_through(aws: Aws, service: str) -> None:
    answer = await Caller(aws, service).sign().send()
    refusals = ("Signature", "Authentication", "Client", "AccessDenied", "AccessKey")
    assert answer[0] == 200 or not any(word in code(answer) for word in refusals), answer


@every_service
async def test_a_request_without_a_signature_is_refused(aws: Aws, service: str) -> None:
    assert code(await Caller(aws, service).send()) == MISSING.get(
        service, "MissingAuthenticationTokenException"
    )


@every_service
async def test_another_secret_is_refused(aws: Aws, service: str) -> None:
    answer = await Caller(aws, service).sign(secret="guess").send()
    assert code(answer) == MISMATCH.get(service, "InvalidSignatureException")


@every_service
async def test_another_key_is_refused(aws: Aws, service: str) -> None:
    answer = await Caller(aws, service).sign(key="AKIASTRANGER").send()
    assert code(answer) == UNKNOWN.get(service, "UnrecognizedClientException")


def body(caller: Caller) -> None:
    caller.body = caller.body + b" "


def path(caller: Caller) -> None:
    caller.url += "&x=1" if "?" in caller.url else "?x=1"


def date(caller: Caller) -> None:
    caller.headers["X-Amz-Date"] = datetime.now(UTC).strftime("%Y%m%dT%H0000Z")


def target(caller: Caller) -> None:
    caller.headers["X-Amz-Target"] = "AmazonSQS.PurgeQueue"


@pytest.mark.parametrize("spoil", [body, path, date, target], ids=lambda spoil: spoil.__name__)
async def test_whatever_was_signed_cannot_be_changed(aws: Aws, spoil: Any) -> None:
    caller = Caller(aws, "sqs").sign()
    spoil(caller)
    assert code(await caller.send()) == "InvalidSignatureException"


async def test_a_signature_is_for_one_region_and_one_service(aws: Aws) -> None:
    answer = await Caller(aws, "sqs").sign(region="us-east-1").send()
    assert code(answer) == "InvalidSignatureException"


async def test_a_header_that_is_no_signature_is_refused(aws: Aws) -> None:
    caller = Caller(aws, "dynamodb")
    caller.headers["Authorization"] = "Bearer token"
    assert code(await caller.send()) == "IncompleteSignatureException"


async def test_a_body_that_does_not_have_the_hash_it_claims_is_refused(aws: Aws) -> None:
    caller = Caller(aws, "s3")
    caller.method, caller.body = "PUT", b"one"
    caller.sign()
    assert caller.headers["X-Amz-Content-SHA256"] == hashlib.sha256(b"one").hexdigest()
    caller.body = b"two"
    assert code(await caller.send()) == "SignatureDoesNotMatch"


async def test_a_signature_of_yesterday_is_refused(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    import botocore.auth

    monkeypatch.setattr(
        botocore.auth, "get_current_datetime", lambda *_: datetime(2020, 1, 1, tzinfo=UTC), raising=True
    )
    answer = await Caller(aws, "sqs").sign().send()
    assert code(answer) == "InvalidSignatureException" and "expired" in answer[1]
