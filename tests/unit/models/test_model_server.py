"""The test server itself: it must refuse, fail and break as scripted, or the tests that use it prove nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import msgspec
import pytest

from infinity.testing.model_server import ModelServer
from infinity.testing.script import Reply, Script

HEADERS = {"anthropic-version": "2026-10-21", "content-type": "application/json"}


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "hello"}], **fields}


async def post(server: ModelServer, content: Any, **headers: str) -> tuple[int, bytes]:
    data = content if isinstance(content, bytes) else msgspec.json.encode(content)
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{server.url}/v1/messages", data=data, headers={**HEADERS, **headers}) as response,
    ):
        return response.status, await response.read()


async def test_an_answer_without_streaming_is_one_message() -> None:
    reply = Reply().think("hm", "s").say("Hello ").say("there").call("run", path=".").tokens(input_tokens=5)
    async with ModelServer(lambda _: reply) as server:
        status, content = await post(server, body())
    message = msgspec.json.decode(content)
    assert status == 200
    assert message["stop_reason"] == "tool_use"
    assert message["usage"]["input_tokens"] == 5
    kinds = [block["type"] for block in message["content"]]
    assert kinds == ["thinking", "text", "tool_use"]
    assert message["content"][1]["text"] == "Hello there"
    assert message["content"][2]["input"] == {"path": "."}


async def test_what_the_api_would_refuse_is_refused_and_recorded() -> None:
    async with ModelServer(Script().otherwise().say("x")) as server:
        status, content = await post(server, body(messages=[{"role": "assistant", "content": "x"}]))
        assert status == 400
        assert msgspec.json.decode(content)["error"]["type"] == "invalid_request_error"
        assert server.violations and server.effects.refused == 1
        assert (await post(server, b"{no json"))[0] == 400
        assert (await post(server, b"[]"))[0] == 400
        assert len(server.requests) == 3


async def test_a_request_without_version_or_key_is_refused() -> None:
    async with ModelServer(Script().otherwise().say("x"), api_key="k") as server:
        assert (await post(server, body()))[0] == 401
        assert (await post(server, body(), **{"x-api-key": "other"}))[0] == 401
        assert (await post(server, body(), authorization="Bearer k"))[0] == 200
        assert server.violations == []
        assert (await post(server, body(), **{"x-api-key": "k", "anthropic-version": ""}))[0] == 400


@pytest.mark.parametrize("stream", [True, False])
async def test_a_failure_at_the_start_is_an_http_status(stream: bool) -> None:
    async with ModelServer(lambda _: Reply().fail(529, retry_after=3)) as server:
        status, content = await post(server, body(stream=stream))
    assert status == 529
    assert msgspec.json.decode(content)["error"]["type"] == "overloaded_error"


async def test_a_failure_later_is_an_event() -> None:
    async with ModelServer(lambda _: Reply().say("x").fail(529)) as server:
        status, content = await post(server, body(stream=True))
    assert status == 200
    assert b"event: error" in content and b"message_stop" not in content


async def test_a_break_cuts_the_connection() -> None:
    async with ModelServer(lambda _: Reply().say("x").break_off()) as server:
        with pytest.raises(aiohttp.ClientError):
            await post(server, body(stream=True))
        assert server.effects.failed == 1


async def test_a_pause_lasts_until_it_is_released() -> None:
    gate = asyncio.Event()
    async with ModelServer(lambda _: Reply().say("x").pause(gate).say("y")) as server:
        task = asyncio.create_task(post(server, body(stream=True)))
        await server.wait_for_requests(1)
        assert server.effects.completed == 0
        gate.set()
        assert (await task)[0] == 200
        await server.wait_for(lambda effects: effects.completed == 1)


async def test_waiting_for_what_does_not_happen_ends() -> None:
    async with ModelServer(Script()) as server:
        with pytest.raises(TimeoutError):
            await server.wait_for_requests(1, within=0.01)


async def test_requests_are_recorded_with_their_time() -> None:
    async def respond(request: dict[str, Any]) -> Reply:
        return Reply().say(request["model"])

    async with ModelServer(respond) as server:
        await post(server, body(model="first"))
        await post(server, body(model="second"))
        assert [request["model"] for request in server.bodies] == ["first", "second"]
        assert server.requests[0].at <= server.requests[1].at
