"""Order numbers of what is queued: of each thread in the order of acceptance, whatever the clocks say, and no sequence is shared by all."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from tests.contract.databases import database_url, store_with
from tests.contract.dsql_rules import Conflicts
from tests.contract.threads import create

from infinity._core import Message
from infinity.stores.postgres import order_numbers
from infinity.stores.postgres.store import PostgresStore

SECOND = 1_000_000_000


class Machine:
    """Clock and chance of a process: both as the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = 1_800_000_000 * SECOND
        self.chances: list[int] = []
        monkeypatch.setattr(order_numbers, "_now", lambda: self.at)
        monkeypatch.setattr(order_numbers, "_chance", self._chance)
        monkeypatch.setattr(order_numbers._Latest, "number", 0)
        self.another()

    def another(self, later: int = 0) -> None:
        """From now on it is another process, whose clock goes before or behind."""
        order_numbers._Latest.number = 0
        self.at += later

    def _chance(self, bits: int) -> int:
        return self.chances.pop(0) if self.chances else random.randrange(1 << bits)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


async def _store(tmp_path: Path) -> tuple[PostgresStore, Any]:
    url = await database_url(tmp_path)
    return await store_with(url, Conflicts(0)), await asyncpg.connect(url)


def _message(thread: str, id: str) -> Message:
    return Message(thread, id, "user", b"{}", accepted_at=1)


async def _queued(store: PostgresStore, thread: str) -> list[str]:
    return [message.id for message in await store.inbox() if message.thread == thread]


@pytest.mark.rap("THR-1")
async def test_messages_keep_their_order_though_the_clocks_of_the_machines_differ(
    tmp_path: Path, machine: Machine
) -> None:
    store, connection = await _store(tmp_path)
    for thread in ("t", "u"):
        await create(store, thread)
    ids = [f"m{number}" for number in range(12)]
    for number, id in enumerate(ids):
        machine.another(-SECOND if number % 3 else 5 * SECOND)
        await store.accept(_message("t", id))
        await store.accept(_message("u", id))
    assert await _queued(store, "t") == await _queued(store, "u") == ids
    # Of old tables: before everything that is queued now.
    await connection.execute("UPDATE inbox SET seq = 7 WHERE thread = 't' AND id = 'm11'")
    machine.another(-3600 * SECOND)
    await store.accept(_message("t", "last"))
    assert await _queued(store, "t") == ["m11", *ids[:-1], "last"]
    assert not await connection.fetchval("SELECT is_called FROM places"), "nobody asks the old sequence"
    await connection.close()
    await store.close()


async def test_two_threads_that_get_the_same_number_are_both_served(tmp_path: Path, machine: Machine) -> None:
    store, connection = await _store(tmp_path)
    for thread in ("t", "u"):
        await create(store, thread)
    machine.chances = [5, 0, 5, 0, 6, 0]
    first = await store.accept(_message("t", "m"))
    machine.another()
    second = await store.accept(_message("u", "m"))
    assert first.message is not None and second.message is not None
    assert first.message.seq < second.message.seq
    assert not machine.chances, "a second try"
    await connection.close()
    await store.close()


def test_numbers_of_a_process_grow_and_fit_a_column(machine: Machine) -> None:
    numbers = []
    for at in (2, 1, 1, 4_000_000_000 * SECOND, 3):
        machine.at = at
        numbers.append(order_numbers.fresh())
    assert numbers == sorted(set(numbers)) and numbers[-1] < 1 << 63
    assert order_numbers.fresh_many(3) == [numbers[-1] + more for more in (1, 2, 3)]
