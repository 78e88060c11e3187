"""Our Signature V4 and botocore's, for the same requests at the same time: equal in every header, query and token."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from unittest import mock
from urllib.parse import quote

import boto3  # type: ignore[import-untyped]
import botocore.auth as oracle  # type: ignore[import-untyped]
import pytest
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from infinity.aws.credentials import Keys
from infinity.aws.signing import Scope, login_token, presigned, query_string, signed_headers

AT = 1_800_000_000
CLUSTER = "abcdefghijklmnopqrstuvwxyz.dsql.eu-central-1.on.aws"

tokens = st.none() | st.just("IQoJb3JpZ2luX2VjEJ//////////wEaCXVzLWVhc3QtMSJ+/=")
keys = st.builds(Keys, st.just("AKIDEXAMPLE"), st.just("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), tokens)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
segments = st.lists(texts | st.sampled_from(["", ".", "..", "a b", "ä", "*~()", "arn:aws:x/y%"]), max_size=5)
queries = st.dictionaries(texts.filter(bool), texts, max_size=4)
headers = st.dictionaries(
    st.sampled_from(["Content-Type", "X-Amz-Target", "Idempotency-Key", "x-amz-checksum-sha256"]),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=20).filter(str.strip),
)
hosts = st.sampled_from(
    [
        "https://sqs.eu-central-1.amazonaws.com",
        "http://127.0.0.1:4566",
        "https://x.on.aws:443",
        "http://[::1]:80",
    ]
)


@contextmanager
def at(moment: int) -> Iterator[None]:
    now = datetime.fromtimestamp(moment, UTC)
    with mock.patch.object(oracle, "get_current_datetime", return_value=now):
        yield


def theirs(
    service: str, method: str, url: str, sent: dict[str, str], body: bytes, signer: Keys
) -> dict[str, str]:
    request = AWSRequest(method=method, url=url, headers=sent, data=body)
    request.context["client_config"] = None
    auth = oracle.S3SigV4Auth if service == "s3" else oracle.SigV4Auth
    with at(AT):
        auth(
            Credentials(signer.access_key, signer.secret_key, signer.token), service, "eu-central-1"
        ).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


@given(
    service=st.sampled_from(["sqs", "dynamodb", "scheduler", "lambda", "s3"]),
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    host=hosts,
    path=segments,
    query=queries,
    sent=headers,
    body=st.binary(max_size=64),
    signer=keys,
)
def test_the_headers_of_a_request_are_botocores(
    service: str,
    method: str,
    host: str,
    path: list[str],
    query: dict[str, str],
    sent: dict[str, str],
    body: bytes,
    signer: Keys,
) -> None:
    url = host + "/" + "/".join(quote(segment, safe="-_.~") for segment in path)
    if query:
        url += "?" + query_string(query)
    ours = {
        name.lower(): value
        for name, value in {
            **sent,
            **signed_headers(method, url, sent, body, signer, Scope(service, "eu-central-1", AT)),
        }.items()
    }
    assert ours == theirs(service, method, url, sent, body, signer)


@given(query=queries, signer=keys, expires=st.integers(1, 604_800))
def test_a_presigned_url_is_botocores(query: dict[str, str], signer: Keys, expires: int) -> None:
    url = f"https://{CLUSTER}/"
    request = AWSRequest(method="GET", url=url, params=dict(query))
    with at(AT):
        credentials = Credentials(signer.access_key, signer.secret_key, signer.token)
        oracle.SigV4QueryAuth(credentials, "dsql", "eu-central-1", expires=expires).add_auth(request)
    assert presigned(url, query, signer, Scope("dsql", "eu-central-1", AT), expires=expires) == request.url


@pytest.mark.parametrize("token", [None, "a+token/with=signs"])
@pytest.mark.parametrize("admin", [False, True])
def test_a_login_at_dsql_is_that_of_boto3(admin: bool, token: str | None) -> None:
    session = boto3.Session("AKIDEXAMPLE", "secret", token, region_name="eu-central-1")
    client: Any = session.client("dsql")
    make = client.generate_db_connect_admin_auth_token if admin else client.generate_db_connect_auth_token
    with at(AT):
        expected = make(Hostname=CLUSTER, Region="eu-central-1", ExpiresIn=900)
    assert (
        login_token(CLUSTER, "eu-central-1", Keys("AKIDEXAMPLE", "secret", token), at=AT, admin=admin)
        == expected
    )


def test_a_query_is_signed_as_aws_reads_it_whatever_way_it_is_escaped_in() -> None:
    scope, signer = Scope("lambda", "eu-central-1", AT), Keys("AKIDEXAMPLE", "secret")
    plain = signed_headers("GET", "https://x.on.aws/?b=%7e&a=%c3%a4", {}, b"", signer, scope)
    escaped = signed_headers("GET", "https://x.on.aws/?a=%C3%A4&b=~", {}, b"", signer, scope)
    assert plain == escaped


@pytest.mark.trap("S9")
def test_keys_do_not_show_their_secrets() -> None:
    shown = repr(Keys("AKIDEXAMPLE", "the secret", "the token"))
    assert "the secret" not in shown and "the token" not in shown
