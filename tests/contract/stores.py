"""Every implementation of ``abc.Store``, opened in a directory; opening the same directory again finds what was there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from tests.contract.databases import postgres, postgres_with_conflicts

from infinity._core import Journal, Wake
from infinity.abc import Store
from infinity.stores.sqlite.store import JournalStore
from infinity.stores.sqlite.wakeup import Wakeup

Opened = Callable[[Path], AbstractAsyncContextManager[Store]]


@asynccontextmanager
async def journal(directory: Path) -> AsyncIterator[Store]:
    wakeup = Wakeup(Wake())
    store = JournalStore(Journal.open(str(directory / "infinity.db"), wakeup.wake), wakeup)
    wakeup.start()
    try:
        yield store
    finally:
        await store.close()
        wakeup.stop()


STORES: dict[str, Opened] = {
    "journal": journal,
    "postgres": postgres,
    "postgres_with_conflicts": postgres_with_conflicts,
}
