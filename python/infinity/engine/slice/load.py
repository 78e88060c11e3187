"""Load: the thread's state, kept from its last slice or read from the store. A state that cannot be read is an error (I8)."""

from __future__ import annotations

from collections.abc import Sequence

from infinity._core import CoreError, Message, Thread
from infinity.engine.services import Services
from infinity.engine.slice.state import Slice
from infinity.engine.threads import HotThreads
from infinity.errors import from_core


async def load(services: Services, hot: HotThreads, thread: str, batch: Sequence[Message]) -> Slice:
    started_at = services.clock.now()
    state = hot.take(thread)
    if state is None or not hot.sole_writer:
        known_version = -1 if state is None else state.version
        async with hot.loads:
            snapshot = await services.store.load(thread, known_version, [message.id for message in batch])
            if snapshot is not None:
                try:
                    state = Thread.load(snapshot)
                except CoreError as error:
                    raise from_core(error) from error
            del snapshot
    assert state is not None, "the store answered 'unchanged' for a version it was not asked about"
    current = Slice(services, state, started_at)
    current.catalog = await services.catalogs.of(state.root)
    if state.parent is None and state.version <= 1 and current.catalog.problems:
        current.note("problem", code="toolset", text="; ".join(current.catalog.problems))
    current.mark("load", started_at)
    services.observer.gate("loaded")
    return current
