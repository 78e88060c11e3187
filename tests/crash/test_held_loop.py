"""A slice that holds the whole daemon: its process is ended, and the next start goes on without that thread (L17). Real commands, real interpreters."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.crash.daemon import PATIENCE, execute
from tests.crash.history import check
from tests.crash.host import Host

from infinity.models.script import Reply

FAULT = """
import infinity.engine.slices as slices
import infinity.local.daemon as daemon

daemon.HELD = 0.2
genuine = slices.prepare

def prepare(slice, batch):
    while any(b"hang for ever" in message.body for message in batch):
        pass
    genuine(slice, batch)

slices.prepare = prepare
"""
"""For an interpreter's start: a message that makes its slice hold the loop, as a fault that nobody foresaw would."""
BAD, GOOD = "thread-that-hangs", "another-thread"


def _answer(request: dict[str, Any]) -> Reply:
    return Reply().say(f"heard: {request['messages'][-1]}")


@pytest.fixture
def fault(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "fault").mkdir()
    (tmp_path / "fault" / "sitecustomize.py").write_text(FAULT)
    return {"PYTHONPATH": str(tmp_path / "fault")}


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    async with Host(tmp_path / "home", execute, _answer) as made:
        yield made


async def _thread(host: Host, id: str) -> dict[str, Any]:
    found: dict[str, Any] = await host.request("GET", f"/v1/threads/{id}")
    return found


@pytest.mark.trap("L17")
async def test_a_thread_whose_slice_hung_is_held_back_by_the_next_start_until_it_is_resumed(
    host: Host, fault: dict[str, str]
) -> None:
    await host.start(**fault)
    await host.serve()
    for thread in (BAD, GOOD):
        await host.create(thread)
    await host.say(BAD, "hang for ever")
    note = host.home / "held.json"
    async with asyncio.timeout(PATIENCE):
        while not note.exists():
            await asyncio.sleep(0.02)
    assert json.loads(note.read_bytes())["thread"] == BAD
    await host.process.kill()

    for _ in range(2):
        # The fault is still there: a slice of that thread would hang again. The second start knows it by itself.
        await host.start(**fault)
        await host.serve()
        assert not note.exists()
        await host.process.line(f"thread {BAD} is held back")
        found = await _thread(host, BAD)
        assert found["problem"].startswith("held_back: ") and "Resume the thread" in found["problem"]
        assert (found["status"], found["explanation"]["state"]) == ("waiting", "waiting")
        assert "held_back" in [reason["kind"] for reason in found["explanation"]["reasons"]]
        examined = await host.request("GET", "/v1/examination")
        assert [(each["thread"], each["kind"]) for each in examined["problems"]] == [(BAD, "problem")]
        await host.say(BAD, "and this is kept")
        await host.say(GOOD, f"are you there? {_}")
        await host.watch(GOOD).said(f"are you there? {_}")
        await host.process.kill()

    await host.start()
    await host.serve()
    assert (await _thread(host, BAD))["problem"].startswith("held_back: ")
    await host.request("POST", f"/v1/threads/{BAD}/resume")
    await host.watch(BAD).said("and this is kept")
    await host.settled()
    assert (await _thread(host, BAD))["problem"] is None
    await check(host)
