"""Transactions: tried again as a whole, for as long as that may help, and never half."""

from __future__ import annotations

import asyncpg  # type: ignore[import-untyped]
import pytest

from infinity.errors import ConfigError, Conflict, InfinityError, LimitReached, RuleBroken, StoreError
from infinity.stores.postgres.connections import Connection, Connections
from infinity.stores.postgres.platform import DSQL, POSTGRESQL
from infinity.stores.postgres.transactions import Retries, Transactions

MET = asyncpg.SerializationError("change conflicts with another transaction, please retry: (OC000)")
GONE = asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")


class Server:
    """A connection that writes down what it is told; ``commits``: what becomes of each COMMIT."""

    def __init__(self, *commits: Exception | None) -> None:
        self.told: list[str] = []
        self.opened = 0
        self.pauses: list[float] = []
        self._commits = list(commits)
        self._closed = self._in_transaction = False
        retries = Retries(sleep=self._sleep, chance=lambda: 1.0)
        self.transactions = Transactions(Connections(self._connect), DSQL, "db", retries)

    async def _connect(self) -> Server:
        self.opened += 1
        self._closed = self._in_transaction = False
        return self

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def execute(self, sql: str) -> None:
        self.told.append(sql)
        self._in_transaction = sql == "BEGIN"
        if sql == "COMMIT" and self._commits and (error := self._commits.pop(0)):
            if error is GONE:
                self._closed = True
            raise error

    def is_closed(self) -> bool:
        return self._closed

    def is_in_transaction(self) -> bool:
        return self._in_transaction

    def terminate(self) -> None:
        self._closed = True


async def works(connection: Connection, uncertain: bool) -> bool:
    await connection.execute("work")
    return uncertain


@pytest.mark.trap("R4")
async def test_a_transaction_that_met_another_one_is_run_anew_as_a_whole() -> None:
    server = Server(MET, MET, None)
    assert await server.transactions.write(works) is False
    assert server.told == ["BEGIN", "work", "COMMIT"] * 3
    assert server.pauses == [0.05, 0.1]
    assert server.opened == 1, "the connection was well"


@pytest.mark.trap("R5")
async def test_it_gives_up_after_five_more_tries_each_twice_as_late() -> None:
    server = Server(*[MET] * 6, None)
    with pytest.raises(StoreError, match=r"busy.*nothing was written"):
        await server.transactions.write(works)
    assert server.told.count("COMMIT") == 6
    assert server.pauses == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8])


async def test_pauses_are_spread_by_chance() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    await Retries(sleep=sleep, chance=lambda: 0.0).wait(3)
    await Retries(sleep=sleep, chance=lambda: 1.0).wait(3)
    assert slept == pytest.approx([0.2, 0.4])


async def test_an_error_of_the_slice_rolls_back_and_is_not_tried_again() -> None:
    server = Server()

    async def refuses(connection: Connection, _: bool) -> None:
        raise Conflict("another slice committed first")

    with pytest.raises(Conflict):
        await server.transactions.write(refuses)
    assert server.told == ["BEGIN", "ROLLBACK"]


async def test_a_connection_that_breaks_during_its_commit_makes_the_next_try_ask_whether_it_happened() -> (
    None
):
    server = Server(GONE, MET, None)
    assert await server.transactions.write(works) is True, "and it stays uncertain"
    assert server.opened == 2


async def test_a_connection_that_breaks_before_leaves_no_doubt() -> None:
    server = Server()
    tried = 0

    async def breaks_once(connection: Connection, uncertain: bool) -> bool:
        nonlocal tried
        tried += 1
        if tried == 1:
            connection.terminate()
            raise GONE
        return uncertain

    assert await server.transactions.write(breaks_once) is False
    assert server.opened == 2


async def test_a_commit_of_which_nothing_is_known_is_not_called_undone() -> None:
    server = Server(*[GONE] * 6)
    with pytest.raises(StoreError, match="whether it happened"):
        await server.transactions.write(works)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (asyncpg.UndefinedTableError("no relation"), ConfigError, "infinity daemon migrate"),
        (asyncpg.InvalidPasswordError("wrong"), ConfigError, "login"),
        (asyncpg.InvalidCatalogNameError("no database"), ConfigError, "create it"),
        (asyncpg.InsufficientPrivilegeError("denied"), ConfigError, "grant"),
        (asyncpg.ProgramLimitExceededError("too many rows"), LimitReached, "nothing was written"),
        (asyncpg.DiskFullError("full"), StoreError, "full"),
        (asyncpg.UniqueViolationError("twice"), RuleBroken, "refused a write"),
        (OSError("no route"), StoreError, "cannot be reached"),
    ],
)
async def test_every_failure_says_what_to_do(error: Exception, kind: type[InfinityError], words: str) -> None:
    server = Server()

    async def fails(connection: Connection, _: bool) -> None:
        raise error

    with pytest.raises(kind, match=words) as raised:
        await server.transactions.write(fails)
    assert "db" in str(raised.value)


def test_postgresql_is_tried_again_sooner_than_a_cluster() -> None:
    assert POSTGRESQL.pause < DSQL.pause == 0.05
