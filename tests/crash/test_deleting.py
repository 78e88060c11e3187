"""The daemon dies at every step of a deletion: the conversation stays deleted, and the rest is done by the next one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.crash.daemon import Forks
from tests.crash.host import AGAIN, Host
from tests.patience import PATIENCE

from infinity.models.script import Script
from infinity.testing.gates import DELETING, GATE

WORD = "the word that nobody may find"
ROOT = "thread-that-goes"


def script() -> Script:
    return (
        Script()
        .when_result("watch", f"watching for {WORD}")
        .say(f"I watch for {WORD}")
        .when("begin")
        .call("watch", word=WORD)
        .when("stay")
        .say("I stay")
    )


@pytest.mark.trap("G7", "L15")
@pytest.mark.parametrize("step", DELETING)
async def test_a_deletion_is_done_whenever_the_daemon_dies(step: str, tmp_path: Path, forks: Forks) -> None:
    async with Host(tmp_path / "home", forks, script()) as host:
        await host.keep({GATE: f"{step}:1"})
        root = await host.create(ROOT)
        other = await host.create("other")
        await host.say("other", "stay")
        await host.say(ROOT, "begin")
        call = (await host.tools.invoked()).id
        assert (
            await host.tell(lambda: host.tools.answer(call, f"watching for {WORD}", subscription=True)) == 200
        )
        await root.said(f"I watch for {WORD}")
        for number in range(40):
            view = {"text": f"{number}: {WORD}"}
            assert await host.tell(lambda view=view: host.tools.view(call, view["text"], view)) == 200
        await other.said("I stay")
        await host.settled()
        await host.forget(ROOT)

        await host.request("DELETE", f"/v1/threads/{ROOT}", closed=(410,))

        assert len(host.deaths) == 1
        assert await _refusal(host, "GET", f"/v1/threads/{ROOT}") == (410, "deleted")
        assert await _refusal(host, "POST", "/v1/threads", {"id": ROOT}) == (410, "deleted")
        assert await host.tell(lambda: host.tools.event(call, "late")) == 410
        assert ("/cancel_tool_call", {"thread_id": ROOT, "tool_call_id": call}) in host.tools.notices
        assert ("/close_thread", {"thread_id": ROOT}) in host.tools.notices
        assert [thread["id"] for thread in await host.threads()] == ["other"]
        assert [entry["kind"] for entry in await host.entries("other")] == ["user", "user", "turn"]
        await _until_compact(host)


async def _refusal(host: Host, method: str, path: str, body: Any = None) -> tuple[int, str]:
    await host.running()
    assert host._session is not None
    async with host._session.request(method, path, json=body) as response:
        return response.status, (await response.json())["error"]["code"]


async def _until_compact(host: Host) -> None:
    """A repeat that gets 410 is answered while the next daemon still works, if the first had begun to compact; else at once."""
    async with asyncio.timeout(PATIENCE):
        while any(WORD.encode() in file.read_bytes() for file in host.home.glob("infinity.db*")):
            await asyncio.sleep(AGAIN)
