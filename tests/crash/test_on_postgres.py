"""A daemon whose store is a PostgreSQL database: killed, and gone on with. Real commands, real interpreters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from tests.contract.postgresql import server_url
from tests.crash.daemon import Process, execute
from tests.crash.history import check
from tests.crash.host import Host

from infinity.models.heard import hear
from infinity.models.script import Reply

ROOT = "thread-under-test"
NAP = "nap-under-test"


class Held:
    """A model that uses the tool, sleeps, or says half of its answer first and waits until the test lets it go on."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    def __call__(self, request: dict[str, Any]) -> Reply:
        heard = hear(request)
        if heard.results:
            return Reply().say("that is done")
        if "use the tool" in heard.text:
            return Reply().call("a", n=1)
        if "sleep" in heard.text:
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
