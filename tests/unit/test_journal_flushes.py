"""Writes of one turn of the event loop share a flush; a mark that nobody waits for goes with the next one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.contract.stores import journal
from tests.contract.threads import calling, create, message

from infinity.abc import Status
from infinity.stores.sqlite import store as sqlite

HEADER, FRAME = 32, 24
"""Bytes, in SQLite's write-ahead log: https://www.sqlite.org/fileformat.html#the_write_ahead_log."""


def commits(directory: Path) -> int:
    """Transactions in the log: frames that say how large the database is after them."""
    log = (directory / "infinity.db-wal").read_bytes()
    frame = FRAME + int.from_bytes(log[8:12], "big")
    frames = [log[at : at + FRAME] for at in range(HEADER, len(log), frame)]
    # What is left of an earlier round of the log has other salts.
    valid = [each for each in frames if each[8:16] == log[16:24]]
    return sum(each[4:8] != bytes(4) for each in valid)


async def test_writes_of_one_turn_of_the_loop_share_a_transaction(tmp_path: Path) -> None:
    async with journal(tmp_path) as store:
        await create(store)
        before = commits(tmp_path)
        accepted = await asyncio.gather(*(store.accept(message("t", f"m{n}")) for n in range(50)))
        assert [each.status for each in accepted] == [Status.ACCEPTED] * 50
        assert [each.message.seq for each in accepted if each.message] == sorted(
            each.message.seq for each in accepted if each.message
        )
        assert commits(tmp_path) == before + 1


async def test_that_a_call_was_sent_is_written_together_with_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "RIDE", 3_600.0)
    async with journal(tmp_path) as store:
        await calling(store, "t", "c1")
        before = commits(tmp_path)
        sent = asyncio.create_task(store.outbox_done("invoke.c1", "c1"))
        assert (await store.thread("t")) is not None, "a read takes nothing along"
        assert not sent.done() and commits(tmp_path) == before
        await store.accept(message("t", "m1"))
        await sent
        assert commits(tmp_path) == before + 1
        assert [state for _, state in await store.calls("t")] == ["sent"]


async def test_that_a_call_was_sent_is_written_though_nothing_comes(tmp_path: Path) -> None:
    async with journal(tmp_path) as store:
        await calling(store, "t", "c1")
        await store.outbox_done("invoke.c1", "c1")
        assert [state for _, state in await store.calls("t")] == ["sent"]


async def test_what_was_kept_back_is_written_when_the_store_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "RIDE", 3_600.0)
    async with journal(tmp_path) as store:
        await calling(store, "t", "c1")
        sent = asyncio.create_task(store.outbox_done("invoke.c1", "c1"))
        await store.thread("t")
    await sent
    async with journal(tmp_path) as store:
        assert [state for _, state in await store.calls("t")] == ["sent"]
