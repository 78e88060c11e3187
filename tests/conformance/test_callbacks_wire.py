"""What the callback endpoint takes and refuses, and what a refusal does to the call: it ends in words, because its sender stops (CB-7)."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from tests.patience import PATIENCE

from infinity.errors import StoreError
from infinity.stores.sqlite.store import JournalStore
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


async def another(agent: Agent, server: ToolServer) -> Invocation:
    """One more pending call, in a thread of its own."""
    await agent.begin("/call echo {}")
    return await server.invoked(len(server.invocations) + 1)


async def ended(agent: Agent, call: Invocation, reason: str = "") -> str:
    """The call was answered with an error that says why; its words."""

    def answered(entries: list[dict[str, Any]]) -> bool:
        return any(entry["kind"] == "result" for entry in entries)

    await agent.until(call.group_id, answered, "an error result")
    results = [each for each in await agent.entries(call.group_id) if each["kind"] == "result"]
    said = json.dumps(results)
    assert len(results) == 1 and "was refused by the runtime" in said and reason in said, said
    assert "a bad result" not in said
    return said


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


@pytest.mark.rap("CB-1", "CB-2", "CB-6", "CB-7", "RES-1")
async def test_a_malformed_result_gets_a_4xx_with_a_json_error_and_ends_its_call_in_words(
    agent: Agent, server: ToolServer
) -> None:
    for field, value, rule in BAD_FIELDS:
        call = await another(agent, server)
        body = {**result(call), field: value}
        if value is MISSING:
            del body[field]
        status, answer = await send(call.callback_url, json.dumps(body).encode())
        assert status == 400, (field, value)
        assert answer["error"]["rule"] == rule, (field, value)
        assert answer["error"]["message"]
        await ended(agent, call)


@pytest.mark.rap("CB-1", "CB-7", "OAU-1", "CHO-1", "CHO-2")
async def test_a_malformed_prompt_is_never_shown_ends_its_call_and_its_server_is_told(
    agent: Agent, server: ToolServer
) -> None:
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
        call = await another(agent, server)
        body = {**message, "group_id": call.group_id, "id": call.id}
        status, _ = await send(call.callback_url, json.dumps(body).encode())
        assert status == 400, message
        assert (await agent.thread(call.group_id))["prompts"] == []
        await ended(agent, call, "question" if message["type"] == "user_choice" else "signs in")
        notice = ("/cancel_tool_call", {"thread_id": call.group_id, "tool_call_id": call.id})
        await server.until(lambda notice=notice: notice in server.notices, "the cancel notice")


@pytest.mark.trap("S3")
@pytest.mark.rap("CHO-1")
async def test_a_question_whose_answer_would_go_elsewhere_is_refused(
    agent: Agent, server: ToolServer
) -> None:
    for url in ("http://169.254.169.254/latest", "http://127.0.0.1:1/", f"{agent.address}/v1/threads"):
        call = await another(agent, server)
        assert await server.choice(call.id, "Go?", ["Yes"], response_url=url) == 400
        assert (await agent.thread(call.group_id))["prompts"] == []
        await ended(agent, call, "response_url does not belong")


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
    await ended(agent, call)


@pytest.mark.rap("CB-6", "CB-7")
@pytest.mark.trap("S1")
async def test_a_wrong_content_type_or_encoding_is_refused(agent: Agent, server: ToolServer) -> None:
    for content_type, headers in (
        (None, {}),
        ("text/plain", {}),
        ("text/json", {}),
        ("application/x-www-form-urlencoded", {}),
        ("multipart/form-data", {}),
        ("application/json; charset=utf-16", {}),
        ("application/json", {"Content-Encoding": "gzip"}),
    ):
        call = await another(agent, server)
        body = json.dumps(result(call)).encode()
        status, _ = await send(call.callback_url, body, content_type, **headers)
        assert 400 <= status < 500, content_type
        await ended(agent, call, "send ")


LONG = "x" * (8 << 20)


async def _in_pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1 << 16):
        yield body[start : start + (1 << 16)]


@pytest.mark.rap("CB-6", "CB-7", "CB-8")
@pytest.mark.trap("S1", "G2")
@pytest.mark.parametrize("announced", [True, False])
async def test_an_over_long_body_is_refused_whether_it_says_so_or_not_and_ends_its_call(
    agent: Agent, server: ToolServer, call: Invocation, announced: bool
) -> None:
    long = json.dumps({**result(call), "text": LONG}).encode()
    data: Any = io.BytesIO(long) if announced else _in_pieces(long)
    headers = {"Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(call.callback_url, data=data, headers=headers) as response,
    ):
        assert response.status == 413
        assert (await response.json())["error"]["rule"] == "CB-6"
    await ended(agent, call, "limits.callback_bytes")


@pytest.mark.rap("CB-8")
@pytest.mark.parametrize("size", [1_500_000, (8 << 20) - 300])
async def test_a_body_of_up_to_eight_mebibytes_is_taken_and_the_model_sees_a_part_of_it(
    agent: Agent, server: ToolServer, call: Invocation, size: int
) -> None:
    text = "begin " + "x" * (size - 10) + " end"
    assert await server.answer(call.id, text) == 200
    # The stream's rows are as large as what was sent, so the history is asked for instead.
    async with asyncio.timeout(PATIENCE):
        while "begin xxx" not in await agent.history(call.group_id):
            pass
    assert len(await agent.history(call.group_id)) < 1_000_000


@pytest.mark.rap("CB-7", "CB-8")
@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("subscription_event", {"text": 5}),
        ("subscription_event", {"text": "x" * (1 << 20)}),
        ("view_update", {"view_type": ""}),
        ("view_update", {"view_type": "t", "content": "x" * (1 << 20)}),
        ("view_update", {"view_type": "t", "content": LONG}),
    ],
)
async def test_a_refused_event_or_view_is_a_problem_on_record_and_its_call_goes_on(
    agent: Agent, server: ToolServer, call: Invocation, kind: str, fields: dict[str, Any]
) -> None:
    body = {"type": kind, "group_id": call.group_id, "tool_call_id": call.id, **fields}
    for _ in range(3):
        status, _ = await send(call.callback_url, json.dumps(body).encode())
        assert status in (400, 413)
    found = [data async for data in _problems(agent, call.group_id)]
    assert len(found) == 1 and "was refused" in found[0]["text"], found
    assert await server.answer(call.id, "the real result") == 200
    await agent.until_said(call.group_id, "the real result")


async def _problems(agent: Agent, thread: str) -> AsyncIterator[dict[str, Any]]:
    """Those of the thread's stream up to its first."""
    async for kind, data in agent.events(thread):
        if kind == "problem":
            yield data
            return


@pytest.mark.rap("CB-7")
async def test_a_body_that_breaks_off_changes_nothing(
    agent: Agent, server: ToolServer, call: Invocation
) -> None:
    host, _, port = agent.address.removeprefix("http://").partition(":")
    path = call.callback_url.removeprefix(agent.address)
    for _ in range(2):
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n"
        writer.write(head.encode() + b'{"type": "tool_result", ')
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert await reader.read() == b""
    await untouched(agent, server, call)


@pytest.mark.rap("CB-7", "CB-3")
async def test_a_refusal_that_could_not_be_recorded_is_a_5xx_and_the_call_stays_open(
    agent: Agent, server: ToolServer, call: Invocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(self: JournalStore, *message: Any, **how: Any) -> Any:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(JournalStore, "accept", full)
        status, _ = await send(call.callback_url, b"{")
        assert status in (503, 507)
    await untouched(agent, server, call)


@pytest.mark.rap("CB-7")
async def test_a_refusal_for_a_call_that_is_over_changes_nothing(
    agent: Agent, server: ToolServer, call: Invocation
) -> None:
    assert await server.answer(call.id, "the real result") == 200
    await agent.until_said(call.group_id, "the real result")
    before = await agent.history(call.group_id)
    for body in (b"{", json.dumps({"type": "user_choice"}).encode(), b'{"type": "view_update"'):
        assert (await send(call.callback_url, body))[0] == 400
    assert await agent.history(call.group_id) == before
    assert (await agent.thread(call.group_id))["problem"] is None


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
