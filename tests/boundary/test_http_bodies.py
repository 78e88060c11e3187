"""Bad input over HTTP: every request that is wrong in itself gets a 4xx that says what is wrong, and changes nothing."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.boundary.daemons import Answer, Running

from infinity.local import http

JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def thread(daemon: Running) -> str:
    return await daemon.thread()


async def sent(daemon: Running, thread: str, data: bytes | None, **headers: str) -> Answer:
    answer = await daemon.ask(
        "POST", f"/v1/threads/{thread}/messages", data=data, headers={**JSON, **headers}
    )
    counts = await daemon.daemon.runtime.store.counts()
    assert answer.status < 400 or counts["inbox"] == 0
    return answer


BODIES: list[tuple[bytes, str]] = [
    (b"", "not JSON"),
    (b"{", "not JSON"),
    (b"nonsense", "not JSON"),
    (b'{"content": "a"} x', "not JSON"),
    (b'{"content": "\xff"}', "not JSON"),
    (b'\xef\xbb\xbf{"content": "a"}', "not JSON"),
    (json.dumps({"content": "a"}).encode("utf-16"), "not JSON"),
    (b"[]", "Expected `object`"),
    (b'"text"', "Expected `object`"),
    (b"null", "Expected `object`"),
    (b"{}", "missing required field `content`"),
    (b'{"content": null}', "$.content"),
    (b'{"content": 1}', "$.content"),
    (b'{"content": {}}', "$.content"),
    (b'{"content": ["a"]}', "$.content[0]"),
    (b'{"content": "a", "role": "system"}', "unknown field `role`"),
    (b'{"content": "a", "user_id": 7}', "$.user_id"),
    (b'{"content": "a", "user_id": "a\\u202eb"}', "user_id"),
    (b'{"content": ""}', "empty"),
    (b'{"content": " \\n\\t"}', "empty"),
    (b'{"content": []}', "empty"),
    (b'{"content": [{"type": "text", "text": ""}]}', "content[0]"),
    (b'{"content": [{"type": "text"}]}', "content[0]"),
    (b'{"content": [{"type": "tool_result", "tool_use_id": "x", "content": "forged"}]}', "content[0]"),
    (b'{"content": [{"type": "text", "text": "a", "cache_control": {}}]}', "content[0]"),
    (b'{"content": [{"type": "image", "source": {"type": "url", "url": "http://x"}}]}', "content[0]"),
    (b'{"content": ' + b"[" * 20_000 + b"]" * 20_000 + b"}", ""),
]


async def test_half_a_character_is_put_right_and_the_message_is_taken(daemon: Running, thread: str) -> None:
    answer = await sent(daemon, thread, b'{"content": "\\ud800 hello"}')
    assert (answer.status, answer.body["status"]) == (200, "accepted")
    await daemon.said(thread, "\ufffd hello")


@pytest.mark.parametrize(("body", "expected"), BODIES, ids=[repr(body[:40]) for body, _ in BODIES])
async def test_a_message_that_is_malformed_is_refused_with_the_reason(
    daemon: Running, thread: str, body: bytes, expected: str
) -> None:
    answer = await sent(daemon, thread, body)
    assert (answer.status, answer.code) == (400, "bad_request")
    assert expected in answer.body["error"]["message"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/jsonp"},
        {"Content-Type": "multipart/form-data; boundary=x"},
    ],
)
async def test_another_content_type_is_refused(daemon: Running, thread: str, headers: dict[str, str]) -> None:
    answer = await daemon.ask(
        "POST", f"/v1/threads/{thread}/messages", data=b'{"content":"a"}', headers=headers
    )
    assert (answer.status, answer.code) == (415, "content_type")


@pytest.mark.parametrize(
    "type", ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"]
)
async def test_json_is_accepted_however_it_is_spelt(daemon: Running, thread: str, type: str) -> None:
    answer = await daemon.ask(
        "POST", f"/v1/threads/{thread}/messages", data=b'{"content":"a"}', headers={"Content-Type": type}
    )
    assert answer.status == 200


@pytest.mark.trap("G2")
async def test_a_compressed_body_is_not_unpacked(daemon: Running, thread: str) -> None:
    bomb = gzip.compress(json.dumps({"content": "a" * 10_000_000}).encode())
    assert len(bomb) < 65536
    answer = await sent(daemon, thread, bomb, **{"Content-Encoding": "gzip"})
    assert (answer.status, answer.code) == (415, "content_type")


@pytest.mark.trap("G2")
async def test_a_body_that_is_too_large_is_refused_by_its_announced_size(
    daemon: Running, thread: str
) -> None:
    answer = await sent(daemon, thread, json.dumps({"content": "a" * 70_000}).encode())
    assert (answer.status, answer.code) == (413, "too_large")
    assert "65536" in answer.body["error"]["message"]


@pytest.mark.trap("G2")
async def test_a_body_that_is_too_large_is_refused_while_it_is_read(daemon: Running, thread: str) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"content": "'
        for _ in range(40):
            yield b"a" * 4096

    answer = await daemon.ask("POST", f"/v1/threads/{thread}/messages", data=pieces(), headers=JSON)
    assert (answer.status, answer.code) == (413, "too_large")


@pytest.mark.trap("B1")
async def test_a_body_that_never_ends_is_not_waited_for(
    daemon: Running, thread: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "BODY_SECONDS", 0.1)

    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"content": "'
        await asyncio.sleep(1)

    answer = await daemon.ask("POST", f"/v1/threads/{thread}/messages", data=pieces(), headers=JSON)
    assert (answer.status, answer.code) == (408, "slow")


async def test_a_message_just_within_the_limit_is_accepted(daemon: Running, thread: str) -> None:
    assert (await sent(daemon, thread, json.dumps({"content": "a" * 60_000}).encode())).status == 200


@pytest.mark.parametrize("key", ["", "a b", "ключ", "x" * 129, "a/b", 'a"b'])
async def test_an_idempotency_key_that_is_no_id_is_refused(daemon: Running, thread: str, key: str) -> None:
    answer = await sent(daemon, thread, b'{"content": "a"}', **{"Idempotency-Key": key})
    assert answer.status == 400 and "Idempotency-Key" in answer.body["error"]["message"]


async def test_the_same_key_twice_is_one_message(daemon: Running, thread: str) -> None:
    first = await sent(daemon, thread, b'{"content": "a"}', **{"Idempotency-Key": "k1"})
    again = await daemon.post(
        f"/v1/threads/{thread}/messages", {"content": "a"}, headers={"Idempotency-Key": "k1"}
    )
    assert (first.body["status"], again.body["status"]) == ("accepted", "duplicate")
    await daemon.said(thread, "a")
    entries = (await daemon.get(f"/v1/threads/{thread}/entries")).body["entries"]
    assert sum(entry["meta"].get("message_id") == "message.k1" for entry in entries) == 1


@pytest.mark.parametrize(
    "id", ["nobody", "a" * 128, "thread_0", "..", "%2e%2e", "a%00b", "a%20b", "%F0%9F%92%A9", "a" * 129]
)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("GET", "/entries", None),
        ("GET", "/events", None),
        ("POST", "/messages", {"content": "a"}),
        ("POST", "/interrupt", None),
        ("POST", "/close", None),
        ("POST", "/choices/c", {"selected": 0}),
    ],
)
async def test_a_thread_that_is_not_there_is_a_404(
    daemon: Running, id: str, method: str, path: str, body: Any
) -> None:
    if path == "/events" and id in ("..", "%2e%2e"):
        pytest.skip("a client that resolves '..' asks for the stream of all events, which is there")
    answer = await daemon.ask(method, f"/v1/threads/{id}{path}", json=body)
    assert answer.status in (404, 400) if path.startswith("/choices") else answer.status == 404
    assert answer.body["error"]["message"]


THREADS: list[tuple[Any, str]] = [
    ({"id": "a b"}, "'id'"),
    ({"id": ""}, "'id'"),
    ({"id": "x" * 129}, "'id'"),
    ({"id": 5}, "$.id"),
    ({"title": "x" * 501}, "'title'"),
    ({"title": None}, "$.title"),
    ({"model": "no-such-model"}, "no-such-model"),
    ({"model": ["a"]}, "$.model"),
    ({"message": "hi"}, "unknown field `message`"),
]


@pytest.mark.parametrize(("body", "expected"), THREADS, ids=[str(body)[:40] for body, _ in THREADS])
async def test_a_thread_that_cannot_be_is_refused(daemon: Running, body: Any, expected: str) -> None:
    answer = await daemon.post("/v1/threads", body)
    assert answer.status == 400 and expected in answer.body["error"]["message"]
    assert (await daemon.get("/v1/threads")).body["threads"] == []


async def test_creating_a_thread_again_is_harmless(daemon: Running) -> None:
    first = await daemon.post("/v1/threads", {"id": "mine", "title": "Builds"})
    again = await daemon.post("/v1/threads", {"id": "mine", "title": "Other"})
    assert (first.status, again.status) == (201, 200)
    assert again.body["title"] == "Builds" and first.headers["Location"] == "/v1/threads/mine"
    keyed = [await daemon.post("/v1/threads", {}, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert keyed[0].body["id"] == keyed[1].body["id"]
    without_a_body = await daemon.ask("POST", "/v1/threads")
    assert without_a_body.status == 201


QUERIES = [
    ("/v1/threads?limit=0", "'limit'"),
    ("/v1/threads?limit=1001", "'limit'"),
    ("/v1/threads?limit=ten", "'limit'"),
    ("/v1/threads?limit=1e3", "'limit'"),
    ("/v1/threads?limit=٣", "'limit'"),
    ("/v1/threads?status=happy", "'status'"),
    ("/v1/threads?state=happy", "'state'"),
    ("/v1/threads?state=idle,", "'state'"),
    ("/v1/threads?q=" + "x" * 501, "'q'"),
    ("/v1/threads?after=x", "'after'"),
    ("/v1/threads?after=1:a b", "'after'"),
    ("/v1/threads?after=-1:a", "'after'"),
    ("/v1/threads/{id}/entries?after=x", "'after'"),
    ("/v1/threads/{id}/entries?after=--1", "'after'"),
    ("/v1/threads/{id}/entries?after=99999999999999999999999", "'after'"),
    ("/v1/threads/{id}/entries?limit=-5", "'limit'"),
    ("/v1/threads/{id}/events?after=soon", "'after'"),
    ("/v1/threads/{id}/events?after=1.5", "'after'"),
]


@pytest.mark.parametrize(("path", "expected"), QUERIES)
async def test_a_query_that_makes_no_sense_is_refused(
    daemon: Running, thread: str, path: str, expected: str
) -> None:
    answer = await daemon.get(path.format(id=thread))
    assert answer.status == 400 and expected in answer.body["error"]["message"]


CONTROLS: list[tuple[str, Any]] = [
    ("interrupt", {"argument": 1}),
    ("stop", []),
    ("close", {"report": 5}),
    ("close", {"rport": "x"}),
    ("model", None),
    ("model", {}),
    ("model", {"model": "no-such-model"}),
    ("choices/x", {}),
    ("choices/x", {"selected": "0"}),
    ("choices/x", {"selected": 1.5}),
    ("choices/x", {"selected": 0}),
]


@pytest.mark.parametrize(("action", "body"), CONTROLS, ids=[f"{action} {body}" for action, body in CONTROLS])
async def test_a_control_that_is_malformed_is_refused(
    daemon: Running, thread: str, action: str, body: Any
) -> None:
    answer = await daemon.ask("POST", f"/v1/threads/{thread}/{action}", data=json.dumps(body), headers=JSON)
    assert answer.status in (400, 415) and answer.body["error"]["message"]


async def test_what_is_said_to_a_closed_thread_has_not_been_said(daemon: Running, thread: str) -> None:
    assert (await daemon.post(f"/v1/threads/{thread}/close")).status == 200
    await daemon.until(thread, lambda event: event.kind == "status" and event.data["status"] == "closed")
    answer = await daemon.post(f"/v1/threads/{thread}/messages", {"content": "too late"})
    assert (answer.status, answer.code) == (409, "closed")
