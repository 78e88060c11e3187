"""The client's side of HTTP: time-outs, hanging up, one connection, no secrets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import msgspec
import pytest

from infinity.abc.model import ModelRequest, Part, Text, Turn
from infinity.errors import (
    ConfigError,
    InvalidModelRequest,
    ModelAuthentication,
    ModelError,
    ModelUnavailable,
)
from infinity.models.access import Access, ModelTimeouts
from infinity.models.anthropic import AnthropicModel
from infinity.models.claude import MODELS
from infinity.testing.model_server import ModelServer
from infinity.testing.script import Reply, Script

KEY = "sk-ant-very-secret"
PATIENT = ModelTimeouts(connect=5, stall=5, total=10)


def ask(text: str = "hello") -> ModelRequest:
    messages = msgspec.json.encode([{"role": "user", "content": [{"type": "text", "text": text}]}])
    return ModelRequest(MODELS[0], "Be brief.", b"[]", messages, 100)


@asynccontextmanager
async def client(url: str, timeouts: ModelTimeouts = PATIENT) -> AsyncIterator[AnthropicModel]:
    model = AnthropicModel(Access(api_key=KEY, base_url=url), timeouts)
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
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port whose backlog is full: connecting to it never ends."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = []
        for _ in range(4):
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(server.getsockname())
        try:
            yield server.getsockname()[1]
        finally:
            for each in waiting:
                each.close()


async def drain(model: AnthropicModel, request: ModelRequest) -> list[Part]:
    return [part async for part in model.stream(request)]


@pytest.mark.trap("B1")
async def test_a_stalled_answer_is_given_up() -> None:
    never = asyncio.Event()
    async with (
        ModelServer(lambda _: Reply().say("one ").pause(never).say("two")) as server,
        client(server.url, ModelTimeouts(stall=0.1)) as model,
    ):
        stream = model.stream(ask())
        assert await anext(stream) == Text("one ")
        with pytest.raises(ModelUnavailable, match="stalled"):
            await anext(stream)
        await server.wait_for(lambda effects: effects.abandoned == 1)


@pytest.mark.trap("B1")
async def test_an_answer_that_trickles_for_ever_is_given_up() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
    stopped = asyncio.Event()

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        while not stopped.is_set():
            writer.write(b'event: ping\ndata: {"type":"ping"}\n\n')
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(stopped.wait(), 0.02)
            if writer.is_closing():
                break
        writer.close()

    server = await asyncio.start_server(trickle, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, client(url, ModelTimeouts(stall=5, total=0.3)) as model:
        with pytest.raises(ModelUnavailable, match="not complete after"):
            await drain(model, ask())


@pytest.mark.trap("B1")
async def test_a_server_that_never_answers_is_given_up() -> None:
    async with (
        raw_server(b"", then_close=False) as url,
        client(url, ModelTimeouts(stall=0.1)) as model,
    ):
        with pytest.raises(ModelUnavailable, match="no answer within"):
            await drain(model, ask())


@pytest.mark.trap("B1")
async def test_a_connection_that_is_never_made_is_given_up() -> None:
    with deaf_port() as port:
        async with client(f"http://127.0.0.1:{port}", ModelTimeouts(connect=0.2)) as model:
            with pytest.raises(ModelUnavailable, match="no connection within"):
                await drain(model, ask())


async def test_a_refused_connection_is_told_with_its_address() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    async with client(f"http://127.0.0.1:{port}") as model:
        with pytest.raises(ModelUnavailable, match=str(port)):
            await drain(model, ask())


async def test_closing_the_stream_hangs_up_at_once() -> None:
    never = asyncio.Event()
    async with (
        ModelServer(lambda _: Reply().say("one").pause(never)) as server,
        client(server.url) as model,
    ):
        stream = model.stream(ask())
        assert await anext(stream) == Text("one")
        await stream.aclose()  # type: ignore[attr-defined]
        await server.wait_for(lambda effects: effects.abandoned == 1)


async def test_cancelling_hangs_up_at_once() -> None:
    never = asyncio.Event()
    async with (
        ModelServer(lambda _: Reply().pause(never)) as server,
        client(server.url) as model,
    ):
        task = asyncio.create_task(drain(model, ask()))
        await server.wait_for_requests(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.wait_for(lambda effects: effects.abandoned == 1)


async def test_requests_one_after_the_other_share_a_connection() -> None:
    connections = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
            target.close()

        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))

    async with ModelServer(Script().otherwise().say("hi there")) as server:
        port = int(server.url.rpartition(":")[2])
        proxy = await asyncio.start_server(count, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        async with proxy, client(url) as model:
            for _ in range(5):
                assert isinstance((await drain(model, ask()))[-1], Turn)
            assert connections == 1
            await model.close()


async def test_many_streams_run_at_once() -> None:
    together = asyncio.Event()
    async with (
        ModelServer(lambda _: Reply().pause(together).say("hi")) as server,
        client(server.url) as model,
    ):
        tasks = [asyncio.create_task(drain(model, ask(str(number)))) for number in range(200)]
        await server.wait_for_requests(200)
        together.set()
        turns = [(await task)[-1] for task in tasks]
    assert all(isinstance(turn, Turn) for turn in turns)


async def test_the_headers_name_the_version_and_the_key() -> None:
    async with ModelServer(Script().otherwise().say("x"), api_key=KEY) as server:
        async with client(server.url + "/") as model:
            await drain(model, ask())
        token = AnthropicModel(Access(auth_token=KEY, base_url=server.url))
        await drain(token, ask())
        await token.close()
        first, second = (recorded.headers for recorded in server.requests)
    assert first["x-api-key"] == KEY and "authorization" not in first
    assert second["authorization"] == f"Bearer {KEY}" and "x-api-key" not in second
    assert first["anthropic-version"] == "2026-10-21"
    assert first["anthropic-beta"] == "thinking-binding-controls-2026-08-01"


@pytest.mark.trap("S9")
@pytest.mark.parametrize("status", [400, 401, 529, 307])
async def test_a_key_that_comes_back_is_not_in_the_error(status: int) -> None:
    echo = f"you sent {KEY}"
    async with (
        ModelServer(lambda _: Reply().fail(status, message=echo)) as server,
        client(server.url) as model,
    ):
        with pytest.raises(ModelError) as caught:
            await drain(model, ask())
    assert KEY not in str(caught.value) and KEY not in repr(caught.value)


@pytest.mark.trap("S9")
async def test_a_key_in_an_error_event_is_not_in_the_error() -> None:
    reply = Reply().say("x").fail(529, message=f"bad key {KEY}")
    async with ModelServer(lambda _: reply) as server, client(server.url) as model:
        with pytest.raises(ModelError) as caught:
            await drain(model, ask())
    assert KEY not in str(caught.value) and "[key]" in str(caught.value)


@pytest.mark.trap("S9")
def test_a_key_is_in_no_repr() -> None:
    access = Access(api_key=KEY)
    assert KEY not in repr(access) and KEY not in repr(AnthropicModel(access))


@pytest.mark.trap("S9")
@pytest.mark.parametrize("secret", ["", "with space", "line\nbreak", "ünï"])
def test_a_key_that_cannot_be_one_is_refused_without_showing_it(secret: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Access(api_key=secret)
    assert not secret or secret not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["api.anthropic.com", "ftp://x", "https://", "https://user:secret@x", "https://x?key=1", "https://x#y"],
)
def test_a_base_url_that_cannot_be_one_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Access(base_url=url)
    assert "secret" not in str(caught.value)


@pytest.mark.trap("S3")
async def test_redirects_are_not_followed() -> None:
    async with ModelServer(Script().otherwise().say("x")) as target:
        head = f"HTTP/1.1 307 Temporary Redirect\r\nlocation: {target.url}/v1/messages\r\ncontent-length: 0\r\n\r\n"
        async with raw_server(head.encode()) as url, client(url) as model:
            with pytest.raises(InvalidModelRequest, match="307"):
                await drain(model, ask())
        assert target.requests == []


async def test_an_address_that_is_no_messages_api_says_so() -> None:
    page = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nhi"
    async with raw_server(page) as url, client(url) as model:
        with pytest.raises(InvalidModelRequest, match="base URL"):
            await drain(model, ask())


@pytest.mark.parametrize(
    "stream",
    [
        b"data: {not json\n\n",
        b'data: {"type":"content_block_delta","index":"x"}\n\n',
        b"data: \xff\xfe\n\n",
        b"",
    ],
)
async def test_a_stream_that_cannot_be_read_is_an_error(stream: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
    async with raw_server(head + stream) as url, client(url) as model:
        with pytest.raises(ModelUnavailable):
            await drain(model, ask())


async def test_an_answer_that_ends_without_closing_is_complete_all_the_same() -> None:
    events = (
        b'data: {"type":"message_start","message":{}}\n\n'
        b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}\n\n'
        b'data: {"type":"message_stop"}\n\n'
    )
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
    async with raw_server(head + events, then_close=False) as url, client(url) as model:
        assert await drain(model, ask()) == [Turn([])]


async def test_a_wrong_key_is_an_authentication_error() -> None:
    async with ModelServer(Script(), api_key="another") as server, client(server.url) as model:
        with pytest.raises(ModelAuthentication, match="check the API key"):
            await drain(model, ask())
        assert server.effects.refused == 1


async def test_the_model_can_be_used_again_after_it_was_closed() -> None:
    async with ModelServer(Script().otherwise().say("x")) as server, client(server.url) as model:
        await drain(model, ask())
        await model.close()
        await model.close()
        assert isinstance((await drain(model, ask()))[-1], Turn)
