"""The event stream over HTTP, while the daemon is killed: resumed by cursor without gap or repeat, views first."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from tests.crash.daemon import execute
from tests.crash.host import Host
from tests.crash.watch import Seen, Watch

from infinity.models.script import Script
from infinity.testing.tool_server import answering

ROOT = "thread-under-test"
TEXTS = 8
KILLED_AT = (2, 5, 9, 16, 27)
"""Cursors at which the client sees its daemon die."""


def _script() -> Script:
    return Script().when("number").say("Let me look.").call("a").when_result("a").say("That is it.")


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    async with Host(tmp_path / "home", execute, _script()) as made:
        made.tools.behaviours["a"] = answering("looked")
        await made.keep()
        yield made


@asynccontextmanager
async def _watching(host: Host, after: int) -> AsyncIterator[Watch]:
    watch = host.new_watch(ROOT, after=after)
    yield watch
    await watch.close()


async def _kill(host: Host) -> None:
    """Until another daemon serves."""
    await host.running()
    deaths = len(host.deaths)
    host.process.signal(signal.SIGKILL)
    await host.until(lambda: len(host.deaths) > deaths, "death")
    await host.running()


async def _kill_at(host: Host, watch: Watch) -> None:
    for cursor in KILLED_AT:
        await watch.reached(cursor)
        await _kill(host)


def _durable(events: list[Seen]) -> list[Seen]:
    return [seen for seen in events if seen.position is not None]


@pytest.mark.slow
@pytest.mark.trap("G5", "L15")
async def test_a_stream_that_is_cut_off_by_crashes_goes_on_without_gap_or_repeat(host: Host) -> None:
    watch = await host.create(ROOT)
    async with asyncio.TaskGroup() as group:
        group.create_task(_kill_at(host, watch))
        for number in range(TEXTS):
            await host.say(ROOT, f"number {number}")
            await host.until(partial(_answered, watch, number), f"answer to number {number}")
    assert len(host.deaths) == len(KILLED_AT)
    await host.settled()
    cursor = (await host.request("GET", f"/v1/threads/{ROOT}"))["cursor"]
    await watch.reached(cursor)
    async with _watching(host, after=-1) as fresh:
        await fresh.reached(cursor)
        assert watch.events == fresh.events
        assert len(fresh.connections) == 1
    assert [seen.position for seen in watch.events] == list(range(cursor + 1))
    assert len(watch.connections) > len(KILLED_AT), "the stream was not cut off by every crash"
    brought = [seen for connection in watch.connections for seen in _durable(connection)]
    assert brought == watch.events, "a connection brought what another one had brought already"


def _answered(watch: Watch, number: int) -> bool:
    answers = [
        seen for seen in watch.events if seen.kind == "entry" and "That is it." in str(seen.data["assistant"])
    ]
    return len(answers) > number


@pytest.mark.slow
async def test_a_client_that_joins_later_gets_what_is_behind_its_cursor_and_nothing_else(host: Host) -> None:
    watch = await host.create(ROOT)
    await host.say(ROOT, "number 1")
    await watch.said("That is it.")
    await host.settled()
    cursor = (await host.request("GET", f"/v1/threads/{ROOT}"))["cursor"]
    await watch.reached(cursor)
    await _kill(host)
    for after in range(-1, cursor):
        async with _watching(host, after=after) as late:
            await late.reached(cursor)
            assert late.events == watch.events[after + 1 :]


@pytest.mark.slow
@pytest.mark.rap("VIEW-1")
async def test_the_latest_view_of_each_kind_is_replayed_before_anything_else_after_a_crash(
    host: Host,
) -> None:
    host.tools.behaviours.pop("a")
    watch = await host.create(ROOT)
    await host.say(ROOT, "number 1")
    call = (await host.tools.invoked()).id
    for step in range(3):
        assert await host.tell(partial(host.tools.view, call, "progress", {"step": step})) == 200
    assert await host.tell(lambda: host.tools.view(call, "log", ["begun"])) == 200
    await _kill(host)
    assert await host.tell(lambda: host.tools.answer(call, "looked")) == 200
    await watch.said("That is it.")
    shown = [(seen.kind, seen.data) for seen in watch.connections[-1][:2]]
    assert sorted(shown, key=str) == [
        ("view", {"view_type": "log", "content": ["begun"]}),
        ("view", {"view_type": "progress", "content": {"step": 2}}),
    ]
