"""A process is killed while it erases a tree and rewrites the journal: the next one finds the others whole, and nothing of the deleted one is left when it is done.

By default a few times; ``INFINITY_KILLS`` says how often.
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import sys
from pathlib import Path

import pytest
from tests.contract.stores import journal
from tests.contract.threads import NOW, blocks, commit, message

from infinity._core import Thread
from infinity.abc import Status, Store

KILLS = int(os.environ.get("INFINITY_KILLS", "3"))
WORD = "the word that nobody may find "
TREES = 8
ENTRIES = 300
LONGEST = 0.5
"""Seconds after which it is done on an idle machine."""

VICTIM = """
import asyncio, sys
from pathlib import Path
from tests.contract.stores import journal

async def main():
    async with journal(Path(sys.argv[1])) as store:
        print("open", flush=True)
        await store.mark_deleted("t0", 1)
        while await store.erase("t0"):
            pass
        await store.compact()
        await store.put_meta("after", b"written after the compaction")
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def fill(directory: Path) -> None:
    async with journal(directory) as store:
        for number in range(TREES):
            thread = Thread.create(f"t{number}", now=NOW, model="m")
            for _ in range(ENTRIES):
                thread.add_user(blocks(f"{number}: {WORD * 20}" if number == 0 else "word " * 100), now=NOW)
            await commit(store, thread)


async def finish(store: Store) -> None:
    while await store.erase("t0"):
        pass
    await store.compact()


@pytest.mark.trap("G7", "L21")
@pytest.mark.parametrize("kill", range(KILLS))
async def test_a_killed_deletion_leaves_the_others_whole(tmp_path: Path, kill: int) -> None:
    await fill(tmp_path)
    root = Path(__file__).parents[2]
    victim = await asyncio.create_subprocess_exec(
        sys.executable, "-c", VICTIM, str(tmp_path), cwd=root, stdout=asyncio.subprocess.PIPE
    )
    assert victim.stdout is not None and await victim.stdout.readline() == b"open\n"
    await asyncio.sleep(random.Random(kill).uniform(0, LONGEST))
    victim.kill()
    await victim.wait()
    async with journal(tmp_path) as store:
        found = {row.id for row in await store.threads()}
        assert found >= {f"t{number}" for number in range(1, TREES)}
        for number in range(1, TREES):
            assert len(await store.entries(f"t{number}")) == ENTRIES
        if await store.tombstone("t0") is None:
            assert "t0" in found and len(await store.entries("t0")) == ENTRIES
            await store.mark_deleted("t0", NOW)
        assert (await store.accept(message("t0", "late"))).status is Status.DELETED
        await finish(store)
        assert await store.deletions() == []
        for file in tmp_path.glob("infinity.db*"):
            assert WORD.encode() not in file.read_bytes(), file
    assert sqlite3.connect(tmp_path / "infinity.db").execute("PRAGMA integrity_check").fetchone() == ("ok",)
