"""What the callback endpoint takes and refuses, and that a refused callback touches nothing."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import aiohttp
import pytest

from infinity.errors import StoreError
from infinity.local.journal_store import JournalStore
from infinity.testing.tool_server import Invocation, ToolServer

from .conftest import Agent

MISSING: Any = object()


@pytest.fixture
async def call(agent: Agent, server: ToolServer) -> Invocation:
    """A call that is pending."""
    await agent.begin("/call echo {}")
    return await server.invoked()


async def send(
    url: str, body: bytes, content_type: str | None = "application/json", **headers: str
) -> tuple[int, Any]:
    """Status and JSON of the answer."""
    sent = {"Content-Type": content_type, **headers} if content_type else headers
    async with (
        aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as session,
        session.post(url, data=io.BytesIO(body), headers=sent) as response,
    ):
        return response.status, await response.json()


async def untouched(agent: Agent, server: ToolServer, call: Invocation) -> None:
    """The thread is as it was, and the call is still good for its real result."""
    kinds = [entry["kind"] for entry in await agent.entries(call.group_id)]
    assert kinds[-1] == "turn", kinds
    assert await server.answer(call.id, "the real result") == 200
    await agent.until_said(call.group_id, "the real result")


def result(call: Invocation) -> dict[str, Any]:
    return {"type": "tool_result", "group_id": call.group_id, "id": call.id, "text": "a bad result"}


BAD_FIELDS: list[tuple[str, Any, str]] = [
    ("type", MISSING, "CB-6"),
    ("type", None, "CB-6"),
    ("type", "tool_results", "CB-6"),
    ("type", 5, "CB-6"),
    ("group_id", MISSING, "CB-1"),
    ("group_id", None, "CB-1"),
    ("group_id", "thread_other", "CB-2"),
    ("id", MISSING, "CB-1"),
    ("id", 5, "CB-1"),
    ("id", "call_other", "CB-2"),
    ("text", MISSING, "RES-1"),
    ("text", None, "RES-1"),
    ("text", ["x"], "CB-1"),
    ("content", "x", "CB-1"),
    ("content", [{"type": "audio"}], "CB-1"),
    ("content", [{"type": "image", "data": "no base64!", "mediaType": "image/png"}], "CB-1"),
    ("content", [{"type": "image", "data": "eA==", "mediaType": "text/html"}], "CB-1"),
    ("display_as", {}, "CB-1"),
    ("subscription", "yes", "RES-4"),
    ("call_id", 5, "CB-1"),
]


@pytest.mark.rap("CB-1", "CB-2", "CB-6", "RES-1")
async def test_a_malformed_result_gets_a_4xx_with_a_json_error_and_touches_nothing(
    agent: Agent, server: ToolServer, call: Invocation
) -> None:
    for field, value, rule in BAD_FIELDS:
        body = {**result(call), field: value}
        if value is MISSING:
            del body[field]
        status, answer = await send(call.callback_url, json.dumps(body).encode())
        assert status == 400, (field, value)
        assert answer["error"]["rule"] == rule, (field, value)
        assert answer["error"]["message"]
    await untouched(agent, server, call)


@pytest.mark.rap("CB-1", "OAU-1", "CHO-1", "CHO-2")
async def test_a_malformed_prompt_is_never_shown(agent: Agent, server: ToolServer, call: Invocation) -> None:
    choice = {
        "type": "user_choice",
        "prompt": "Go?",
        "choices": ["Yes", "No"],
        "default": 0,
        "response_url": f"{server.base_url}/choice",
    }
    oauth = {"type": "oauth", "auth_url": "https://login.example/"}
    bad = [
        {**oauth, "auth_url": "http://login.example/"},
        {**oauth, "auth_url": "javascript:alert(1)"},
        {**oauth, "auth_url": None},
        {**choice, "choices": []},
        {**choice, "choices": ["Yes", 5]},
        {**choice, "default": 2},
        {**choice, "default": -1},
        {**choice, "default": None},
        {**choice, "prompt": ""},
        {**choice, "response_url": "file:///etc/passwd"},
    ]
    for message in bad:
        body = {**message, "group_id": call.group_id, "id": call.id}
        status, _ = await send(call.callback_url, json.dumps(body).encode())
        assert status == 400, message
    assert (await agent.thread(call.group_id))["prompts"] == []
    await untouched(agent, server, call)


@pytest.mark.trap("S3")
@pytest.mark.rap("CHO-1")
async def test_a_question_whose_answer_would_go_elsewhere_is_refused(
    agent: Agent, server: ToolServer, call: Invocation
) -> None:
    for url in ("http://169.254.169.254/latest", "http://127.0.0.1:1/", f"{agent.address}/v1/threads"):
        assert await server.choice(call.id, "Go?", ["Yes"], response_url=url) == 400
    assert (await agent.thread(call.group_id))["prompts"] == []


@pytest.mark.rap("CB-6")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{} {}",
        b'{"type":"tool_result","text":"\xff"}',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\x1f\x8b\x08\x00",
    ],
    ids=lambda body: repr(body[:16]),
)
async def test_what_is_no_json_object_in_utf_8_is_refused(
    agent: Agent, server: ToolServer, call: Invocation, body: bytes
) -> None:
    status, answer = await send(call.callback_url, body)
    assert status == 400
    assert answer["error"]["rule"] == "CB-6"
    await untouched(agent, server, call)


@pytest.mark.rap("CB-6")
@pytest.mark.trap("S1")
async def test_a_wrong_content_type_or_encoding_is_refused(
    agent: Agent, server: ToolServer, call: Invocation
) -> None:
    body = json.dumps(result(call)).encode()
    for content_type in (
        None,
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ):
        status, _ = await send(call.callback_url, body, content_type)
        assert 400 <= status < 500, content_type
    assert (await send(call.callback_url, body, "application/json; charset=utf-16"))[0] == 415
    assert (await send(call.callback_url, body, **{"Content-Encoding": "gzip"}))[0] == 415
    await untouched(agent, server, call)


@pytest.mark.rap("CB-6")
@pytest.mark.trap("S1", "G2")
async def test_an_over_long_body_is_refused_whether_it_says_so_or_not(
    agent: Agent, server: ToolServer, call: Invocation
) -> None:
    long = json.dumps({**result(call), "text": "x" * (1 << 20)}).encode()
    status, answer = await send(call.callback_url, long)
    assert status == 413
    assert answer["error"]["rule"] == "CB-6"

    async def pieces() -> Any:
        for start in range(0, len(long), 1 << 16):
            yield long[start : start + (1 << 16)]

    async with aiohttp.ClientSession() as session:
        headers = {"Content-Type": "application/json"}
        async with session.post(call.callback_url, data=pieces(), headers=headers) as response:
            assert response.status == 413
    await untouched(agent, server, call)


@pytest.mark.rap("CB-5")
@pytest.mark.trap("S1")
async def test_a_wrong_token_is_refused_before_the_body_is_looked_at(
    agent: Agent, server: ToolServer, call: Invocation
) -> None:
    base, _, token = call.callback_url.rpartition("/")
    head, _, mac = token.rpartition(".")
    good = json.dumps(result(call)).encode()
    for wrong in (token[:-1], token + "A", f"{head}.{'A' * len(mac)}", "x", "..%2F..", "v1.0.0.0"):
        for body in (good, b"not even JSON", b"x" * 5000):
            status, answer = await send(f"{base}/{wrong}", body, "text/plain")
            assert status in (403, 404), wrong
            assert answer["error"].get("rule") in ("CB-5", None)
    await untouched(agent, server, call)


@pytest.mark.rap("CB-5", "CB-2")
async def test_a_token_opens_its_own_call_only(agent: Agent, server: ToolServer, call: Invocation) -> None:
    await agent.begin("/call echo {}")
    other = await server.invoked(2)
    assert (await send(other.callback_url, json.dumps(result(call)).encode()))[0] == 400
    crossed = {**result(call), "group_id": other.group_id}
    assert (await send(other.callback_url, json.dumps(crossed).encode()))[0] == 400
    await untouched(agent, server, call)


@pytest.mark.rap("CB-2")
@pytest.mark.trap("S6")
async def test_a_result_for_a_call_that_is_over_is_refused_or_a_duplicate_and_never_injected(
    agent: Agent, server: ToolServer, call: Invocation
) -> None:
    assert await server.answer(call.id, "first") == 200
    await agent.until_said(call.group_id, "first")
    before = await agent.entries(call.group_id)
    # The same id again is the same message again (CB-4), whatever it says now.
    assert await server.answer(call.id, "second") == 200
    assert await server.event(call.id, "no subscription") == 409
    assert await agent.entries(call.group_id) == before
    assert "second" not in await agent.history(call.group_id)


@pytest.mark.rap("CB-4")
async def test_a_result_sent_many_times_at_once_happens_once(
    agent: Agent, server: ToolServer, call: Invocation
) -> None:
    statuses = await asyncio.gather(*(server.answer(call.id, "once") for _ in range(20)))
    assert statuses == [200] * 20
    await agent.until_said(call.group_id, "once")
    kinds = [entry["kind"] for entry in await agent.entries(call.group_id)]
    assert kinds.count("result") == 1
    assert kinds.count("turn") == 2


@pytest.mark.rap("CB-3")
async def test_a_result_that_could_not_be_made_durable_gets_a_5xx_and_can_be_sent_again(
    agent: Agent, server: ToolServer, call: Invocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: Any, **__: Any) -> Any:
        raise StoreError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(JournalStore, "accept", full)
        assert 500 <= await server.answer(call.id, "the real result") < 600
    await untouched(agent, server, call)


@pytest.mark.rap("CB-3")
@pytest.mark.trap("L1", "L19")
async def test_what_was_answered_with_200_survives_a_restart_and_so_do_callback_urls(
    agent: Agent, server: ToolServer, call: Invocation
) -> None:
    await agent.restart()
    assert await server.answer(call.id, "after the restart") == 200
    await agent.stop()
    await agent.start()
    await agent.until_said(call.group_id, "after the restart")


@pytest.mark.rap("CB-1")
async def test_fields_of_the_future_are_ignored(agent: Agent, server: ToolServer, call: Invocation) -> None:
    more = {**result(call), "text": "fine", "priority": 9, "nested": {"a": [1, {}]}}
    assert (await send(call.callback_url, json.dumps(more).encode()))[0] == 200
    await agent.until_said(call.group_id, "fine")


@pytest.mark.rap("CB-6")
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_the_callback_endpoint_knows_post_only(call: Invocation, method: str) -> None:
    async with aiohttp.ClientSession() as session, session.request(method, call.callback_url) as response:
        assert response.status == 405
