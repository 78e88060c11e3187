"""What is left of a deleted conversation goes: by the agent function, which reaches everything that has
something of it.

The API marks the tree and sends an erasure to the inbox queue; the sweep sends one more for every deletion
that is not over. Each step may be repeated. What the function's time does not suffice for is done when the
message comes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from infinity.errors import StoreError, ThreadDeleted, UnknownThread

from .host import Host

__all__ = ["erase"]

MARGIN = 10.0
"""Seconds before the time limit at which the rest is left to the next invocation."""
AT_ONCE = 8
"""Threads that are cleared outside of the database at once."""


async def erase(host: Host, root: str, remaining: Callable[[], float]) -> None:
    """Remove everything of a deleted tree, outside of the database first: its rows say what there is outside.

    Args:
        host: The process's host.
        root: Id of the root thread. A tree that is removed already, or was never known, is not an error.
        remaining: Seconds until the function's time limit.

    Raises:
        StoreError: if the time is over; the message comes back and the erasure goes on.
    """
    try:
        condemned = await host.store.mark_deleted(root, host.now())
    except (ThreadDeleted, UnknownThread):
        return
    places = asyncio.Semaphore(AT_ONCE)

    async def forget(thread: str) -> None:
        async with places:
            _check_time(root, remaining)
            await host.forget(thread)

    # Tool servers are told before the rows go, because the rows name the calls that they may still work on.
    await host.runtime.deletions.tell(condemned)
    threads = [thread for thread, _ in condemned.threads]
    for outcome in await asyncio.gather(*map(forget, threads), return_exceptions=True):
        if outcome is not None:
            # One that could not be cleared keeps the rows of the whole tree, which say what is left to clear.
            raise outcome
    host.runtime.observer.gate("warned")
    while await host.store.erase(root):
        _check_time(root, remaining)
    host.runtime.observer.gate("erased")


def _check_time(root: str, remaining: Callable[[], float]) -> None:
    if remaining() < MARGIN:
        raise StoreError(f"{root} is deleted; what is left of it is removed by the next invocation")
