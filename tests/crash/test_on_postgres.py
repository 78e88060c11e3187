"""A daemon whose store is a PostgreSQL database: killed, and gone on with. Real commands, real interpreters."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from tests.contract.postgresql import server_url
from tests.crash.daemon import PATIENCE, Forks, Process, execute
from tests.crash.history import check
from tests.crash.host import Host
from tests.crash.rolling import Rolling
from tests.crash.workload import Mind, Workload

from infinity.demo.rest import Rest
from infinity.models.prompt_view import read_prompt
from infinity.models.script import Reply

ROLLS = 50 if os.environ.get("INFINITY_SWEEP") == "full" else 3
ROOT = "thread-under-test"
NAP = "nap-under-test"


class Held:
    """A model that uses the tool, sleeps, or says half of its answer first and waits until the test lets it go on."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    def __call__(self, request: dict[str, Any]) -> Reply:
        prompt = read_prompt(request)
        if prompt.results:
            return Reply().say("that is done")
        if "use the tool" in prompt.text:
            return Reply().call("a", n=1)
        if "sleep" in prompt.text:
            return Reply().call("sleep", seconds=2)
        return Reply().say("half of it, ").pause(self.go_on).say("all of it")


async def _launch(store: str, arguments: list[str], environment: Mapping[str, str]) -> Process:
    return await execute(arguments, {**environment, "INFINITY_STORE": store})


@pytest.fixture
async def store() -> str:
    """The URL of an empty schema."""
    connection = await asyncpg.connect(server_url())
    await connection.execute("DROP SCHEMA IF EXISTS daemon CASCADE; CREATE SCHEMA daemon")
    await connection.close()
    return f"{server_url()}&search_path=daemon"


@pytest.fixture
def model() -> Held:
    return Held()


@pytest.fixture
async def host(tmp_path: Path, store: str, model: Held) -> AsyncIterator[Host]:
    migration = await execute(["daemon", "migrate", "--store", store], {})
    assert await migration.ended() == 0, migration.log
    async with Host(tmp_path / "home", partial(_launch, store), model) as made:
        yield made


@pytest.fixture
async def migrated(store: str) -> str:
    """The same, with tables."""
    migration = await execute(["daemon", "migrate", "--store", store], {})
    assert await migration.ended() == 0, migration.log
    return store


async def _fork(forks: Forks, store: str, arguments: list[str], environment: Mapping[str, str]) -> Process:
    return await forks(arguments, {**environment, "INFINITY_STORE": store})


async def test_a_daemon_without_tables_says_which_command_makes_them(tmp_path: Path, store: str) -> None:
    arguments = ["daemon", "run", "--home", str(tmp_path / "home"), "--no-project", "--store", store]
    process = await execute(arguments, {})
    assert "infinity daemon migrate" in await process.line("has no tables")
    assert await process.ended() != 0


@pytest.mark.trap("L2", "L14", "L15")
async def test_a_killed_daemon_goes_on_where_it_was(host: Host, model: Held) -> None:
    await host.keep()
    watch, nap = await host.create(ROOT), await host.create(NAP)
    await host.say(ROOT, "use the tool")
    await host.say(NAP, "sleep")
    call = (await host.tools.invoked()).id
    await watch.noted("call", id=call)
    await nap.noted("slice")
    await host.process.kill()
    # A callback that is not heard is repeated, and heard by the next daemon, as is the timer that it finds.
    assert await host.tell(lambda: host.tools.answer(call)) == 200
    await watch.said("that is done")
    await nap.said("that is done")
    await host.say(ROOT, "speak")
    await watch.until(lambda seen: seen.kind == "text" and "half" in seen.data["text"], "half an answer")
    await host.process.kill()
    model.go_on.set()
    await watch.said("half of it, all of it")
    await host.settled()
    await host.unattended()
    assert len(host.deaths) == 2
    assert not (host.home / "infinity.db").exists(), "everything is in the database"
    await check(host)


@pytest.mark.trap("R12", "L15", "L17")
async def test_a_rolling_restart_loses_nothing_doubles_nothing_and_buys_nothing_twice(
    tmp_path: Path, migrated: str, forks: Forks
) -> None:
    mind = Mind()
    async with Rolling(tmp_path, partial(_fork, forks, migrated), mind) as host:
        await host.begin()
        workload = Workload(host, random.Random(12))
        await workload.run(6, [host.roll] * ROLLS)
        found = await workload.check(mind)
        turns = sum(entry["kind"] == "turn" for history in found for entry in history.entries)
        effects = host.model.effects
        assert (effects.completed, effects.abandoned, host.deaths) == (turns, 0, [0] * ROLLS)
        assert set(host.tools.counts.values()) == {1}, "an invocation was sent twice"


@pytest.mark.trap("R12")
async def test_a_second_daemon_is_refused_and_one_that_takes_over_ends_the_first(
    tmp_path: Path, migrated: str, forks: Forks
) -> None:
    model = Held()
    async with Rolling(tmp_path, partial(_fork, forks, migrated), model) as host:
        await host.begin()
        first = host.process
        refused = await host.next("--wait", "0")
        assert await refused.ended() == 5
        assert f"pid {first.pid} on" in refused.log and "--take-over" in refused.log
        host._count += 1  # the home that is free
        waiting = await host.next("--wait", "60")
        await waiting.line("waiting up to")
        waiting.signal(signal.SIGTERM)
        assert await waiting.ended() == 0, "a signal ends the waiting"
        watch = await host.create(ROOT)
        await host.say(ROOT, "speak")
        await watch.until(lambda seen: seen.kind == "text" and "half" in seen.data["text"], "half an answer")
        host._count += 1
        second = await host.next("--take-over")
        await second.line("listening at")
        assert await first.ended() == 5
        host.turn_to(second)
        assert f"taken over by another daemon (pid {second.pid}" in first.log or "holds the lock" in first.log
        model.go_on.set()
        await watch.said("half of it, all of it")
        await host.settled()
        await check(host)
        host.process.signal(signal.SIGTERM)
        assert await host.process.ended() == 0


@pytest.mark.trap("R12")
async def test_a_daemon_that_was_paused_while_another_one_took_over_sends_and_buys_nothing_more(
    tmp_path: Path, migrated: str, forks: Forks
) -> None:
    model = Held()
    async with Rolling(tmp_path, partial(_fork, forks, migrated), model) as host:
        await host.begin()
        first = host.process
        watch = await host.create(ROOT)
        await host.say(ROOT, "speak")
        await watch.until(lambda seen: seen.kind == "text" and "half" in seen.data["text"], "half an answer")
        first.signal(signal.SIGSTOP)
        second = await host.next("--take-over")
        await second.line("listening at")
        host.turn_to(second)
        model.go_on.set()
        await watch.said("half of it, all of it")
        await host.say(ROOT, "use the tool")
        call = (await host.tools.invoked()).id
        asked = len(host.model.requests)
        first.signal(signal.SIGCONT)
        assert await first.ended() == 5
        assert len(host.model.requests) == asked and host.tools.counts == {call: 1}
        assert await host.tell(lambda: host.tools.answer(call)) == 200
        await watch.said("that is done")
        await host.settled()
        await check(host)


@pytest.mark.trap("R12")
async def test_a_daemon_that_holds_the_lock_makes_no_context_switch_at_rest(
    tmp_path: Path, migrated: str, forks: Forks
) -> None:
    async with Rolling(tmp_path, partial(_fork, forks, migrated), Held()) as host:
        await host.begin()
        await host.request("GET", "/v1/threads")
        async with asyncio.timeout(PATIENCE):
            while await _switches(host.process.pid, 0.5):
                pass
        assert await _switches(host.process.pid, 2) == 0


async def _switches(pid: int, seconds: float) -> int:
    before = Rest.of(pid)
    await asyncio.sleep(seconds)
    after = Rest.of(pid)
    if before is None or after is None:
        pytest.skip("this system does not count context switches")
    return after.since(before).switches
