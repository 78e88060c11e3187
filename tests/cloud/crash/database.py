"""The one PostgreSQL of a run, whose connections break when the test says so or when their process ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import asyncpg  # type: ignore[import-untyped]
from tests.contract.databases import database_url, dsql_connections
from tests.contract.dsql_rules import Conflicts, DsqlConnection

from infinity.stores.postgres.connections import Connections
from infinity.stores.postgres.platform import DSQL, POSTGRESQL
from infinity.stores.postgres.roles import DUTIES, arrange
from infinity.stores.postgres.transactions import Transactions

from .lives import Died, Life

FUNCTIONS = ("agent", "receiver", "api", "dead_letters", "sweep")
ROLES = {name: f"stage_{name}" if name in DUTIES else "stage" for name in FUNCTIONS}
"""As the construct gives them to the functions."""

Tear = Callable[[], Literal["", "before", "after"]]


class Torn(DsqlConnection):
    """Some of its connections are lost in a COMMIT: before it has happened, or after, when nobody hears of it."""

    def __init__(self, connection: Any, conflicts: Conflicts, tear: Tear) -> None:
        super().__init__(connection, conflicts)
        self._tear = tear

    async def execute(self, sql: str, *arguments: Any) -> str:
        when = self._tear() if sql.strip().upper() == "COMMIT" else ""
        if when == "before":
            self.terminate()
        done = await super().execute(sql, *arguments)
        if when == "after":
            self.terminate()
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
        return done


class Database:
    """``refusing``: nobody gets a connection, and those that are used break. ``refuse``: how many are not let in. ``tear``: when a connection is lost in the COMMIT that comes now."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.refusing = False
        self.refuse = 0
        self.refused = 0
        self.tear: Tear = lambda: ""
        self._open: list[Any] = []

    def connections(self, life: Life, conflicts: Conflicts, role: str) -> Connections:
        """``role``: whom the server lets do what."""

        async def connect() -> Any:
            if life.over:
                raise Died
            if self.refusing or self.refuse > 0:
                self.refuse -= self.refuse > 0
                self.refused += 1
                raise ConnectionRefusedError("the test lets nobody in")
            # DSQL knows no other isolation: the setting stands for that.
            made = await asyncpg.connect(as_role(self.url, role), server_settings=dict(POSTGRESQL.settings))
            self._open.append(made)
            life.connections.append(made)
            return Torn(made, conflicts, lambda: self.tear())

        return Connections(connect)

    def cut(self) -> int:
        """Every connection breaks, whatever it is used for. How many there were."""
        broken = [connection for connection in self._open if not connection.is_closed()]
        for connection in broken:
            connection.terminate()
        self._open.clear()
        return len(broken)


def as_role(url: str, role: str) -> str:
    return url.replace("://infinity@", f"://{role}@")


async def empty_database() -> str:
    """One for all runs of this process, which come one after the other: to empty it is quicker than to make it. It has the roles of a deployment."""
    url = await database_url(Path("the crash sweep of the cloud host"))
    connection = await asyncpg.connect(url)
    try:
        sql = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename <> 'infinity_schema'"
        names = [name for (name,) in await connection.fetch(sql)]
        await connection.execute(";".join(f"DELETE FROM {name}" for name in names))
        sql = "SELECT has_schema_privilege(oid, current_schema()::regnamespace, 'USAGE') FROM pg_roles WHERE rolname = $1"
        if not await connection.fetchval(sql, ROLES["sweep"]):
            transactions = Transactions(dsql_connections(url, Conflicts(0)), DSQL, "the test database")
            duties = {ROLES[name]: name for name in DUTIES}
            await arrange(transactions, dict.fromkeys(ROLES.values(), ()), duties)
            await transactions.close()
    finally:
        await connection.close()
    return url
