"""The one PostgreSQL of a run, whose connections break when the test says so or when their process ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from tests.contract.databases import database_url
from tests.contract.dsql_rules import Conflicts, DsqlConnection

from infinity.cloud.postgres.connections import Connections
from infinity.cloud.postgres.platform import POSTGRESQL

from .lives import Died, Life


class Database:
    """``refusing``: nobody gets a connection, and those that are used break."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.refusing = False
        self.refused = 0
        self._open: list[Any] = []

    def connections(self, life: Life, conflicts: Conflicts) -> Connections:
        async def connect() -> Any:
            if life.over:
                raise Died
            if self.refusing:
                self.refused += 1
                raise ConnectionRefusedError("the test lets nobody in")
            # DSQL knows no other isolation: the setting stands for that.
            made = await asyncpg.connect(self.url, server_settings=dict(POSTGRESQL.settings))
            self._open.append(made)
            life.connections.append(made)
            return DsqlConnection(made, conflicts)

        return Connections(connect)

    def cut(self) -> int:
        """Every connection breaks, whatever it is used for. How many there were."""
        broken = [connection for connection in self._open if not connection.is_closed()]
        for connection in broken:
            connection.terminate()
        self._open.clear()
        return len(broken)


async def empty_database() -> str:
    """One for all runs of this process, which come one after the other: to empty it is quicker than to make it."""
    url = await database_url(Path("the crash sweep of the cloud host"))
    connection = await asyncpg.connect(url)
    try:
        sql = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename <> 'infinity_schema'"
        names = [name for (name,) in await connection.fetch(sql)]
        await connection.execute(";".join(f"DELETE FROM {name}" for name in names))
    finally:
        await connection.close()
    return url
