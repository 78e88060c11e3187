"""What completions have used is summed by day, model, tree and thread; it moves with its tree, and outlives a deletion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.contract.threads import NOW, blocks, commit, create

from infinity._core import Thread
from infinity.abc import Store, UsageRow

DAY = 86_400_000
TODAY = NOW // DAY


async def _turn(store: Store, thread: Thread, now: int = NOW, model: str = "m/one", times: int = 1) -> None:
    for number in range(times):
        if number or thread.answered:
            thread.add_user(blocks("and"), now=now)
        meta = json.dumps({"model": model, "other": [1]}).encode()
        thread.add_turn(blocks("said"), [], now=now, usage=(1, 20, 300, 4000), cost=7, meta=meta)
    await commit(store, thread, now)


async def _usage(store: Store, *by: str, since: int = 0, until: int = 1 << 31, **more: Any) -> list[UsageRow]:
    """By pages."""
    found: list[UsageRow] = []
    while rows := await store.usage(since=since, until=until, by=by, after=len(found), limit=2, **more):
        found += rows
    return found


def _row(
    times: int,
    day: int | None = None,
    model: str | None = None,
    root: str | None = None,
    thread: str | None = None,
) -> UsageRow:
    return UsageRow(day, model, root, thread, times, times, 20 * times, 300 * times, 4000 * times, 7 * times)


async def test_usage_is_summed_as_it_is_asked_for(store: Store) -> None:
    assert await _usage(store, "day") == [] == await _usage(store)
    a, b = await create(store, "a"), await create(store, "b")
    await _turn(store, a, times=2)
    await _turn(store, a, model="m/two")
    await _turn(store, a, NOW + DAY)
    await _turn(store, b, NOW + DAY)
    a.add_user(blocks("nothing bought"), now=NOW)
    child = a.fork("a.1", now=NOW, origin=b"{}", placeholder=blocks("later"))
    child.add_user(blocks("go"), now=NOW)
    meta = json.dumps({"model": "m/one"}).encode()
    child.add_turn(blocks("said"), [], now=NOW, usage=(1, 20, 300, 4000), cost=7, meta=meta)
    await commit(store, a, NOW + 2 * DAY)
    assert await _usage(store) == [_row(6)]
    assert await _usage(store, "day") == [_row(3, TODAY), _row(2, TODAY + 1), _row(1, TODAY + 2)]
    assert await _usage(store, "model") == [_row(5, model="m/one"), _row(1, model="m/two")]
    assert await _usage(store, "root") == [_row(5, root="a"), _row(1, root="b")]
    assert await _usage(store, "day", "thread", root="a") == [
        _row(3, TODAY, thread="a"),
        _row(1, TODAY + 1, thread="a"),
        _row(1, TODAY + 2, thread="a.1"),
    ]
    assert await _usage(store, "model", since=TODAY + 1, until=TODAY + 1) == [_row(2, model="m/one")]
    assert await _usage(store, "day", until=TODAY - 1) == []


async def test_what_was_deleted_counts_and_is_nobodys(store: Store) -> None:
    for id in ("a", "b", "c"):
        await _turn(store, await create(store, id))
    for id in ("a", "b"):
        await store.mark_deleted(id, NOW)
        while await store.erase(id):
            pass
    assert await _usage(store, "day", "model") == [_row(3, TODAY, "m/one")]
    found = {(row.root, row.thread): row.turns for row in await _usage(store, "root", "thread")}
    assert found == {(None, None): 2, ("c", "c"): 1}


async def test_usage_goes_with_a_tree_that_moves(store: Store, tmp_path: Path) -> None:
    thread = await create(store)
    await _turn(store, thread, times=3)
    file = str(tmp_path / "tree")
    await store.export_tree("t", file)
    await store.delete_tree("t")
    assert await _usage(store, "model") == []
    await create(store, "another")
    await store.import_tree(file)
    assert await _usage(store, "day", "model", "thread") == [_row(3, TODAY, "m/one", thread="t")]


async def test_a_turn_that_names_no_model_counts_for_the_thread_s(store: Store) -> None:
    thread = await create(store)
    thread.add_turn(blocks("said"), [], now=NOW, usage=(1, 20, 300, 4000), cost=7)
    await commit(store, thread)
    assert await _usage(store, "model") == [_row(1, model="test/model")]
