"""The log of all commits: what each has added to which stream, in the order of commits, without gap or repeat."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest
from tests.contract.stores import STORES
from tests.contract.threads import NOW, blocks, commit, create, snapshot

from infinity._core import Thread
from infinity.abc import LogRow, Store
from infinity.errors import Conflict
from infinity.local.assembly import HostedStore

KEPT = 1_000


@pytest.fixture
def store(store: Store) -> Store:
    """As the only process at the store has it."""
    cast(HostedStore, store).events_kept = KEPT
    return store


async def _noted(store: Store, thread: Thread, now: int = NOW) -> None:
    thread.note("status", b'{"at":1}')
    await commit(store, thread, now)


async def _all(store: Store, after: int = 0, limit: int = 1000) -> list[LogRow]:
    found: list[LogRow] = []
    while rows := (await store.log(found[-1].seq if found else after, limit)).rows:
        found += rows
    return found


async def test_every_commit_is_in_the_log_with_what_it_has_added(store: Store) -> None:
    assert await store.log() == (0, 0, [])
    a = await create(store, "a", now=NOW)
    b = await create(store, "b", now=NOW + 1)
    a.note("status", b"{}")
    a.note("status", b"{}")
    child = a.fork("a.1", now=NOW, origin=b"{}", placeholder=blocks("later"))
    child.add_user(blocks("go"), now=NOW)
    await commit(store, a, NOW + 2)
    b.set_title("nothing that anybody is shown")
    await commit(store, b, NOW + 3)
    await _noted(store, b, NOW + 4)
    rows = await _all(store)
    assert [(row.thread, row.root, row.first, row.last, row.at - NOW) for row in rows] == [
        ("a", "a", 0, 0, 0),
        ("b", "b", 0, 0, 1),
        ("a", "a", 1, 2, 2),
        ("a.1", "a", 0, len(await store.feed("a.1")) - 1, 2),
        ("b", "b", 1, 1, 4),
    ]
    assert rows == sorted(set(rows)) == await _all(store, limit=1) and rows[2:] == await _all(
        store, rows[1].seq
    )
    log = await store.log(after=rows[-1].seq)
    assert (log.oldest, log.newest, log.rows) == (rows[0].seq, rows[-1].seq, [])


async def test_a_commit_that_does_not_happen_is_not_in_the_log(store: Store) -> None:
    await create(store)
    stale = Thread.load(await snapshot(store, "t"))
    await _noted(store, Thread.load(await snapshot(store, "t")))
    stale.note("status", b"{}")
    with pytest.raises(Conflict):
        await store.commit(stale.delta(NOW))
    assert [(row.first, row.last) for row in await _all(store)] == [(0, 0), (1, 1)]


async def test_old_rows_go_with_later_commits_and_the_newest_stays(store: Store) -> None:
    thread = await create(store)
    for _ in range(130):
        await _noted(store, thread)
    for _ in range(130):
        await _noted(store, thread, NOW + KEPT + 1)
    log = await store.log()
    assert (log.oldest, log.newest) == (log.rows[0].seq, log.rows[-1].seq)
    assert log.rows[0].at == NOW + KEPT + 1 and len(log.rows) == 130
    assert log.rows[-1].last == 260


async def test_a_tree_that_is_gone_is_not_in_the_log_and_no_number_is_given_twice(store: Store) -> None:
    await create(store, "stays")
    for how in ("deleted", "moved"):
        thread = await create(store, how)
        await _noted(store, thread)
        newest = (await store.log()).newest
        if how == "moved":
            await store.delete_tree(how)
        else:
            await store.mark_deleted(how, NOW)
            while await store.erase(how):
                pass
        assert [row.thread for row in await _all(store)] == ["stays"]
        assert (await store.log()).newest == newest
    await create(store, "new")
    rows = await _all(store)
    assert [row.thread for row in rows] == ["stays", "new"] and rows[-1].seq > newest


@pytest.mark.parametrize("opened", STORES.values(), ids=STORES.keys())
async def test_numbers_go_on_where_the_last_process_ended(opened: object, tmp_path: Path) -> None:
    seen = []
    for id in ("a", "b"):
        async with opened(tmp_path) as store:  # type: ignore[operator]
            store.events_kept = KEPT
            before = (await store.log()).newest
            await create(store, id)
            [row] = (await store.log(before)).rows
            seen.append((row.seq, row.thread))
    assert seen == sorted(seen) and [thread for _, thread in seen] == ["a", "b"]
    assert seen[0][0] < seen[1][0]


async def test_who_reads_while_many_commit_sees_each_row_once_and_in_order(store: Store) -> None:
    threads = [await create(store, f"t{number}") for number in range(12)]
    seen = await _all(store)
    ended = asyncio.Event()

    async def read() -> None:
        last = False
        while not last:
            last = ended.is_set()
            log = await store.log(seen[-1].seq)
            assert all(row.seq <= log.newest for row in log.rows)
            seen.extend(log.rows)

    async def write(thread: Thread) -> None:
        for _ in range(4):
            await _noted(store, thread)

    reading = asyncio.create_task(read())
    await asyncio.gather(*map(write, threads))
    ended.set()
    await reading
    assert seen == await _all(store) and len(seen) == 60
    for thread in threads:
        assert [row.first for row in seen if row.thread == thread.id] == [0, 1, 2, 3, 4]
