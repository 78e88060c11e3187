"""The net under everything: threads that should have been woken and were not (a message that ended among the dead letters, a schedule that was deleted); deletions
that are not over; closed conversations whose time has come."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from .host import Host

__all__ = ["wake_overdue"]

log = logging.getLogger("infinity.cloud")

GRACE_MS = 5 * 60_000
"""Milliseconds that a wake may be late without being taken for lost: schedules are exact to a minute, and queues may be long."""
ENOUGH = 5.0
DAY_MS = 86_400_000
AT_ONCE = 100
"""Conversations that one sweep deletes."""


async def wake_overdue(host: Host, remaining: Callable[[], float]) -> dict[str, Any]:
    """A wake too many is harmless. What is left when the time is over is found by the next sweep."""
    erasing = await _erase(host)
    overdue = await host.store.overdue(host.now() - GRACE_MS)
    woken = 0
    for thread in overdue:
        if remaining() < ENOUGH:
            break
        await host.alarms.wake(thread, host.fresh_cause())
        woken += 1
    if overdue:
        log.warning("%d threads were overdue, %d were woken", len(overdue), woken)
    done = {"overdue": len(overdue), "woken": woken}
    return {**done, "erasing": erasing} if erasing else done


async def _erase(host: Host) -> int:
    """Conversations that were closed for longer than ``retention.closed_days`` are deleted; whatever is deleted and not removed yet is seen to again."""
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
