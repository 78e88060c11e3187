"""Roles on Aurora DSQL: what it says of its own is played by a table, and everything else is PostgreSQL's."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from tests.contract.postgresql import server_url

from infinity.stores.postgres.connections import Connections
from infinity.stores.postgres.platform import DSQL
from infinity.stores.postgres.roles import arrange
from infinity.stores.postgres.transactions import Retries, Transactions

AGENT, SWEEP = (f"arn:aws:iam::111122223333:role/{name}" for name in ("Agent", "Sweep"))


class Cluster:
    """A connection that knows ``AWS IAM GRANT``, and whose first definition meets another transaction."""

    def __init__(self, connection: Any, place: str, said: list[str]) -> None:
        self._connection, self._place, self.said = connection, place, said

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def fetchval(self, sql: str, *arguments: Any) -> Any:
        return await self._connection.fetchval(sql.replace("sys.", f"{self._place}."), *arguments)

    async def execute(self, sql: str, *arguments: Any) -> Any:
        self.said.append(sql)
        if len(self.said) == 1:
            raise asyncpg.SerializationError("schema has been updated by another transaction (OC001)")
        taken = re.fullmatch(r"AWS IAM REVOKE (\w+) FROM '(.+)'", sql)
        if taken is not None:
            mapping = f"DELETE FROM {self._place}.iam_pg_role_mappings WHERE pg_role_name = $1 AND arn = $2"
            return await self._connection.execute(mapping, *taken.groups())
        given = re.fullmatch(r"AWS IAM GRANT (\w+) TO '(.+)'", sql)
        if given is None:
            return await self._connection.execute(sql, *arguments)
        mapping = f"INSERT INTO {self._place}.iam_pg_role_mappings VALUES ($1, $2)"
        return await self._connection.execute(mapping, *given.groups())


@pytest.fixture
async def cluster() -> AsyncIterator[tuple[Transactions, list[str]]]:
    place, said = f"s{uuid.uuid4().hex[:12]}", list[str]()

    async def connect() -> Cluster:
        connection = await asyncpg.connect(f"{server_url()}&search_path={place}")
        return Cluster(connection, place, said)

    admin = await asyncpg.connect(server_url())
    await admin.execute(f"CREATE SCHEMA {place}")
    await admin.execute(f"CREATE TABLE {place}.iam_pg_role_mappings (pg_role_name TEXT, arn TEXT)")

    async def at_once(seconds: float) -> None:
        return None

    transactions = Transactions(Connections(connect), DSQL, "there", Retries(sleep=at_once))
    yield transactions, said
    await transactions.close()
    await admin.execute(f"DROP SCHEMA {place} CASCADE")
    await admin.close()


async def test_roles_are_made_once_and_given_to_each_function_once(
    cluster: tuple[Transactions, list[str]],
) -> None:
    transactions, said = cluster
    one, two = (f"r{uuid.uuid4().hex[:12]}" for _ in range(2))
    first = await arrange(transactions, {one: [AGENT], two: [AGENT]}, {})
    assert (first.made, first.given) == ([one, two], 2)
    assert said[0] == said[1] == f"CREATE ROLE {one} WITH LOGIN", "tried again after it met another one"
    said[1:] = []
    again = await arrange(transactions, {one: [AGENT, SWEEP], two: [AGENT]}, {})
    assert (again.made, again.given) == ([], 1)
    assert [line for line in said if "IAM" in line] == [f"AWS IAM GRANT {one} TO '{SWEEP}'"]
    # For tables that are new since.
    assert sum(line.startswith("GRANT SELECT") for line in said) == 2


async def test_a_function_that_gets_a_role_of_its_own_cannot_log_in_as_the_one_before(
    cluster: tuple[Transactions, list[str]],
) -> None:
    transactions, said = cluster
    one, two = (f"r{uuid.uuid4().hex[:12]}" for _ in range(2))
    await arrange(transactions, {one: [AGENT, SWEEP]}, {})
    for changed in (1, 0):
        said[1:] = []
        await arrange(transactions, {one: [AGENT], two: [SWEEP]}, {})
        assert said.count(f"AWS IAM REVOKE {one} FROM '{SWEEP}'") == changed
        assert said.count(f"AWS IAM GRANT {two} TO '{SWEEP}'") == changed
