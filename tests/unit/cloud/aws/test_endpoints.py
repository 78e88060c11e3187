"""Where requests go: the service's own address, or a stand-in."""

from __future__ import annotations

import boto3  # type: ignore[import-untyped]
import pytest

from infinity.aws.endpoints import Endpoints, function_region
from infinity.errors import ConfigError

SERVICES = ["sqs", "dynamodb", "scheduler", "secretsmanager", "ssm", "s3", "lambda"]


@pytest.mark.parametrize("region", ["eu-central-1", "us-east-1", "cn-north-1", "us-gov-west-1"])
@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_where_boto3_has_it(service: str, region: str) -> None:
    client = boto3.client(service, region_name=region, aws_access_key_id="x", aws_secret_access_key="x")
    theirs = client.meta.endpoint_url
    if service == "s3":
        # boto3 keeps an old name for one region; both work.
        theirs = theirs.replace("s3.amazonaws.com", "s3.us-east-1.amazonaws.com")
    assert Endpoints({"AWS_REGION": region}).url(service, "/x" if service != "s3" else "/") == theirs.rstrip(
        "/"
    ) + ("/x" if service != "s3" else "/")


def test_a_bucket_becomes_part_of_the_host_where_a_certificate_fits_it() -> None:
    endpoints = Endpoints({"AWS_DEFAULT_REGION": "eu-central-1"})
    assert endpoints.url("s3", "/my-claims/a/b") == "https://my-claims.s3.eu-central-1.amazonaws.com/a/b"
    assert endpoints.url("s3", "/my.claims/a/b") == "https://s3.eu-central-1.amazonaws.com/my.claims/a/b"


def test_a_stand_in_takes_the_place_of_one_service_or_of_all() -> None:
    endpoints = Endpoints(
        {
            "AWS_REGION": "eu-central-1",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:1/",
            "AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:2",
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://127.0.0.1:3",
        }
    )
    assert endpoints.url("sqs", "/") == "http://127.0.0.1:2/"
    assert endpoints.url("secretsmanager", "/") == "http://127.0.0.1:3/"
    assert endpoints.url("s3", "/bucket/key") == "http://127.0.0.1:1/bucket/key"


def test_without_a_region_nothing_is_guessed() -> None:
    with pytest.raises(ConfigError, match="AWS_REGION is not set"):
        Endpoints({})


def test_a_function_url_tells_its_region() -> None:
    assert function_region("https://abc123.lambda-url.us-west-2.on.aws/call") == "us-west-2"
    assert function_region("https://abc123.lambda-url.us-west-2.on.aws.evil.example/call") is None
    assert function_region("http://127.0.0.1:8000/") is None
