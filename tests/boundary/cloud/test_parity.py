"""Both hosts give the same answer, status and JSON, to the same request: everything that the daemon's own boundary tests send it, and more."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest
from tests.boundary.cloud.both import Both, compare
from tests.boundary.test_http_bodies import BODIES, CONTROLS, JSON, QUERIES, THREADS
from tests.boundary.test_http_callbacks import MALFORMED
from tests.conformance.test_callbacks_wire import BAD_FIELDS, MISSING
from tests.patience import PATIENCE

from infinity.rap.capability import Capabilities, generate_key
from infinity.testing.tool_server import Invocation, ToolServer

TYPES = [
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/json; charset=latin-1",
    "application/json; charset=utf-16",
    'application/json; charset="utf-8"',
    "application/json;charset=UTF-8",
    "Application/JSON",
    "application/jsonp",
    "application/json, text/plain",
    "multipart/form-data; boundary=x",
    "json",
    "",
]


async def test_bodies_of_messages(both: Both) -> None:
    thread = await both.thread("t")
    path = f"/v1/threads/{thread}/messages"
    for body, expected in BODIES:
        answer = await both.same("POST", path, data=body, headers=JSON)
        assert answer.status == 400 and expected in answer.body["error"]["message"], body
    for size in (60_000, 65_536, 65_537, 70_000):
        data = json.dumps({"content": "a" * (size - len('{"content": ""}'))}).encode()
        await both.same("POST", path, data=data, headers={**JSON, "Idempotency-Key": f"size{size}"})
    assert both.cloud.queued() == [] or len(both.cloud.queued()) <= 2


async def test_content_types_and_encodings(both: Both) -> None:
    thread = await both.thread("t")
    path = f"/v1/threads/{thread}/messages"
    data = b'{"content": "a"}'
    for number, kind in enumerate(TYPES):
        headers = {"Content-Type": kind, "Idempotency-Key": f"k{number}"}
        await both.same("POST", path, data=data, headers=headers)
    bomb = gzip.compress(json.dumps({"content": "a" * 10_000_000}).encode())
    answer = await both.same("POST", path, data=bomb, headers={**JSON, "Content-Encoding": "gzip"})
    assert (answer.status, answer.code) == (415, "content_type")


async def test_other_content_under_a_used_key_is_refused(both: Both) -> None:
    path = f"/v1/threads/{await both.thread('t')}/messages"
    for text, status in (("a", 200), ("b", 409), ("c", 409)):
        answer = await both.post(path, {"content": text}, headers={"Idempotency-Key": "used"})
        assert answer.status == status, text
    for title, status in (("a", 201), ("a", 200), ("b", 409)):
        answer = await both.post("/v1/threads", {"title": title}, headers={"Idempotency-Key": "made"})
        assert answer.status == status, title


async def test_keys(both: Both) -> None:
    thread = await both.thread("t")
    for key in ("", "a b", "ключ", "x" * 129, "a/b", 'a"b', "fine"):
        headers = {**JSON, "Idempotency-Key": key}
        await both.same("POST", f"/v1/threads/{thread}/messages", data=b'{"content": "a"}', headers=headers)


async def test_new_threads(both: Both) -> None:
    for body, expected in THREADS:
        answer = await both.post("/v1/threads", body)
        assert answer.status == 400 and expected in answer.body["error"]["message"]
    assert (await both.same("GET", "/v1/threads")).body == {"threads": [], "next": None}
    for title in ("Builds", "Other"):
        await both.post("/v1/threads", {"id": "mine", "title": title})
    for _ in range(2):
        await both.same("POST", "/v1/threads", headers={"Idempotency-Key": "k"})
    await both.same("GET", "/v1/threads/mine")
    await both.same("GET", "/v1/threads/mine/entries")


async def test_threads_that_are_not_there(both: Both) -> None:
    asked: list[tuple[str, str, Any]] = [
        ("GET", "", None),
        ("GET", "/entries", None),
        ("POST", "/messages", {"content": "a"}),
        ("POST", "/interrupt", None),
        ("POST", "/stop", {}),
        ("POST", "/resume", None),
        ("POST", "/compact", None),
        ("POST", "/close", {"report": "x"}),
        ("POST", "/model", {"model": "scripted"}),
        ("POST", "/choices/choice.c", {"selected": 0}),
        ("POST", "/tools", None),
        ("DELETE", "/subscriptions/call_x", None),
    ]
    for id in ("nobody", "a" * 128, "a" * 129, "a%00b", "a%20b", "a%2Fb", "%F0%9F%92%A9", "%ff"):
        for method, path, body in asked:
            answer = await both.same(method, f"/v1/threads/{id}{path}", json=body)
            assert answer.status in (400, 404), (id, path)
    for query in ("thread=nobody", "thread=a%20b", "call_id=nobody", "call_id=%00", "after=x", "limit=0"):
        await both.same("GET", f"/v1/subscriptions?{query}")


async def test_queries(both: Both) -> None:
    thread = await both.thread("t")
    for path, expected in QUERIES:
        answer = await both.same("GET", path.format(id=thread))
        assert answer.status == 400 and expected in answer.body["error"]["message"]
    for query in (
        "limit=1",
        "q=T&state=idle",
        "model=scripted",
        "status=idle",
        "status=closed",
        "root=t",
        "parent=t",
        "root=%00",
        "parent=%ff",
    ):
        await both.same("GET", f"/v1/threads?{query}")
    for query in ("after=0", "after=-1&limit=1", "limit=1", "limit=1&limit=x"):
        await both.same("GET", f"/v1/threads/{thread}/entries?{query}")


async def test_controls(both: Both) -> None:
    thread = await both.thread("t")
    for action, body in CONTROLS:
        await both.same("POST", f"/v1/threads/{thread}/{action}", data=json.dumps(body), headers=JSON)
    for action in ("interrupt", "stop", "resume", "compact"):
        await both.post(f"/v1/threads/{thread}/{action}", {}, headers={"Idempotency-Key": action})
    await both.same("POST", f"/v1/threads/{thread}/interrupt", headers={"Idempotency-Key": "no-body"})
    await both.post(
        f"/v1/threads/{thread}/model", {"model": "scripted"}, headers={"Idempotency-Key": "model"}
    )


async def test_paths_and_methods(both: Both) -> None:
    await both.thread("t")
    asked = [
        ("GET", "/nothing"),
        ("GET", "/v1"),
        ("GET", "/v1/"),
        ("GET", "/v1/nothing"),
        ("GET", "/v1/threads/"),
        ("GET", "/v1/threads/t/"),
        ("GET", "/v1/threads//entries"),
        ("POST", "/v1/threads/t/entries"),
        ("PUT", "/v1/threads/t/messages"),
        ("PATCH", "/v1/threads"),
        ("DELETE", "/v1/threads"),
        ("PUT", "/v1/threads/t"),
        ("DELETE", "/v1/threads/nobody"),
        ("OPTIONS", "/v1/threads"),
        ("GET", "/v1/threads/t/subscriptions/x"),
        ("GET", "/V1/threads"),
        ("GET", "/healthz"),
        ("POST", "/healthz"),
        ("GET", "/callback/x"),
        ("POST", "/callback"),
        ("POST", "/callback/"),
    ]
    for method, path in asked:
        await both.same(method, path)


@pytest.mark.trap("G7")
async def test_a_conversation_that_was_deleted(both: Both) -> None:
    thread = await both.thread("t", "a text that goes")
    path = f"/v1/threads/{thread}"
    assert (await both.daemon.ask("DELETE", path)).status == 200
    begun = await both.cloud.ask("DELETE", path)
    assert (begun.status, begun.body["id"]) == (202, thread)
    async with asyncio.timeout(PATIENCE):
        while (await both.cloud.ask("DELETE", path)).status != 410:
            await asyncio.sleep(0.01)
    gone = [
        await both.same("DELETE", path),
        await both.same("GET", path),
        await both.same("GET", f"{path}/entries"),
        await both.post(f"{path}/messages", {"content": "still there?"}),
        *[await both.post(f"{path}/{action}") for action in ("interrupt", "stop", "resume", "close")],
        await both.post("/v1/threads", {"id": thread}),
    ]
    assert {(answer.status, answer.code) for answer in gone} == {(410, "deleted")}


async def test_a_thread_that_has_talked_and_one_that_is_closed(both: Both) -> None:
    thread = await both.thread("t", "hello")
    await both.daemon.said(thread, "hello")
    await both.cloud.said(thread, "hello")
    await both.cloud.settled()
    await both.same("GET", f"/v1/threads/{thread}")
    await both.same("GET", f"/v1/threads/{thread}/entries")
    await both.same("GET", "/v1/threads?status=idle")
    again = {"Idempotency-Key": "k"}
    assert (await both.post(f"/v1/threads/{thread}/messages", {"content": "hello"}, headers=again)).body == {
        "status": "duplicate"
    }
    await both.post(f"/v1/threads/{thread}/close", {"report": "bye"}, headers={"Idempotency-Key": "close"})
    await both.daemon.until(thread, lambda event: event.data.get("status") == "closed")
    await both.cloud.until(thread, lambda event: event["data"].get("status") == "closed")
    await both.cloud.settled()
    bodies = {"messages": {"content": "too late"}, "title": {"title": "too late"}}
    for path in ("messages", "title", "interrupt", "stop", "close"):
        body = bodies.get(path)
        answer = await both.post(f"/v1/threads/{thread}/{path}", body)
        assert (answer.status, answer.code) == (409, "closed")
    await both.same("GET", f"/v1/threads/{thread}")


async def test_toolsets(both: Both) -> None:
    thread = await both.thread("t")
    [found] = (await both.same("GET", "/v1/toolsets")).body["toolsets"]
    assert found["name"] == "ci" and {each["name"] for each in found["tools"]} == {"build", "watch"}
    await both.same("POST", f"/v1/threads/{thread}/tools")
    await both.post(f"/v1/threads/{thread}/tools", {"x": 1})


# -- callbacks


class Calls:
    """The same call, open on both hosts: each has its own id."""

    def __init__(self, both: Both, theirs: Invocation, ours: Invocation) -> None:
        self.both, self.theirs, self.ours = both, theirs, ours

    async def same(self, body: Any, path: str = "{token}", **headers: str) -> Any:
        """``body``: of the call, by its ``id``; bytes as they are."""
        given = {"Content-Type": "application/json", "Authorization": "", **headers}
        answers = []
        for host, call in ((self.both.daemon, self.theirs), (self.both.cloud, self.ours)):
            token = call.callback_url.rpartition("/")[2]
            data = body if isinstance(body, bytes) else json.dumps(body(call)).encode()
            place = "/callback/" + path.format(token=token, cut=token[:-1])
            answers.append(await host.ask("POST", place, data=data, headers=given))
        compare(answers[0], answers[1], (body, path), {self.theirs.id: self.ours.id})
        return answers[1]


def result(call: Invocation, **changes: Any) -> dict[str, Any]:
    body = {"type": "tool_result", "group_id": call.group_id, "id": call.id, "text": "done", **changes}
    return {name: value for name, value in body.items() if value is not MISSING}


@pytest.fixture
async def calls(both: Both, server: ToolServer) -> Calls:
    await both.thread("t")
    made = []
    for host in (both.daemon, both.cloud):
        await host.post("/v1/threads/t/messages", {"content": "/call build {}"})
        made.append(await server.invoked(len(made) + 1))
    return Calls(both, *made)


@pytest.mark.rap("CB-1", "CB-2", "CB-6", "RES-1")
async def test_callbacks_that_are_malformed(calls: Calls) -> None:
    for field, value, rule in BAD_FIELDS:
        answer = await calls.same(lambda call, field=field, value=value: result(call, **{field: value}))
        assert (answer.status, answer.body["error"]["rule"]) == (400, rule), (field, value)
    for body in MALFORMED:
        await calls.same(body if isinstance(body, bytes) else json.dumps(body).encode())
    for body in (b"[" * 60_000, b'{"a":' * 10_000, b"\xef\xbb\xbf{}", b"{} {}", b"null"):
        assert (await calls.same(body)).status == 400
    # The first of them has ended the call, in words (CB-7), so a result comes too late on either host.
    late = await calls.same(result)
    assert (late.status, late.body["error"]["code"]) == (409, "not_pending")


@pytest.mark.rap("CB-1", "OAU-1", "CHO-1", "CHO-2")
@pytest.mark.trap("S3")
async def test_prompts_that_are_malformed(calls: Calls, server: ToolServer) -> None:
    choice = {
        "type": "user_choice",
        "prompt": "Go?",
        "choices": ["Yes", "No"],
        "default": 0,
        "response_url": f"{server.base_url}/choice",
    }
    oauth = {"type": "oauth", "auth_url": "https://login.example/"}
    bad: list[dict[str, Any]] = [
        {**oauth, "auth_url": "http://login.example/"},
        {**oauth, "auth_url": None},
        {**choice, "choices": []},
        {**choice, "default": 2},
        {**choice, "default": -1},
        {**choice, "prompt": ""},
        {**choice, "response_url": "file:///etc/passwd"},
        {**choice, "response_url": "http://169.254.169.254/latest"},
    ]
    for message in bad:
        answer = await calls.same(
            lambda call, message=message: {**message, "group_id": call.group_id, "id": call.id}
        )
        assert answer.status == 400, message


@pytest.mark.rap("CB-5", "CB-6")
@pytest.mark.trap("S1")
async def test_callbacks_without_their_capability_or_of_another_type(calls: Calls) -> None:
    for path in ("x", "v1.a.b.c", "{token}x", "{cut}", "{token}/..", "a" * 600, "%E2%98%83", "%00"):
        answer = await calls.same(b"\xff", path, **{"Content-Type": "text/plain"})
        assert answer.status in (403, 404), path
    forged = Capabilities([generate_key()], "http://x").url("t", calls.ours.id).rpartition("/")[2]
    assert (await calls.same(result, forged)).code == "capability"
    for kind in TYPES:
        if not kind.lower().startswith("application/json"):
            assert (await calls.same(result, **{"Content-Type": kind})).status == 415
    assert (await calls.same(result, **{"Content-Encoding": "gzip"})).status == 415


@pytest.mark.rap("CB-2", "CB-4", "SUB-1", "CAN-2")
async def test_callbacks_of_calls_that_are_over_or_never_subscribed(calls: Calls) -> None:
    def event(call: Invocation) -> dict[str, Any]:
        return {
            "type": "subscription_event",
            "group_id": call.group_id,
            "tool_call_id": call.id,
            "text": "news",
        }

    both = calls.both
    await both.post("/v1/threads/t/interrupt", headers={"Idempotency-Key": "i"})
    await both.daemon.until("t", lambda found: found.kind == "call_ended")
    await both.cloud.until("t", lambda found: found["kind"] == "call_ended")
    assert (await calls.same(result)).body["status"] == "discarded"
    await calls.same(event)
    await calls.same(
        lambda call: {"type": "view_update", "group_id": "t", "view_type": "diff", "content": {}}
    )
