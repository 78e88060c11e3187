"""The OpenAI provider over HTTP: keys, time-outs, reasoning that nobody can read any more, lists."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from infinity import errors
from infinity.abc.model import ModelRequest, Part, Text, Turn
from infinity.models.access import Access, ModelTimeouts
from infinity.models.openai import Api, OpenAIModel, OpenAIOptions
from infinity.models.openai_models import TABLE, info
from infinity.models.registry import Models
from infinity.testing.openai_server import OpenAIServer
from infinity.testing.provider_contract import RICH, answered
from infinity.testing.script import Reply

KEY = "sk-very-secret"
PATIENT = ModelTimeouts(connect=5, stall=5, total=10)
HELLO = [{"role": "user", "content": "hello"}]


def ask(messages: Any = HELLO, model: str = "gpt-5.5") -> ModelRequest:
    return ModelRequest(info(model), "", b"[]", msgspec.json.encode(messages), 100)


@asynccontextmanager
async def client(
    url: str, timeouts: ModelTimeouts = PATIENT, api: Api | None = Api.RESPONSES, key: str | None = KEY
) -> AsyncIterator[OpenAIModel]:
    model = OpenAIModel(Access(key, base_url=url, provider="OpenAI"), timeouts, OpenAIOptions(api))
    try:
        yield model
    finally:
        await model.close()


@asynccontextmanager
async def raw_server(answer: bytes, *, then_close: bool = True) -> AsyncIterator[str]:
    """Answers every connection with these bytes, whatever it is asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        if not then_close:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


async def drain(model: OpenAIModel, request: ModelRequest | None = None) -> list[Part]:
    return [part async for part in model.stream(request or ask())]


@pytest.mark.trap("B1")
@pytest.mark.parametrize("api", Api)
async def test_a_stalled_answer_is_given_up(api: Api) -> None:
    never = asyncio.Event()
    async with (
        OpenAIServer(lambda _: Reply().say("one ").say("two ").pause(never)) as server,
        client(server.url, ModelTimeouts(stall=0.1), api) as model,
    ):
        stream = model.stream(ask())
        assert await anext(stream) == Text("one ")
        assert await anext(stream) == Text("two ")
        with pytest.raises(errors.ModelUnavailable, match="no answer within"):
            await anext(stream)
        await server.wait_for(lambda effects: effects.abandoned == 1)


@pytest.mark.trap("B1")
async def test_a_server_that_never_answers_is_given_up() -> None:
    async with raw_server(b"", then_close=False) as url, client(url, ModelTimeouts(stall=0.1)) as model:
        with pytest.raises(errors.ModelUnavailable, match="no answer within"):
            await drain(model)


@pytest.mark.trap("B1")
async def test_an_answer_takes_no_longer_than_the_total() -> None:
    never = asyncio.Event()
    async with (
        OpenAIServer(lambda _: Reply().say("one").pause(never)) as server,
        client(server.url, ModelTimeouts(stall=5, total=0.3)) as model,
    ):
        with pytest.raises(errors.ModelUnavailable, match="not complete after"):
            await drain(model)


@pytest.mark.trap("L8")
@pytest.mark.parametrize(
    "stream",
    [
        b'data: {"choices":[{"delta":{"content":"half"}}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"half"}}]}\n\ndata: [DONE]\n\n',
        b"data: {not json\n\n",
        b'data: "text"\n\n',
        b'data: {"choices":[{"delta":{"tool_calls":[3]}}]}\n\n',
        b"",
    ],
)
async def test_a_stream_that_ends_early_or_cannot_be_read_is_no_turn(stream: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
    async with raw_server(head + stream) as url, client(url, api=Api.CHAT) as model:
        with pytest.raises(errors.ModelUnavailable):
            await drain(model)


async def test_an_answer_that_is_no_stream_says_so() -> None:
    page = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nhi"
    async with raw_server(page) as url, client(url) as model:
        with pytest.raises(errors.InvalidModelRequest, match="base URL"):
            await drain(model)


@pytest.mark.trap("S3")
async def test_redirects_are_not_followed() -> None:
    async with OpenAIServer(lambda _: Reply().say("x")) as target:
        head = f"HTTP/1.1 307 Temporary Redirect\r\nlocation: {target.url}/responses\r\ncontent-length: 0\r\n\r\n"
        async with raw_server(head.encode()) as url, client(url) as model:
            with pytest.raises(errors.ModelError):
                await drain(model)
        assert target.requests == []


@pytest.mark.trap("S9")
@pytest.mark.parametrize("reply", [Reply().fail(400, message=KEY), Reply().say("x").fail(500, message=KEY)])
async def test_a_key_that_comes_back_is_not_in_the_error(reply: Reply) -> None:
    async with OpenAIServer(lambda _: reply) as server, client(server.url) as model:
        with pytest.raises(errors.ModelError) as caught:
            await drain(model)
    assert KEY not in str(caught.value) and "[key]" in str(caught.value)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply().fail(429, type="insufficient_quota"), errors.ModelAuthentication),
        (Reply().fail(400, type="content_policy_violation"), errors.ModelRefused),
        (Reply().fail(503), errors.Overloaded),
        (Reply().fail(400, type="string_above_max_length"), errors.InvalidModelRequest),
    ],
)
async def test_a_code_says_more_than_a_status(reply: Reply, expected: type[errors.ModelError]) -> None:
    async with OpenAIServer(lambda _: reply) as server, client(server.url) as model:
        with pytest.raises(errors.ModelError) as caught:
            await drain(model)
    assert type(caught.value) is expected


@pytest.mark.trap("M3")
async def test_reasoning_goes_back_until_its_endpoint_cannot_read_it() -> None:
    async with OpenAIServer(lambda _: RICH) as server, client(server.url) as model:
        turn = (await drain(model))[-1]
        assert isinstance(turn, Turn)
        conversation = ask(answered(turn))
        assert isinstance((await drain(model, conversation))[-1], Turn)
        assert server.violations == []
        server.issued.clear()  # the key is of another account now
        again = (await drain(model, conversation))[-1]
    kinds = [[item["type"] for item in body["input"]].count("reasoning") for body in server.bodies]
    assert kinds == [0, 1, 1, 0]
    assert isinstance(again, Turn) and again.blocks[0]["type"] == "thinking"


async def test_another_model_does_not_get_the_reasoning() -> None:
    async with OpenAIServer(lambda _: RICH) as server, client(server.url) as model:
        turn = (await drain(model))[-1]
        assert isinstance(turn, Turn)
        await drain(model, ask(answered(turn), "gpt-5.4"))
    assert "reasoning" not in [item["type"] for item in server.bodies[1]["input"]]


async def test_compatible_endpoints_are_spoken_to_in_chat_completions() -> None:
    async with OpenAIServer(lambda _: Reply().say("x")) as server, client(server.url, api=None) as model:
        await drain(model)
    assert server.bodies[0]["messages"] and server.bodies[0]["max_tokens"] == 100


async def test_without_a_key_no_other_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    async with OpenAIServer(lambda _: Reply().say("x")) as server, client(server.url, key=None) as model:
        await drain(model)
    assert KEY not in str(server.requests[0].headers)


@pytest.mark.trap("S9")
async def test_the_environments_key_goes_only_where_the_environment_says() -> None:
    async with OpenAIServer(lambda _: Reply().say("x")) as server:
        environment = {"OPENAI_API_KEY": KEY}
        cases: list[tuple[dict[str, Any], dict[str, str], bool]] = [
            ({"base_url": server.url}, environment, False),
            ({"base_url": server.url, "api_key_env": "OPENAI_API_KEY"}, environment, True),
            ({}, environment | {"OPENAI_BASE_URL": server.url}, True),
        ]
        for table, given, goes in cases:
            models = Models({"providers": {"openai": table}}, environment=given)
            model, found = models.resolve("openai/some-model")
            async for _ in model.stream(ModelRequest(found, "", b"[]", msgspec.json.encode(HELLO), 10)):
                pass
            await models.close()
            assert (KEY in server.requests[-1].headers["authorization"]) is goes


async def test_the_endpoint_is_asked_for_its_models() -> None:
    async with OpenAIServer(lambda _: Reply(), api_key=KEY) as server, client(server.url) as model:
        server.models = ("gpt-5.5", "whisper-1")
        assert [each.id for each in await model.list()] == ["gpt-5.5", "whisper-1"]
        server.api_key = "another"
        with pytest.raises(errors.ModelAuthentication):
            await model.list()


async def test_an_endpoint_that_does_not_answer_has_no_list() -> None:
    async with raw_server(b"") as url, client(url) as model:
        with pytest.raises(errors.ModelUnavailable):
            await model.list()


async def test_openais_own_list_has_a_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    async with OpenAIServer(lambda _: Reply()) as server, client(server.url) as model:
        monkeypatch.setattr(model, "_theirs", True)
        server.models = ("gpt-5.5", "whisper-1")
        assert [each.id for each in await model.list()] == ["gpt-5.5"]
    async with raw_server(b"") as url, client(url) as model:
        monkeypatch.setattr(model, "_theirs", True)
        assert [each.id for each in await model.list()] == [*TABLE]


@pytest.mark.parametrize(
    ("config", "environment", "complaint"),
    [
        ({}, {}, "set OPENAI_API_KEY"),
        ({"base_url": "http://127.0.0.1:9", "api_key_env": "LOCAL"}, {}, "set LOCAL"),
        ({"api": "completions"}, {"OPENAI_API_KEY": "k"}, "api"),
        ({"base_url": "nonsense", "api_key": "k"}, {}, "the OpenAI base URL"),
        ({"api_key": "with space"}, {}, "the OpenAI api_key"),
    ],
)
def test_wrong_settings_are_named(
    config: dict[str, Any], environment: dict[str, str], complaint: str
) -> None:
    with pytest.raises(errors.ConfigError, match=complaint):
        Models({"providers": {"openai": config}}, environment=environment).resolve("openai/gpt-5.5")


@pytest.mark.parametrize(
    ("package", "name", "extra"), [("openai", "openai/x", "openai"), ("boto3", "bedrock/x", "bedrock")]
)
def test_a_missing_package_is_told_with_its_extra(
    package: str, name: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(errors.ConfigError, match=rf"pip install 'infinity-runtime\[{extra}\]'"):
        Models(environment={"OPENAI_API_KEY": "k", "AWS_REGION": "eu-west-1"}).resolve(name)


async def test_answers_one_after_the_other_share_a_connection() -> None:
    connections = 0
    async with OpenAIServer(lambda _: Reply().say("x")) as server:

        async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            port = int(server.url.removesuffix("/v1").rpartition(":")[2])
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)

            async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
                while data := await source.read(65536):
                    target.write(data)
                    await target.drain()
                target.close()

            await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))

        proxy = await asyncio.start_server(count, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}/v1"
        for api in Api:
            connections = 0
            async with client(url, api=api) as model:
                for _ in range(3):
                    await drain(model)
            assert connections == 1, api
        proxy.close()
