"""Claude on Bedrock: signatures, exceptions in the stream, settings, the frames of an AWS event stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from botocore.eventstream import EventStreamBuffer

from infinity import errors
from infinity.abc.model import ModelRequest, Part, Turn
from infinity.models.access import Access, ModelTimeouts
from infinity.models.bedrock import AwsIdentity, BedrockModel
from infinity.models.claude import is_bound, plain, thinking_of
from infinity.models.registry import Models
from infinity.testing.bedrock_server import BedrockServer, frame
from infinity.testing.script import Reply

ID = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture(autouse=True)
def no_aws_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_BEARER_TOKEN_BEDROCK", *KEYS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@asynccontextmanager
async def client(url: str, **identity: str) -> AsyncIterator[BedrockModel]:
    access = Access(base_url=url, provider="Bedrock")
    model = BedrockModel(AwsIdentity("eu-west-1", **identity), access, ModelTimeouts(5, 5, 10))
    try:
        yield model
    finally:
        await model.close()


async def drain(model: Any, id: str = ID) -> list[Part]:
    messages = msgspec.json.encode([{"role": "user", "content": "hello"}])
    return [part async for part in model.stream(ModelRequest(model.info(id), "", b"[]", messages, 100))]


async def test_a_request_is_signed_for_the_region_and_the_service() -> None:
    async with (
        BedrockServer(lambda _: Reply().say("x"), secret_key="secret") as server,
        client(server.url, access_key="AKIDEXAMPLE", secret_key="secret", session_token="token") as model,
    ):
        assert isinstance((await drain(model))[-1], Turn)
    headers = server.requests[0].headers
    assert "/eu-west-1/bedrock/aws4_request" in headers["authorization"]
    assert headers["x-amz-security-token"] == "token"
    assert server.models == [ID]


async def test_a_wrong_secret_is_an_authentication_error() -> None:
    async with (
        BedrockServer(lambda _: Reply().say("x"), secret_key="secret") as server,
        client(server.url, access_key="AKIDEXAMPLE", secret_key="wrong") as model,
    ):
        with pytest.raises(errors.ModelAuthentication, match="signature"):
            await drain(model)
    assert server.effects.refused == 1


async def test_without_credentials_nothing_is_sent() -> None:
    async with BedrockServer(lambda _: Reply().say("x")) as server, client(server.url) as model:
        with pytest.raises(errors.ModelAuthentication, match="cannot be signed"):
            await drain(model)
    assert server.requests == []


async def test_a_profile_that_does_not_exist_is_named() -> None:
    async with (
        BedrockServer(lambda _: Reply().say("x")) as server,
        client(server.url, profile="nope") as model,
    ):
        with pytest.raises(errors.ModelAuthentication, match="nope"):
            await drain(model)


@pytest.mark.trap("L8")
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, errors.InvalidModelRequest),
        (408, errors.ModelUnavailable),
        (424, errors.ModelUnavailable),
        (429, errors.RateLimited),
        (500, errors.ModelUnavailable),
        (503, errors.Overloaded),
    ],
)
async def test_exceptions_are_typed_by_name_before_and_in_the_stream(
    status: int, expected: type[errors.ModelError]
) -> None:
    replies = [Reply().fail(status), Reply().say("half").fail(status)]
    async with (
        BedrockServer(lambda _: replies.pop(0)) as server,
        client(server.url, access_key="A", secret_key="s") as model,
    ):
        for _ in range(2):
            with pytest.raises(errors.ModelError) as caught:
                await drain(model)
            assert type(caught.value) is expected


async def test_the_environment_says_who_and_where() -> None:
    async with BedrockServer(lambda _: Reply().say("x"), secret_key="secret", api_key="bearer") as server:
        where = {"AWS_REGION": "ap-south-1", "ANTHROPIC_BEDROCK_BASE_URL": server.url}
        for who in (KEYS, {"AWS_BEARER_TOKEN_BEDROCK": "bearer"}):
            models = Models(environment={**where, **who})
            model, info = models.resolve(f"bedrock/{ID}")
            assert (info.name, info.provider, info.id) == (f"bedrock/{ID}", "bedrock", ID)
            assert isinstance((await drain(model))[-1], Turn)
            await models.close()
    signed, bearer = (request.headers["authorization"] for request in server.requests)
    assert "/ap-south-1/" in signed and bearer == "Bearer bearer"


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({}, "region"),
        ({"profile": "nope"}, "nope"),
        ({"regoin": "x"}, "Settings of this section"),
        ({"region": ""}, "region"),
    ],
)
def test_wrong_settings_are_named(table: dict[str, Any], complaint: str) -> None:
    with pytest.raises(errors.ConfigError, match=complaint):
        Models({"providers": {"bedrock": table}}, environment={}).resolve(f"bedrock/{ID}")


def test_the_region_is_the_address() -> None:
    models = Models({"providers": {"bedrock": {"region": "eu-central-1"}}}, environment=KEYS)
    model, _ = models.resolve(f"bedrock/{ID}")
    assert model._access.host == "bedrock-runtime.eu-central-1.amazonaws.com"  # type: ignore[attr-defined]


@pytest.mark.trap("S9")
def test_secrets_are_in_no_repr() -> None:
    assert "hush" not in repr(AwsIdentity("eu-west-1", secret_key="hush"))


@pytest.mark.parametrize(
    ("id", "expected"),
    [
        (ID, "claude-haiku-4-5-20251001"),
        ("anthropic.claude-opus-5-5", "claude-opus-5-5"),
        ("global.anthropic.claude-opus-4-6-v1", "claude-opus-4-6"),
        (
            "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.anthropic.claude-sonnet-5-5-v1:0",
            "claude-sonnet-5-5",
        ),
        ("arn:aws:bedrock:eu-west-1:1:application-inference-profile/abc", None),
        ("claude-opus-5-5", None),
    ],
)
def test_bedrocks_ids_are_known_for_what_they_are(id: str, expected: str | None) -> None:
    assert plain(id) == (expected or id)
    assert thinking_of(id) is thinking_of(expected or id) and is_bound(id) is is_bound(expected or id)


async def test_the_table_is_listed() -> None:
    async with client("http://127.0.0.1:9") as model:
        listed = await model.list()
    assert all(each.name.startswith("bedrock/anthropic.claude-") for each in listed)
    assert [each.price for each in listed if "haiku-4-5" in each.id] == [(1, 5, 0.1, 1.25)]


def test_our_frames_are_those_that_botocore_reads() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(frame({":message-type": "event", ":event-type": "chunk"}, b'{"bytes":""}'))
    (message,) = buffer
    assert message.headers == {":message-type": "event", ":event-type": "chunk"}
    assert message.payload == b'{"bytes":""}'
