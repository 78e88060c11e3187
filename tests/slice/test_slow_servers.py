"""Tools of a server that was not ready when a conversation began come into that conversation."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.patience import PATIENCE
from tests.slice.scenes import World

from infinity.backoff import Backoff
from infinity.tools import catalog
from infinity.tools.catalog import Definitions, ToolDefinition, TreeCatalogs


def tool(name: str, toolset: str) -> ToolDefinition:
    return ToolDefinition(name, name, {"type": "object"}, {}, None, toolset, f"http://127.0.0.1:1/{toolset}")


class Slow:
    """Two servers; the second is ``ready`` late, and the first has other tools by then."""

    def __init__(self) -> None:
        self.ready = False
        self.asked = 0

    async def definitions(self) -> Definitions:
        self.asked += 1
        if not self.ready:
            return Definitions([tool("first", "quick")], ["slow is still starting"], 1)
        return Definitions([tool("first", "quick"), tool("later", "quick"), tool("second", "slow")], [])


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "BACKOFF", Backoff(first=0.001, longest=0.001))


def offered(catalog: Any) -> set[str]:
    return {name for name in catalog.names() if name in ("first", "later", "second")}


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await condition():
            await asyncio.sleep(0)


async def test_the_tools_come_into_every_conversation_that_began_without_them(world: World) -> None:
    slow = Slow()
    catalogs = TreeCatalogs(world.store, [slow])
    for root in ("r1", "r2"):
        assert offered(await catalogs.of(root)) == {"first"}
    slow.ready = True
    for root in ("r1", "r2"):

        async def complete(root: str = root) -> bool:
            return offered(await catalogs.of(root)) == {"first", "second"}

        await until(complete)
        assert (await catalogs.of(root)).problems == []
    asked = slow.asked
    await asyncio.sleep(0.02)
    assert slow.asked == asked, "nobody is asked again"
    await catalogs.stop()


async def test_a_conversation_that_was_waiting_goes_on_waiting_after_a_restart(world: World) -> None:
    slow = Slow()
    first = TreeCatalogs(world.store, [slow])
    await first.of("r")
    await first.stop()
    slow.ready = True
    catalogs = TreeCatalogs(world.store, [slow])
    assert offered(await catalogs.of("r")) == {"first"}

    async def complete() -> bool:
        return "second" in (await catalogs.of("r")).names()

    await until(complete)
    await catalogs.stop()


async def test_a_server_that_never_is_ready_is_asked_a_bounded_number_of_times(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "MOST_TRIES", 3)
    slow = Slow()
    catalogs = TreeCatalogs(world.store, [slow])
    await catalogs.of("r")
    task = catalogs._completing
    assert task is not None
    await asyncio.wait((task,), timeout=10)
    assert slow.asked == 4
    await catalogs.stop()


def test_definitions_of_an_earlier_version_are_complete() -> None:
    assert msgspec.json.decode(b'[[],["gone"]]', type=Definitions).missing == 0
