"""Questions move with their conversation: asked here, answered there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.boundary.daemons import SOON, Running, running
from tests.unit.local.test_moving import OCTETS, download, pair

from infinity.testing.tool_server import ToolServer, tool


async def _asked(daemon: Running, thread: str) -> dict[str, Any]:
    """Its open question, once there is one."""
    async with asyncio.timeout(SOON):
        while not (prompts := (await daemon.get(f"/v1/threads/{thread}")).body["prompts"]):
            await asyncio.sleep(0.01)
    found: dict[str, Any] = prompts[0]
    return found


async def _migrate(here: Running, there: Running, thread: str) -> None:
    body = {"destination": there.url, "token": there.home.token()}
    moved = await here.post(f"/v1/threads/{thread}/migrate", body)
    assert moved.status == 200, moved.body


@pytest.mark.rap("MIG-2", "CHO-1")
async def test_a_question_of_a_tool_is_answered_at_the_new_home(tmp_path: Path) -> None:
    async with ToolServer([tool("ask")]) as server:
        config = f"[toolsets.ci]\nurl = '{server.base_url}'\n"
        async with running(tmp_path / "a", config) as here, running(tmp_path / "b", config) as there:
            thread = await here.thread("/call ask {}")
            call = await server.invoked()
            assert await server.choice(call.id, "Which?", ["red", "green"], default=1) == 200
            question = await _asked(here, thread)
            await _migrate(here, there, thread)
            assert (await _asked(there, thread)) == question
            assert (
                await here.post(f"/v1/threads/{thread}/choices/{question['id']}", {"selected": 0})
            ).status == 410
            answered = await there.post(f"/v1/threads/{thread}/choices/{question['id']}", {"selected": 0})
            assert answered.status == 200, answered.body
            await server.until(lambda: bool(server.choices), "the choice")
            assert server.choices == [{"id": call.id, "selected": 0}]
            assert await server.answer(call.id, "painted red") == 200, "passed on by the old home"
            await there.said(thread, "painted red")


@pytest.mark.rap("MIG-2", "DISC-9")
async def test_permission_asked_for_here_is_given_there_and_the_call_goes_to_the_server_of_there(
    tmp_path: Path,
) -> None:
    async with pair(tmp_path) as made:
        for server in (made.tools, made.tools_there):
            server.tools = [tool("drop", annotations={"destructive": True})]
        thread = await made.here.thread("/call drop {}")
        question = await _asked(made.here, thread)
        assert (await made.migrate(thread)).status == 200
        answered = await made.there.post(f"/v1/threads/{thread}/choices/{question['id']}", {"selected": 0})
        assert answered.status == 200, answered.body
        call = await made.tools_there.invoked()
        assert await made.tools_there.answer(call.id, "dropped there") == 200
        await made.there.said(thread, "dropped there")
        assert made.tools.invocations == []


@pytest.mark.rap("DISC-5", "MIG-2")
@pytest.mark.parametrize("how", ["migrated", "as a file"])
async def test_a_conversation_that_moved_calls_the_servers_of_its_new_home(tmp_path: Path, how: str) -> None:
    async with pair(tmp_path) as made:
        thread = await made.here.thread("hello")
        await made.here.said(thread, "hello")
        if how == "migrated":
            assert (await made.migrate(thread)).status == 200
        else:
            file = await download(made.here, thread)
            imported = await made.there.ask("POST", "/v1/imports", data=file, headers=OCTETS)
            assert imported.status == 201, imported.body
        await made.there.post(f"/v1/threads/{thread}/messages", {"content": "/call build {}"})
        call = await made.tools_there.invoked()
        assert await made.tools_there.answer(call.id, "built there") == 200
        await made.there.said(thread, "built there")
        assert made.tools.invocations == []
