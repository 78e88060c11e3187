"""The event stream as commands follow it: damage and deletion end it with their reason, everything else is waited for, and told (I8)."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from tests.boundary.daemons import SOON, Running, running
from tests.unit.cli.conftest import process

from infinity import feed as feed_module
from infinity.backoff import Backoff
from infinity.cli import stream
from infinity.cli.exits import FAILED, NOT_FOUND, Failure
from infinity.errors import StoreError

_EDIT = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as file:
    assert file.execute(sys.argv[2], sys.argv[3:]).rowcount == 1
"""


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path / "home") as made:
        yield made


async def damaged(daemon: Running) -> str:
    """A thread whose second entry cannot be read."""
    thread = await daemon.thread("hello")
    await daemon.said(thread, "hello")
    second = (
        "update entries set record = x'00' where place = (select key << 32 from threads where id = ?) + 1"
    )
    # In another process: two SQLites in one take each other's locks away.
    subprocess.run([sys.executable, "-c", _EDIT, daemon.home.database, second, thread], check=True)
    return thread


async def followed(
    daemon: Running, thread: str, after: str | None = "-1"
) -> tuple[list[stream.Event], Failure]:
    """What is seen until it ends."""
    seen: list[stream.Event] = []
    try:
        async with asyncio.timeout(SOON), aclosing(stream.follow(daemon.home, thread, after)) as events:
            async for event in events:
                seen.append(event)
    except Failure as ended:
        return seen, ended
    raise AssertionError("it ended without a reason")


async def test_a_damaged_thread_ends_the_stream_with_its_reason(daemon: Running) -> None:
    thread = await damaged(daemon)
    for after in ("-1", None):
        seen, ended = await followed(daemon, thread, after)
        assert seen == [] and ended.exit_code == FAILED
        assert thread in ended.message and "only 1 bytes long. See 'infinity doctor'" in ended.message


async def test_damage_that_is_met_on_the_way_ends_the_stream_with_its_reason(
    daemon: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    thread = await damaged(daemon)
    monkeypatch.setattr(feed_module, "FIRST_PAGE", 1)
    seen, ended = await followed(daemon, thread)
    assert [event.cursor for event in seen if event.cursor is not None] == list(range(len(seen)))
    assert ended.exit_code == FAILED and "only 1 bytes long. See 'infinity doctor'" in ended.message
    assert caplog.text.count("only 1 bytes long") == 1 and "Traceback" not in caplog.text


async def test_what_the_daemon_says_is_told_and_it_is_asked_less_and_less_often(
    daemon: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = await daemon.thread("hello")
    await daemon.said(thread, "hello")
    asked = 0

    async def fail(*_: object) -> list[object]:
        nonlocal asked
        asked += 1
        raise StoreError("the disk is gone")

    monkeypatch.setattr(daemon.daemon.runtime.store, "feed", fail)
    monkeypatch.setattr(stream, "BACKOFF", Backoff(first=0.001, longest=0.2, least=1.0))
    monkeypatch.setattr(stream, "PATIENCE", 1.0)
    [away], ended = await followed(daemon, thread)
    assert away == (None, "disconnected", {"reason": "the disk is gone", "answered": True})
    assert "the disk is gone" in ended.message and ended.exit_code == FAILED
    assert asked <= 15


async def test_a_deleted_thread_ends_the_stream_without_a_word_about_the_daemon(daemon: Running) -> None:
    thread = await daemon.thread("hello")
    await daemon.said(thread, "hello")
    watching = asyncio.create_task(followed(daemon, thread, "latest"))
    async with asyncio.timeout(SOON):
        while not daemon.daemon.runtime.feed.watching():
            await asyncio.sleep(0.01)
    assert (await daemon.ask("DELETE", f"/v1/threads/{thread}")).status == 200
    seen, ended = await watching
    assert [event.kind for event in seen if event.cursor is None] == []
    assert ended.exit_code == NOT_FOUND


async def test_a_stream_that_is_closed_and_comes_back_is_told_as_such(daemon: Running) -> None:
    thread = await daemon.thread()
    async with asyncio.timeout(SOON), aclosing(stream.follow(daemon.home, thread, "latest")) as events:
        first = asyncio.ensure_future(anext(events))
        while not daemon.daemon.runtime.feed.watching():
            await asyncio.sleep(0.01)
        daemon.daemon.runtime.feed.end([thread])
        kinds = [(await first).kind, (await anext(events)).kind]
    assert kinds == ["disconnected", "connected"]


async def shown(daemon: Running, *arguments: str) -> Any:
    return await asyncio.to_thread(process, daemon.home.path, *arguments)


async def test_commands_say_that_a_thread_is_damaged_and_end_with_1(daemon: Running) -> None:
    whole = await shown(daemon, "doctor")
    assert "read its database, every row and every checksum" in whole.stdout
    thread = await damaged(daemon)
    found = await shown(daemon, "show", thread)
    assert found.returncode == FAILED and "idle" not in found.stdout and "damaged:" in found.stdout
    assert "entries of thread" in found.stderr and "answer" not in found.stderr
    found = await shown(daemon, "show", thread, "--json")
    assert found.returncode == FAILED and "entries of thread" in json.loads(found.stdout)["damaged"]
    found = await shown(daemon, "tail", thread, "--after", "-1")
    assert found.returncode == FAILED and "disconnected" not in found.stderr, found.stderr
    listed = await shown(daemon, "threads")
    assert f"{thread}  damaged" in listed.stdout
    daemon.daemon.runtime.damage.clear()
    found = await shown(daemon, "doctor")
    assert found.returncode == FAILED and "every checksum" not in found.stdout
    rows = json.loads((await shown(daemon, "threads", "--json")).stdout)["threads"]
    assert {row["id"]: row["status"] for row in rows}[thread] == "damaged", "the doctor has found it"
