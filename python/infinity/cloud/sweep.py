"""The net under everything: threads that should have been woken and were not (a message that ended among the
dead letters, a schedule that was deleted); deletions that are not over; closed conversations whose time
has come.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from infinity.errors import InfinityError

from .host import Host

__all__ = ["wake_overdue"]

log = logging.getLogger("infinity.cloud")

GRACE_MS = 5 * 60_000
"""Milliseconds that a wake may be late without being taken for lost: schedules are exact to a minute, and
queues may be long."""
ENOUGH = 5.0
DAY_MS = 86_400_000
PAGE = 500
TOGETHER = 50
"""Wakes that are sent in one go."""
AT_ONCE = 100
"""Conversations that one sweep deletes."""


async def wake_overdue(host: Host, remaining: Callable[[], float]) -> dict[str, Any]:
    """Wake threads that are overdue, and go on with deletions. A wake too many is harmless.

    The next sweep begins behind the last thread that this one has woken in its time, so that threads which
    stay overdue keep nobody else waiting. A failure in one part does not leave out the other.

    Args:
        host: The process's host.
        remaining: Seconds until the function's time limit.

    Returns:
        How many threads were overdue, how many were woken, and how many deletions are under way, for the
        log.

    Raises:
        StoreError: the first failure, after both parts were tried.
    """
    failures: list[Exception] = []
    overdue = woken = erasing = 0
    try:
        overdue, woken = await _wake(host, remaining)
    except (InfinityError, OSError) as error:
        failures.append(error)
    try:
        erasing = await _erase(host)
    except (InfinityError, OSError) as error:
        failures.append(error)
    if overdue:
        log.warning("%d threads were overdue, %d were woken", overdue, woken)
    if failures:
        # So that Lambda counts an error, and tells somebody.
        raise failures[0]
    done = {"overdue": overdue, "woken": woken}
    return {**done, "erasing": erasing} if erasing else done


async def _wake(host: Host, remaining: Callable[[], float]) -> tuple[int, int]:
    """How many were found, and how many of them were woken."""
    since, place = host.now() - GRACE_MS, await host.store.sweep_place()
    overdue = woken = 0
    last = place
    # From the place on to the end, and then from the beginning to the place.
    for after, end in ((place, None), ("", place)) if place else (("", None),):
        while page := await host.store.overdue(since, after, PAGE):
            after = page[-1]
            if end is not None:
                page = [thread for thread in page if thread <= end]
            overdue += len(page)
            for start in range(0, len(page), TOGETHER):
                # The place is written while there is time to write it; the wakes before it have left.
                if remaining() < ENOUGH:
                    await host.store.put_sweep_place(last)
                    return overdue, woken
                some = page[start : start + TOGETHER]
                await host.alarms.wake_many([(thread, host.fresh_cause()) for thread in some])
                woken, last = woken + len(some), some[-1]
            if end is not None and after > end:
                break
    if place:
        await host.store.put_sweep_place("")
    return overdue, woken


async def _erase(host: Host) -> int:
    """Conversations that were closed for longer than ``retention.closed_days`` are deleted; whatever is
    deleted and not removed yet is seen to again.
    """
    days = host.runtime.settings.retention.closed_days
    if days:
        before = host.now() - int(days * DAY_MS)
        for root, changed in await host.store.closed_roots(AT_ONCE):
            if changed <= before:
                await host.store.mark_deleted(root, host.now())
    roots = await host.store.deletions()
    for root in roots[:AT_ONCE]:
        await host.send_erasure(root)
    return len(roots)
