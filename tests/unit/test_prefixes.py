"""What requests begin with is kept once for all turns, and never in the way of one."""

from __future__ import annotations

from typing import Any

import pytest

from infinity.engine.prefixes import LARGEST, Prefixes, read
from infinity.errors import DamagedStore, StoreError

TOOLS = b'[{"name": "look"}]'


class Facts:
    """The part of a store that is asked; fails while it is ``broken``."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}
        self.puts = 0
        self.broken = False

    async def meta(self, key: str) -> bytes | None:
        if self.broken:
            raise StoreError("the disk is full")
        return self.rows.get(key)

    async def put_meta(self, key: str, value: bytes) -> None:
        self.puts += 1
        self.rows[key] = value


async def test_it_is_written_once_for_every_process_and_read_as_it_was() -> None:
    store: Any = Facts()
    kept = Prefixes()
    digests = {await kept.keep(store, "thread", "be kind", TOOLS) for _ in range(3)}
    digests.add(await Prefixes().keep(store, "other", "be kind", TOOLS))
    assert store.puts == 1 and len(digests) == 1
    found = await read(store, str(digests.pop()))
    assert found is not None and (found.system, bytes(found.tools)) == ("be kind", TOOLS)
    assert await kept.keep(store, "thread", "be strict", TOOLS) not in (None, *digests)


async def test_a_store_that_fails_delays_no_turn_and_is_asked_again() -> None:
    store: Any = Facts()
    kept = Prefixes()
    store.broken = True
    assert await kept.keep(store, "thread", "be kind", TOOLS) is None
    store.broken = False
    assert await kept.keep(store, "thread", "be kind", TOOLS) is not None


async def test_what_no_store_takes_in_one_value_is_not_kept() -> None:
    store: Any = Facts()
    assert await Prefixes().keep(store, "thread", "x" * LARGEST, TOOLS) is None
    assert store.puts == 0


async def test_what_is_not_there_is_said_and_what_was_changed_is_damage() -> None:
    store: Any = Facts()
    digest = str(await Prefixes().keep(store, "thread", "be kind", TOOLS))
    assert await read(store, "0" * 32) is None
    store.rows[f"prefix.{digest}"] += b" "
    with pytest.raises(DamagedStore):
        await read(store, digest)
