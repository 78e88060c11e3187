"""One owner of a database at a time: on PostgreSQL by a lock and an epoch, on Aurora DSQL by the epoch alone (R12)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from tests.contract.databases import database_url, dsql_connections
from tests.contract.dsql_rules import Conflicts
from tests.contract.threads import NOW, commit, create, message
from tests.patience import PATIENCE as SOON

from infinity._core import Thread
from infinity.abc import Store
from infinity.errors import InfinityError, StoreLocked
from infinity.stores.postgres.connections import Connections
from infinity.stores.postgres.epoch import Epoch, Owner, raise_epoch
from infinity.stores.postgres.opening import owned_store
from infinity.stores.postgres.ownership import Claim
from infinity.stores.postgres.platform import DSQL, POSTGRESQL, Platform
from infinity.stores.postgres.store import PostgresStore
from infinity.stores.postgres.transactions import Transactions

pytestmark = pytest.mark.trap("R12")


class Told:
    """What became of an ownership."""

    def __init__(self, store: PostgresStore) -> None:
        self.words: list[str] = []
        self._changed = asyncio.Condition()
        assert store.ownership is not None
        store.ownership.watch(
            doubted=lambda: self._say("doubted"),
            certain=lambda: self._say("certain"),
            lost=lambda _: self._say("lost"),
        )

    def _say(self, word: str) -> None:
        self.words.append(word)
        asyncio.get_running_loop().create_task(self._notify())

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def until(self, word: str) -> list[str]:
        async with asyncio.timeout(SOON), self._changed:
            await self._changed.wait_for(lambda: word in self.words)
        return self.words


class Database:
    """Opens the same one for several owners."""

    def __init__(self, url: str, platform: Platform) -> None:
        self.url = url
        self.platform = platform
        self._stack = AsyncExitStack()

    async def connect(self) -> Any:
        return await asyncpg.connect(self.url, server_settings=dict(POSTGRESQL.settings))

    async def open(self, home: str, *, wait: float = 0, take_over: bool = False) -> PostgresStore:
        opened = (
            dsql_connections(self.url, Conflicts(0)) if self.platform is DSQL else Connections(self.connect)
        )
        transactions = Transactions(opened, self.platform, "the test database")
        store = await owned_store(
            transactions, Claim(home, f"the daemon of {home}", wait, take_over), self.connect
        )
        self._stack.push_async_callback(store.close)
        return store

    async def ask(self, sql: str, *arguments: Any) -> Any:
        connection = await self.connect()
        try:
            return await connection.fetch(sql, *arguments)
        finally:
            await connection.close()

    async def end_lock(self) -> None:
        """As a server or a network does."""
        await self.ask(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        )

    async def close(self) -> None:
        await self._stack.aclose()


@pytest.fixture(params=["postgresql", "dsql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    made = Database(await database_url(tmp_path), DSQL if request.param == "dsql" else POSTGRESQL)
    yield made
    await made.close()


@pytest.fixture
async def postgresql(tmp_path: Path) -> AsyncIterator[Database]:
    made = Database(await database_url(tmp_path), POSTGRESQL)
    yield made
    await made.close()


@pytest.fixture
async def dsql(tmp_path: Path) -> AsyncIterator[Database]:
    made = Database(await database_url(tmp_path), DSQL)
    yield made
    await made.close()


async def waits(caplog: pytest.LogCaptureFixture) -> None:
    async with asyncio.timeout(SOON):
        while "waiting up to" not in caplog.text:
            await asyncio.sleep(0.001)


async def blocked(database: Database, statement: str) -> None:
    """Until a transaction waits with this statement for a row that another one has."""
    sql = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1"
    async with asyncio.timeout(SOON):
        while not await database.ask(sql, f"{statement}%"):
            await asyncio.sleep(0)


async def test_a_second_owner_is_refused_and_hears_who_the_first_one_is(database: Database) -> None:
    await database.open("one")
    for wait in (0, 0.05):
        with pytest.raises(StoreLocked, match=r"the daemon of one.*--wait.*--take-over"):
            await database.open("two", wait=wait)


async def test_a_second_owner_that_waits_comes_next_when_the_first_one_stops(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    first = await database.open("one")
    await create(first)
    second = asyncio.create_task(database.open("two", wait=SOON))
    await waits(caplog)
    assert not second.done()
    await first.close()
    assert (await (await second).thread("t")) is not None


async def test_an_owner_that_was_killed_is_succeeded_at_once(database: Database) -> None:
    first = await database.open("one")
    await create(first)
    if database.platform.locks:
        first.ownership._lock.terminate()  # type: ignore[union-attr]
    # Where nothing ends with a process, the same home is what shows that it is gone.
    second = await database.open("two" if database.platform.locks else "one", wait=SOON)
    await create(second, "u")
    with pytest.raises(StoreLocked):
        await create(first, "v")


async def test_what_another_home_left_behind_on_dsql_has_to_be_taken_over(dsql: Database) -> None:
    await dsql.open("one")
    with pytest.raises(StoreLocked, match="the daemon of one"):
        await dsql.open("two")
    await create(await dsql.open("two", take_over=True))


WRITES: dict[str, Callable[[Store, Thread], Awaitable[Any]]] = {
    "accept": lambda store, _: store.accept(message("t", "late")),
    "commit": lambda store, thread: store.commit(thread.delta(NOW)),
    "record_attempt": lambda store, _: store.record_attempt("t", "late", NOW),
    "begin": lambda store, _: store.begin(NOW),
    "fire_timers": lambda store, _: store.fire_timers(NOW + 1_000),
    "outbox_done": lambda store, _: store.outbox_done("k"),
    "outbox_retry": lambda store, _: store.outbox_retry("k", NOW),
    "outbox": lambda store, _: store.outbox(),
    "inbox": lambda store, _: store.inbox(),
    "put_view": lambda store, _: store.put_view("t", "diff", b"late"),
    "put_meta": lambda store, _: store.put_meta("k", b"late"),
    "retire_tree": lambda store, _: store.retire_tree("t", "late"),
    "unretire_tree": lambda store, _: store.unretire_tree("t"),
    "delete_tree": lambda store, _: store.delete_tree("t"),
    "mark_deleted": lambda store, _: store.mark_deleted("t", NOW),
}


async def test_after_a_take_over_the_loser_writes_and_takes_nothing(database: Database) -> None:
    first = await database.open("one")
    told = Told(first)
    thread = await create(first)
    thread.plan_outbox("k", "invoke", "http://tool", b"{}")
    thread.set_timer("soon", NOW, "timer", b"{}")
    await commit(first, thread)
    await first.accept(message("t", "m"))
    second = await database.open("two", take_over=True)
    before = await second.counts(), await second.outbox(), [item.id for item in await second.inbox()]
    thread.note("late", b"{}")
    for late in WRITES.values():
        with pytest.raises(StoreLocked, match="the daemon of two"):
            await late(first, thread)
    assert (await told.until("lost")).count("lost") == 1
    assert await first.thread("t") is not None, "looking is allowed"
    assert (
        await second.counts(),
        await second.outbox(),
        [item.id for item in await second.inbox()],
    ) == before
    assert (await second.retired("t"), await second.views("t"), await second.meta("k")) == (None, [], None)
    await first.close()
    assert await second.begin(NOW) == 1, "the loser does not say that the database was left in order"
    await create(second, "u")


async def test_a_commit_that_is_under_way_ends_before_the_next_owner_begins(database: Database) -> None:
    first = await database.open("one")
    began, go_on = asyncio.Event(), asyncio.Event()

    async def slow(connection: Any, _: bool) -> None:
        began.set()
        await go_on.wait()
        await connection.execute("INSERT INTO meta (key, value) VALUES ('mine', 'x')")

    writing = asyncio.create_task(first._transactions.write(slow))
    await began.wait()
    try:
        async with asyncio.timeout(SOON):
            await first.put_meta("other", b"y")  # nor do two of one owner wait for each other
        taking = asyncio.create_task(database.open("two", take_over=True))
        await blocked(database, "INSERT INTO meta")
        assert not taking.done()
    finally:
        go_on.set()
    await writing
    assert await (await taking).meta("mine") == b"x"


async def test_a_commit_that_meets_the_next_owner_is_refused(database: Database) -> None:
    first = await database.open("one")
    connection = await database.connect()
    await connection.execute("BEGIN")
    await raise_epoch(connection, Owner("two", "the daemon of two", free=False))
    late = asyncio.create_task(first.put_meta("mine", b"x"))
    try:
        await blocked(database, "SELECT value FROM meta")
    finally:
        await connection.execute("COMMIT")
        await connection.close()
    with pytest.raises(StoreLocked, match="the daemon of two"):
        await late
    assert await first.meta("mine") is None


async def test_the_epoch_is_in_sixty_four_rows_and_one_owner_uses_them_all(postgresql: Database) -> None:
    first = await postgresql.open("one")
    rows = await postgresql.ask("SELECT key, value FROM meta WHERE key LIKE 'owner._%'")
    assert len(rows) == 64 and {value for _, value in rows} == {b"1"}
    seen: set[str] = set()
    epoch = Epoch(1, POSTGRESQL, "here")

    class Looking:
        async def fetchval(self, _: str, key: str) -> bytes:
            seen.add(key)
            return b"1"

    for _ in range(64):
        await epoch.fence(Looking())
    assert seen == {key for key, _ in rows}
    await first.close()


async def test_an_owner_whose_lock_broke_has_it_back_if_nobody_else_took_it(postgresql: Database) -> None:
    first = await postgresql.open("one")
    told = Told(first)
    for count in (1, 2):
        await postgresql.end_lock()
        async with asyncio.timeout(SOON):
            while told.words.count("certain") < count:
                await asyncio.sleep(0.001)
    assert told.words == ["doubted", "certain"] * 2
    await create(first)
    with pytest.raises(StoreLocked):
        await postgresql.open("two")


async def test_an_owner_whose_lock_broke_is_lost_if_somebody_was_waiting(
    postgresql: Database, caplog: pytest.LogCaptureFixture
) -> None:
    first = await postgresql.open("one")
    told = Told(first)
    second = asyncio.create_task(postgresql.open("two", wait=SOON))
    await waits(caplog)
    await postgresql.end_lock()
    await create(await second)
    assert await told.until("lost") == ["doubted", "lost"]
    with pytest.raises(StoreLocked):
        await create(first, "late")


async def test_two_that_take_over_at_once_leave_one_owner(database: Database) -> None:
    await database.open("one")
    outcomes = await asyncio.gather(
        *(database.open(home, take_over=True) for home in ("two", "three")), return_exceptions=True
    )
    owners = 0
    for store in outcomes:
        if isinstance(store, PostgresStore):
            try:
                await store.put_meta("mine", b"x")
                owners += 1
            except InfinityError:
                pass
    assert owners == 1
