"""Callbacks over HTTP: the capability first, then the headers, then the body; each outcome with the status that tells the sender what to do."""

from __future__ import annotations

import asyncio
import errno
import io
import json
from typing import Any

import pytest
from tests.boundary.daemons import SOON, Answer, Running

from infinity.errors import StoreError
from infinity.local import http
from infinity.rap.capability import Capabilities, generate_key
from infinity.testing.tool_server import Invocation, ToolServer


@pytest.fixture
async def invocation(tooled: Running, server: ToolServer) -> Invocation:
    """An open call."""
    await tooled.thread("/call build {}")
    return await server.invoked()


def result(invocation: Invocation, **changes: Any) -> dict[str, Any]:
    return {
        "type": "tool_result",
        "group_id": invocation.group_id,
        "id": invocation.id,
        "text": "done",
        **changes,
    }


async def back(daemon: Running, invocation: Invocation, body: Any, **headers: str) -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"Content-Type": "application/json", "Authorization": "", **headers}
    return await daemon.ask(
        "POST", invocation.callback_url.removeprefix(daemon.url), data=io.BytesIO(data), headers=given
    )


async def test_a_result_is_accepted_once_and_then_a_duplicate(
    tooled: Running, invocation: Invocation
) -> None:
    first = await back(tooled, invocation, result(invocation))
    again = await back(tooled, invocation, result(invocation))
    await tooled.said(invocation.group_id, "done")
    later = await back(tooled, invocation, result(invocation, text="something else"))
    assert [(each.status, each.body["status"]) for each in (first, again, later)] == [
        (200, "accepted"),
        (200, "duplicate"),
        (200, "duplicate"),
    ]


@pytest.mark.rap("CB-5")
@pytest.mark.trap("S1")
@pytest.mark.parametrize(
    "wrong", ["", "x", "v1.a.b.c", "{token}x", "{cut}", "{token}/..", "a" * 600, "%2e%2e", "☃"]
)
async def test_a_wrong_token_is_refused_whatever_the_body(
    tooled: Running, invocation: Invocation, wrong: str
) -> None:
    token = invocation.callback_url.rpartition("/")[2]
    path = "/callback/" + wrong.format(token=token, cut=token[:-1])
    answer = await tooled.ask("POST", path, data=b"\xff", headers={"Content-Type": "text/plain"})
    # A client that resolves ".." posts to the console's page.
    assert answer.status in (403, 404, 405)
    if answer.status == 403:
        assert answer.body["error"]["rule"] == "CB-5"


@pytest.mark.rap("CB-5")
async def test_a_token_of_another_key_is_refused(tooled: Running, invocation: Invocation) -> None:
    forged = Capabilities([generate_key()], tooled.url).url(invocation.group_id, invocation.id)
    answer = await tooled.post(forged.removeprefix(tooled.url), result(invocation))
    assert (answer.status, answer.code) == (403, "capability")


@pytest.mark.rap("CB-5")
async def test_a_wrong_token_is_refused_before_the_body_is_sent(tooled: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", tooled.port)
    head = "POST /callback/forged HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    writer.write(head.encode())
    await writer.drain()
    line = await asyncio.wait_for(reader.readline(), SOON)
    assert b" 403 " in line
    writer.close()


async def test_callbacks_need_neither_our_token_nor_our_host(tooled: Running, invocation: Invocation) -> None:
    answer = await back(
        tooled, invocation, result(invocation), Host="agent.example", Origin="http://tool.example"
    )
    assert answer.status == 200


@pytest.mark.rap("CB-6")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/octet-stream"}, 415),
        ({"Content-Type": "application/json; charset=utf-16"}, 415),
        ({"Content-Encoding": "gzip"}, 415),
    ],
)
async def test_a_callback_of_another_type_is_refused(
    tooled: Running, invocation: Invocation, headers: dict[str, str], status: int
) -> None:
    answer = await back(tooled, invocation, result(invocation), **headers)
    assert (answer.status, answer.body["error"]["rule"]) == (status, "CB-6")


MALFORMED: list[Any] = [
    b"",
    b"{",
    b'{"type": "tool_result", "text": "\xff"}',
    [],
    {},
    {"type": "nonsense"},
    {"type": "tool_result"},
    {"type": 5},
]


@pytest.mark.rap("CB-1")
@pytest.mark.rap("CB-6")
@pytest.mark.parametrize("body", MALFORMED, ids=[str(body)[:40] for body in MALFORMED])
@pytest.mark.rap("CB-7")
async def test_a_malformed_callback_is_refused_and_ends_the_call_in_words(
    tooled: Running, invocation: Invocation, body: Any
) -> None:
    answer = await back(tooled, invocation, body)
    assert answer.status == 400 and answer.body["error"]["rule"]
    await tooled.said(invocation.group_id, "was refused by the runtime")


@pytest.mark.rap("CB-6")
@pytest.mark.trap("G2")
async def test_a_callback_that_is_too_large_is_refused(tooled: Running, invocation: Invocation) -> None:
    answer = await back(tooled, invocation, result(invocation, text="a" * (8 << 20)))
    assert (answer.status, answer.body["error"]["rule"]) == (413, "CB-6")


@pytest.mark.rap("CB-2")
@pytest.mark.parametrize("change", [{"group_id": "another"}, {"id": "another"}, {"id": ""}])
async def test_a_callback_that_speaks_of_something_else_is_refused(
    tooled: Running, invocation: Invocation, change: dict[str, str]
) -> None:
    answer = await back(tooled, invocation, result(invocation, **change))
    assert 400 <= answer.status < 500


@pytest.mark.rap("SUB-1")
async def test_an_event_of_a_call_that_never_subscribed_is_refused(
    tooled: Running, invocation: Invocation
) -> None:
    await back(tooled, invocation, result(invocation))
    await tooled.said(invocation.group_id, "done")
    event = {
        "type": "subscription_event",
        "group_id": invocation.group_id,
        "tool_call_id": invocation.id,
        "text": "news",
    }
    answer = await back(tooled, invocation, event)
    assert (answer.status, answer.body["error"]["rule"]) == (409, "SUB-1")


@pytest.mark.rap("CAN-2")
async def test_a_result_of_a_cancelled_call_is_taken_off_the_sender_s_hands(
    tooled: Running, invocation: Invocation, server: ToolServer
) -> None:
    await tooled.post(f"/v1/threads/{invocation.group_id}/interrupt")
    await server.until(lambda: bool(server.notices), "cancel notice")
    answer = await back(tooled, invocation, result(invocation))
    assert (answer.status, answer.body["status"]) == (200, "discarded")


@pytest.mark.rap("CB-3")
@pytest.mark.parametrize(("free", "status"), [(1 << 40, 503), (0, 507)])
async def test_a_store_that_cannot_write_tells_the_sender_to_try_again(
    tooled: Running, invocation: Invocation, monkeypatch: pytest.MonkeyPatch, free: int, status: int
) -> None:
    async def broken(*_: Any) -> Any:
        raise StoreError("cannot write") from OSError(errno.EIO, "I/O error")

    class Usage:
        pass

    Usage.free = free  # type: ignore[attr-defined]
    monkeypatch.setattr(http.shutil, "disk_usage", lambda _: Usage)
    monkeypatch.setattr(tooled.daemon.runtime.store, "accept", broken)
    answer = await back(tooled, invocation, result(invocation))
    assert (answer.status, answer.code) == (status, "storage")
    monkeypatch.undo()
    assert (await back(tooled, invocation, result(invocation))).body["status"] == "accepted"


@pytest.mark.trap("L19")
async def test_a_callback_url_outlives_the_daemon(tooled: Running, invocation: Invocation) -> None:
    await tooled.restart()
    answer = await back(tooled, invocation, result(invocation))
    assert answer.body["status"] == "accepted"
    await tooled.said(invocation.group_id, "done")


@pytest.mark.trap("S9")
async def test_the_log_holds_ids_and_sizes_only(
    tooled: Running, invocation: Invocation, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    await back(tooled, invocation, result(invocation, text="the-secret-result"))
    await back(tooled, invocation, {"type": "the-secret-type"})
    await tooled.post(f"/v1/threads/{invocation.group_id}/messages", {"content": "the-secret-message"})
    await tooled.said(invocation.group_id, "the-secret-message")
    token = invocation.callback_url.rpartition("/")[2]
    assert invocation.id in caplog.text
    for secret in ("the-secret", token, tooled.home.token() or "?"):
        assert secret not in caplog.text


def view(invocation: Invocation, view_type: str, content: Any = 1) -> dict[str, Any]:
    return {
        "type": "view_update",
        "group_id": invocation.group_id,
        "view_type": view_type,
        "content": {"x": content},
    }


@pytest.mark.trap("G9")
async def test_a_thread_keeps_so_many_views_and_says_when_there_are_more(
    tooled: Running, invocation: Invocation
) -> None:
    answers = await asyncio.gather(*(back(tooled, invocation, view(invocation, f"v{n}")) for n in range(150)))
    refused = [answer for answer in answers if answer.status != 200]
    assert len(refused) == 50 and {answer.status for answer in refused} == {429}
    assert "limits.view_types" in refused[0].body["error"]["message"]
    kept = await tooled.daemon.runtime.store.views(invocation.group_id)
    assert len(kept) == 100
    # One that is there may be replaced for ever, also after the daemon has started anew.
    assert (await back(tooled, invocation, view(invocation, kept[0][0], 2))).status == 200
    await tooled.restart()
    assert (await back(tooled, invocation, view(invocation, kept[0][0], 3))).status == 200
    assert (await back(tooled, invocation, view(invocation, "another"))).status == 429


@pytest.mark.trap("G9")
async def test_the_views_of_a_thread_are_bounded_in_bytes(tooled: Running, invocation: Invocation) -> None:
    large = "y" * 60_000
    answers = [await back(tooled, invocation, view(invocation, f"v{n}", large)) for n in range(80)]
    refused = [answer for answer in answers if answer.status == 429]
    assert refused and "limits.kept_view_bytes" in refused[0].body["error"]["message"]
    kept = await tooled.daemon.runtime.store.views(invocation.group_id)
    assert sum(len(content) for _, content in kept) <= 4 << 20
    # What is made smaller makes room again.
    for n in range(5):
        assert (await back(tooled, invocation, view(invocation, f"v{n}", "small"))).status == 200
    assert (await back(tooled, invocation, view(invocation, "v75", large))).status == 200
