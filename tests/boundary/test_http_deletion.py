"""``DELETE /v1/threads/{id}``: what it answers, and what everything else answers afterwards."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from tests.boundary.daemons import SOON, Running, running
from tests.unit.local.test_moving import OCTETS, download, pair

from infinity.errors import StoreError
from infinity.testing.tool_server import ToolServer

pytestmark = pytest.mark.trap("G7")


async def test_everything_says_that_a_deleted_conversation_is_gone_for_good(
    tooled: Running, server: ToolServer
) -> None:
    thread = await tooled.thread("/call build {}")
    invocation = await server.invoked()
    file = await download(tooled, thread, keep=True)
    async with tooled.events(thread) as events, asyncio.timeout(SOON):
        assert (await anext(events)).kind
        deleted = await tooled.ask("DELETE", f"/v1/threads/{thread}")
        async for _ in events:
            pass
    assert (deleted.status, set(deleted.body)) == (200, {"id", "deleted_at"})
    path = f"/v1/threads/{thread}"
    gone = [
        await tooled.get(path),
        await tooled.get(f"{path}/entries"),
        await tooled.get(f"{path}/events"),
        await tooled.post(f"{path}/messages", {"content": "still there?"}),
        *[
            await tooled.post(f"{path}/{action}")
            for action in ("interrupt", "stop", "resume", "close", "compact")
        ],
        await tooled.post(f"{path}/model", {"model": "scripted/default"}),
        await tooled.post(f"{path}/choices/choice.x", {"selected": 0}),
        await tooled.post(f"{path}/tools"),
        await tooled.post(f"{path}/export"),
        await tooled.post(f"{path}/migrate", {"destination": "http://127.0.0.1:1", "token": "t"}),
        await tooled.get(f"/v1/subscriptions?thread={thread}"),
        await tooled.post("/v1/threads", {"id": thread}),
        await tooled.ask("POST", "/v1/imports", data=file, headers=OCTETS),
        await tooled.ask("DELETE", path),
    ]
    assert {(answer.status, answer.code) for answer in gone} == {(410, "deleted")}
    assert await server.answer(invocation.id, text="late") == 410
    assert await server.view(invocation.id, "diff", {}) == 410
    assert (await tooled.get("/v1/threads")).body["threads"] == []
    assert (await tooled.get("/v1/prompts")).body["prompts"] == []


async def test_a_deletion_that_cannot_be_is_refused_in_words(daemon: Running) -> None:
    parent = await daemon.thread('/call spawn_thread {"instructions": "look around"}')
    child = (await daemon.until(parent, lambda event: event.kind == "child")).data["id"]
    refused = await daemon.ask("DELETE", f"/v1/threads/{child}")
    assert (refused.status, refused.code) == (400, "bad_request")
    assert f"delete {parent}" in refused.body["error"]["message"]
    for id in ("nobody", "no such id!"):
        assert (await daemon.ask("DELETE", f"/v1/threads/{id}")).status == 404
    allowed = await daemon.ask("PUT", f"/v1/threads/{parent}")
    assert (allowed.status, allowed.headers["Allow"]) == (405, "DELETE, GET")
    described = (await daemon.get("/openapi.json")).body["paths"]["/v1/threads/{id}"]["delete"]["responses"]
    assert {"200", "400", "404", "409", "410", "503"} <= described.keys()


async def test_what_is_not_removed_yet_is_said_and_done_after_a_restart(
    daemon: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = await daemon.thread("the word that nobody may find")
    await daemon.said(thread, "the word that nobody may find")

    async def busy() -> None:
        raise StoreError("somebody reads the journal")

    monkeypatch.setattr(daemon.daemon.runtime.store, "compact", busy)
    failed = await daemon.ask("DELETE", f"/v1/threads/{thread}")
    assert (failed.status, failed.code) == (503, "storage")
    assert "is deleted and cannot be reached any more" in failed.body["error"]["message"]
    assert (await daemon.get(f"/v1/threads/{thread}")).code == "deleted"
    (found,) = (await daemon.get("/v1/examination")).body["problems"]
    assert (found["thread"], found["kind"]) == (thread, "deletion") and "somebody reads" in found["text"]
    await daemon.restart()
    async with asyncio.timeout(SOON):
        # 200 while the new process is at it.
        while (await daemon.ask("DELETE", f"/v1/threads/{thread}")).status != 410:
            await asyncio.sleep(0.001)
    assert (await daemon.get("/v1/examination")).body["problems"] == []
    for file in daemon.home.path.glob("infinity.db*"):
        assert b"the word that nobody may find" not in file.read_bytes()


async def test_a_conversation_that_is_being_moved_is_not_deleted(tmp_path: Path) -> None:
    async with pair(tmp_path) as made:
        thread = await made.here.thread("hello")
        await made.here.said(thread, "hello")
        answers = []

        def gate(step: str) -> None:
            answers.append(step)
            with pytest.raises(Exception, match="is being moved"):
                made.here.daemon.runtime.deletions.check(thread)

        made.moves.gate = gate
        assert (await made.migrate(thread)).status == 200
        assert answers
        elsewhere = await made.here.ask("DELETE", f"/v1/threads/{thread}")
        assert elsewhere.status == 409 and "delete it there" in elsewhere.body["error"]["message"]
        assert (await made.there.ask("DELETE", f"/v1/threads/{thread}")).status == 200


async def test_a_conversation_that_rests_after_an_export_can_be_deleted(tmp_path: Path) -> None:
    async with running(tmp_path / "home") as daemon:
        thread = await daemon.thread()
        await download(daemon, thread)
        assert (await daemon.ask("DELETE", f"/v1/threads/{thread}")).status == 200
        undone = await daemon.ask("DELETE", f"/v1/threads/{thread}/export")
        assert undone.status >= 400, json.dumps(undone.body)
