"""Connections to PostgreSQL that die without a word, as those of a frozen function do: the next statement gets a new one."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contract.databases import database_url
from tests.contract.threads import create

from infinity.stores.postgres import connections
from infinity.stores.postgres.address import connector, open_address
from infinity.stores.postgres.connections import UNTRIED, Connections
from infinity.stores.postgres.opening import store_on
from infinity.stores.postgres.store import PostgresStore

SOCKET = ".s.PGSQL.5432"


class Tunnel:
    """In front of the server. ``silence``: what is established passes nothing on any more, and nobody is told; new connections are served."""

    def __init__(self, directory: str, to: str) -> None:
        self._directory, self._to = directory, to
        self._passing: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.StreamWriter] = []
        self.accepted = 0

    async def open(self) -> None:
        path = f"{self._directory}/{SOCKET}"
        self._server = await asyncio.start_unix_server(self._accept, path)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        inside, outside = await asyncio.open_unix_connection(f"{self._to}/{SOCKET}")
        self._writers += [writer, outside]
        self._passing += [
            asyncio.create_task(self._pass(reader, outside)),
            asyncio.create_task(self._pass(inside, writer)),
        ]

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()

    def silence(self) -> None:
        for task in self._passing:
            task.cancel()
        self._passing.clear()

    async def close(self) -> None:
        self.silence()
        for writer in self._writers:
            writer.close()
        self._server.close()


class Frozen:
    """The clock on the wall, as a process sees it that is frozen now and then."""

    def __init__(self) -> None:
        self.time = 0.0


@pytest.fixture
async def tunnelled(tmp_path: Path) -> AsyncIterator[tuple[PostgresStore, Tunnel, Frozen]]:
    url = await database_url(tmp_path)
    found = re.search(r"host=([^&]+)", url)
    assert found is not None
    # A socket's path is short.
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as directory:
        tunnel, wall = Tunnel(directory, found[1]), Frozen()
        await tunnel.open()
        address = open_address(url.replace(found[1], directory))
        opened = Connections(connector(address, command_timeout=1.5), wall=lambda: wall.time)
        store = await store_on(opened, address.platform, address.where)
        await create(store)
        yield store, tunnel, wall
        await store.close()
        await tunnel.close()


@pytest.mark.trap("R4")
@pytest.mark.parametrize("frozen", [False, True], ids=["in use", "after a freeze"])
async def test_what_became_silent_is_replaced_and_not_waited_for(
    tunnelled: tuple[PostgresStore, Tunnel, Frozen], frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "PROBE", 0.2)
    store, tunnel, wall = tunnelled
    # Several rest.
    await asyncio.gather(*(store.thread("t") for _ in range(4)))
    before = tunnel.accepted
    tunnel.silence()
    wall.time += UNTRIED if frozen else 0
    found = await store.thread("t")
    assert found is not None
    # A new one, and the driver's attempt to cancel: the others that rested were not waited for one by one.
    assert tunnel.accepted <= before + 2
