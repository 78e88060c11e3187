"""Keys of callback URLs: one place makes them, so that a journal's URLs stay good no matter who opens it next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from tests.boundary.daemons import Running
from tests.patience import PATIENCE

from infinity import Agent
from infinity._core import Journal, Wake
from infinity.callback_keys import EARLIER, KEPT, RENEW_AFTER, callback_keys
from infinity.local.embedded import Runtime
from infinity.local.home import Home
from infinity.rap.capability import Capabilities, generate_key
from infinity.stores.sqlite.store import JournalStore
from infinity.stores.sqlite.wakeup import Wakeup
from infinity.testing import Script
from infinity.testing.kit import Kit
from infinity.testing.tool_server import ToolServer, tool

pytestmark = pytest.mark.trap("L19")

NOW = 1_700_000_000_000
BASE = "http://127.0.0.1:1"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[JournalStore]:
    wakeup = Wakeup(Wake())
    made = JournalStore(Journal.open(str(tmp_path / "infinity.db"), wakeup.wake), wakeup)
    wakeup.start()
    yield made
    await made.close()
    wakeup.stop()


def token(key: bytes) -> str:
    return Capabilities([key], BASE).url("thread_1", "call_1").rpartition("/")[2]


def opens(keys: list[bytes], token: str) -> bool:
    return Capabilities(keys, BASE).open(token) == ("thread_1", "call_1")


async def test_the_key_of_a_journal_that_an_earlier_version_used_embedded_is_accepted(
    store: JournalStore,
) -> None:
    earlier = generate_key()
    await store.put_meta(EARLIER, earlier)
    assert opens(await callback_keys(store, NOW), token(earlier))
    assert opens(await callback_keys(store, NOW + 1), token(earlier)), "and at every later start"


async def test_a_journal_that_an_earlier_version_used_both_ways_accepts_what_either_signed(
    store: JournalStore,
) -> None:
    (daemon,) = await callback_keys(store, NOW)
    embedded = generate_key()
    await store.put_meta(EARLIER, embedded)
    keys = await callback_keys(store, NOW)
    assert keys[0] == daemon
    assert opens(keys, token(daemon)) and opens(keys, token(embedded))


async def test_an_earlier_key_is_read_once_and_goes_the_way_of_all_keys(store: JournalStore) -> None:
    earlier = generate_key()
    await store.put_meta(EARLIER, earlier)
    for number in range(KEPT + 1):
        keys = await callback_keys(store, NOW + number * RENEW_AFTER)
    assert len(keys) == KEPT
    assert earlier not in keys


async def test_a_program_a_daemon_and_the_kit_take_the_keys_from_the_same_place(tmp_path: Path) -> None:
    path = tmp_path / "infinity.db"
    async with Runtime.open(Agent(), path, models=None) as runtime:
        embedded = runtime.capabilities.url("thread_1", "call_1").rpartition("/")[2]
        assert opens(await callback_keys(runtime.store, NOW), embedded), "as the daemon takes them"
    async with Kit(path, Agent(), Script()) as kit:
        assert kit.runtime.capabilities.open(embedded) == ("thread_1", "call_1")
        tested = kit.runtime.capabilities.url("thread_1", "call_1").rpartition("/")[2]
    async with Runtime.open(Agent(), path, models=None) as runtime:
        assert runtime.capabilities.open(tested) == ("thread_1", "call_1")


async def heard(runtime: Runtime, thread: str, text: str) -> None:
    """Wait until the thread's history has this."""
    async with asyncio.timeout(PATIENCE):
        async for event in runtime.watch(thread):
            if event.kind == "entry" and text in str(msgspec.json.decode(event.data)["assistant"]):
                return


async def test_a_journal_goes_from_a_program_to_a_daemon_and_back_while_calls_are_pending(
    tmp_path: Path,
) -> None:
    """The same port each time, as both want it; what one of them has sent, the next one is answered."""
    async with ToolServer([tool("build", annotations={"readOnly": True})]) as server:
        moved = Running(Home(tmp_path / "home"), f"[toolsets.ci]\nurl = '{server.base_url}'\n")

        @asynccontextmanager
        async def program() -> AsyncIterator[Runtime]:
            agent = Agent(toolsets=[server.base_url])
            async with Runtime.open(agent, moved.home.database, callback_port=moved.port) as runtime:
                yield runtime

        async with program() as runtime:
            thread = await runtime.create()
            await runtime.send(thread, "/call build {}")
            first = await server.invoked(1)
        await moved.start()
        try:
            assert await server.answer(first.id, "built in the daemon") == 200
            await moved.said(thread, "built in the daemon")
            await moved.post(f"/v1/threads/{thread}/messages", {"content": "/call build {}"})
            second = await server.invoked(2)
        finally:
            await moved.stop()
        async with program() as runtime:
            assert await server.answer(second.id, "built in the program") == 200
            await heard(runtime, thread, "built in the program")
