"""What the API of the functions is beyond that of the daemon: events by polling, interrupts of slices that run elsewhere, reasons that only the cloud knows."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.boundary.cloud import functions
from tests.boundary.cloud.both import Both
from tests.boundary.cloud.functions import Functions
from tests.crash.history import undated
from tests.patience import PATIENCE
from tests.slice.scenes import Replies, Streaming

from infinity.cloud.backend import PAGE_BYTES
from infinity.cloud.hints import Trouble
from infinity.errors import ConfigError
from infinity.stamps import is_stamp
from infinity.testing.replies import say
from infinity.testing.tool_server import ToolServer


async def polled(cloud: Functions, thread: str, limit: int, after: str | None = None) -> list[dict[str, Any]]:
    """All events up to now, page by page."""
    events: list[dict[str, Any]] = []
    cursor: Any = after
    while True:
        query = f"limit={limit}" + ("" if cursor is None else f"&after={cursor}")
        page = (await cloud.get(f"/v1/threads/{thread}/events?{query}")).body
        events += page["events"]
        if len(page["events"]) < limit:
            assert page["next"] == (
                events[-1]["cursor"] if events else (-1 if after is None else page["next"])
            )
            return events
        assert page["next"] == page["events"][-1]["cursor"]
        cursor = page["next"]


@pytest.mark.trap("G5")
async def test_events_are_polled_without_gap_or_repeat_from_any_cursor(cloud: Functions) -> None:
    thread = await cloud.thread("one")
    await cloud.said(thread, "one")
    await cloud.post(f"/v1/threads/{thread}/messages", {"content": "two"})
    await cloud.said(thread, "two")
    await cloud.settled()
    events = await polled(cloud, thread, 1000)
    assert [event["cursor"] for event in events] == list(range(len(events))) and len(events) > 6
    for limit in (1, 2, 3, len(events)):
        assert await polled(cloud, thread, limit) == events
    for cursor in range(-1, len(events)):
        assert await polled(cloud, thread, 2, str(cursor)) == events[cursor + 1 :]
    header = {"Last-Event-ID": "3"}
    assert (await cloud.get(f"/v1/threads/{thread}/events?after=0", headers=header)).body["events"] == events[
        4:
    ]


async def test_the_end_of_the_stream_is_a_cursor_and_one_beyond_it_is_set_back(cloud: Functions) -> None:
    thread = await cloud.thread("one")
    await cloud.said(thread, "one")
    await cloud.settled()
    end = (await cloud.get(f"/v1/threads/{thread}")).body["cursor"]
    for after in ("latest", str(end), str(end + 50), "9" * 18):
        page = (await cloud.get(f"/v1/threads/{thread}/events?after={after}")).body
        assert page == {"events": [], "next": end}
    assert (await cloud.get("/v1/threads/nobody/events")).status == 404


async def test_polling_gives_the_data_of_the_daemon_s_stream(both: Both) -> None:
    await both.thread("t", "hello")
    await both.daemon.said("t", "hello")
    await both.cloud.said("t", "hello")
    await both.cloud.settled()
    events = await polled(both.cloud, "t", 100)
    theirs: list[tuple[int | None, str, Any]] = []
    async with both.daemon.events("t") as stream, asyncio.timeout(PATIENCE):
        async for event in stream:
            if event.id is not None:
                theirs.append((event.id, event.kind, event.data))
            if len(theirs) == len(events):
                break
    assert [(event["cursor"], event["kind"], without_times(undated(event["data"]))) for event in events] == [
        (id, kind, without_times(undated(data))) for id, kind, data in theirs
    ]


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: without_times(each)
            for key, each in value.items()
            if key not in ("at", "timings", "milliseconds", "deadline", "message_id")
        }
    if isinstance(value, list):
        return [without_times(each) for each in value if not (isinstance(each, dict) and is_stamp(each))]
    return value


async def test_a_page_that_would_be_too_large_ends_early(
    cloud: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = await cloud.thread("x" * 30_000)
    await cloud.said(thread, "xxx")
    await cloud.settled()
    events = await polled(cloud, thread, 1000)
    monkeypatch.setattr("infinity.cloud.backend.PAGE_BYTES", 10_000)
    page = (await cloud.get(f"/v1/threads/{thread}/events")).body
    assert 0 < len(page["events"]) < len(events)
    rest = (await cloud.get(f"/v1/threads/{thread}/events?after={page['next']}")).body
    assert [*page["events"], *rest["events"]] == events[: len(page["events"]) + len(rest["events"])]
    assert PAGE_BYTES * 4 // 3 < 6_000_000


async def test_pages_of_entries_that_would_be_too_large_end_early(
    cloud: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = await cloud.thread("x" * 3_000)
    await cloud.said(thread, "xxx")
    await cloud.settled()
    path = f"/v1/threads/{thread}/entries"
    whole = (await cloud.get(path)).body
    assert whole["next"] is None and len(whole["entries"]) >= 3
    for most in (1, 1_000, 3_500, 100_000):
        monkeypatch.setattr("infinity.cloud.backend.PAGE_BYTES", most)
        seen, after = [], -1
        while after is not None:
            page = (await cloud.get(f"{path}?after={after}")).body
            seen += page["entries"]
            after = page["next"]
        assert seen == whole["entries"]


@pytest.mark.trap("B8")
@pytest.mark.parametrize("action", ["interrupt", "stop", "close"])
async def test_a_slice_that_runs_elsewhere_hears_of_an_interrupt(tmp_path: Path, action: str) -> None:
    endless = Streaming("I am saying", say("never said"))
    async with functions.running(tmp_path / "cloud", models=Replies().then(endless)) as cloud:
        thread = await cloud.thread("talk to me")
        await endless.started.wait()
        assert (await cloud.post(f"/v1/threads/{thread}/{action}")).body["status"] == "accepted"
        await cloud.settled()
        found = (await cloud.get(f"/v1/threads/{thread}")).body
        assert found["status"] == {"interrupt": "idle", "stop": "stopped", "close": "closed"}[action]
        said = str((await cloud.get(f"/v1/threads/{thread}/entries")).body)
        assert ("I am saying" in said) is (action == "interrupt") and "never said" not in said


async def test_an_interrupt_is_told_beside_the_queue_and_other_controls_are_not(cloud: Functions) -> None:
    thread = await cloud.thread()
    await cloud.hold()
    for action in ("resume", "compact"):
        await cloud.post(f"/v1/threads/{thread}/{action}")
    assert await cloud.host.hints.take_interrupt(thread) is None
    answer = await cloud.post(f"/v1/threads/{thread}/interrupt")
    told = await cloud.host.hints.take_interrupt(thread)
    assert told is not None and (told.action, told.message_id) == ("interrupt", answer.body["id"])
    assert answer.body["id"] in [json.loads(body)["id"] for body in cloud.queued()]


async def test_a_wrong_setting_of_the_deployment_is_never_the_client_s_fault(
    cloud: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = await cloud.thread()

    async def refused(*_: Any) -> Any:
        raise ConfigError("the database refused the login")

    monkeypatch.setattr(cloud.host.store, "_look", refused)
    for path in ("messages", "interrupt"):
        body = {"content": "a"} if path == "messages" else None
        assert (await cloud.post(f"/v1/threads/{thread}/{path}", body)).status == 503
    assert (await cloud.post("/v1/threads", {"model": "no-such-model"})).status == 400


async def test_why_a_thread_fails_is_told(cloud: Functions) -> None:
    thread = await cloud.thread()
    await cloud.host.hints.put_trouble({thread: Trouble("storage: the database is down")})
    found = (await cloud.get(f"/v1/threads/{thread}")).body["explanation"]
    [reason] = found["reasons"]
    assert reason["kind"] == "failing" and "the database is down" in reason["text"]
    assert found["state"] == "waiting"


async def test_a_thread_whose_first_slice_fails_is_there_with_the_reason(cloud: Functions) -> None:
    thread = await cloud.thread("hello", "whole")
    await cloud.said(thread, "hello")
    whole = (await cloud.get(f"/v1/threads/{thread}")).body
    await cloud.host.hints.put_trouble({"first": Trouble("config: there is no key for Anthropic")})
    answer = await cloud.get("/v1/threads/first")
    assert answer.status == 200 and set(answer.body) >= set(whole) - {
        "context_tokens",
        "children",
        "ancestors",
        "position",
    }
    [reason] = answer.body["explanation"]["reasons"]
    assert reason["kind"] == "failing" and "no key for Anthropic" in reason["text"]
    assert (answer.body["status"], answer.body["version"]) == ("waiting", 0)
    assert (await cloud.get("/v1/threads/nothing")).status == 404
    await cloud.ask("DELETE", f"/v1/threads/{thread}")
    await cloud.host.hints.put_trouble({thread: Trouble("late")})
    assert (await cloud.get(f"/v1/threads/{thread}")).status == 410


async def test_the_same_key_twice_is_one_message(cloud: Functions) -> None:
    thread = await cloud.thread()
    path, key = f"/v1/threads/{thread}/messages", {"Idempotency-Key": "k1"}
    answers = [await cloud.post(path, {"content": "a"}, headers=key) for _ in range(3)]
    assert {answer.status for answer in answers} == {200}
    await cloud.said(thread, "a")
    await cloud.settled()
    assert (await cloud.post(path, {"content": "a"}, headers=key)).body == {"status": "duplicate"}
    entries = (await cloud.get(f"/v1/threads/{thread}/entries")).body["entries"]
    assert sum(entry["meta"].get("message_id") == "message.k1" for entry in entries) == 1


@pytest.mark.rap("CHO-1")
async def test_a_question_is_shown_answered_once_and_then_over(tooled: Functions, server: ToolServer) -> None:
    thread = await tooled.thread("/call build {}")
    invocation = await server.invoked()
    assert await server.choice(invocation.id, "Go?", ["Yes", "No"]) == 200
    await tooled.until(thread, lambda event: event["kind"] == "prompt")
    await tooled.settled()
    [prompt] = (await tooled.get(f"/v1/threads/{thread}")).body["prompts"]
    assert prompt["choices"] == ["Yes", "No"] and "response_url" not in prompt
    path = f"/v1/threads/{thread}/choices/{prompt['id']}"
    assert (await tooled.post(path, {"selected": 2})).status == 400
    assert (await tooled.post(path, {"selected": 1})).status == 200
    await server.until(lambda: bool(server.choices), "answer")
    await tooled.settled()
    again = await tooled.post(path, {"selected": 0})
    assert (again.status, again.code) == (409, "not_pending")


@pytest.mark.rap("SUB-7", "CAN-1")
async def test_a_user_ends_a_subscription_and_the_server_is_told(
    tooled: Functions, server: ToolServer
) -> None:
    thread = await tooled.thread('/call watch {"number": 1}')
    invocation = await server.invoked()
    assert await server.answer(invocation.id, "watching", subscription=True) == 200
    await tooled.until(thread, lambda event: event["kind"] == "subscription")
    await tooled.settled()
    [found] = (await tooled.get("/v1/subscriptions")).body["subscriptions"]
    assert (found["thread"], found["call_id"], found["arguments"]) == (thread, invocation.id, {"number": 1})
    path = f"/v1/threads/{thread}/subscriptions/{invocation.id}"
    assert (await tooled.ask("DELETE", path)).body["status"] == "accepted"
    told = ("/cancel_tool_call", {"thread_id": thread, "tool_call_id": invocation.id})
    await server.until(lambda: told in server.notices, "notice of the cancellation")
    await tooled.settled()
    assert (await tooled.ask("DELETE", path)).status == 404
    assert await server.event(invocation.id, "too late") == 409
