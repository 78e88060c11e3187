"""The net under everything: threads that should have been woken and were not (a message that ended among the dead letters, a schedule that was deleted)."""

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


async def wake_overdue(host: Host, remaining: Callable[[], float]) -> dict[str, Any]:
    """A wake too many is harmless. What is left when the time is over is found by the next sweep."""
    overdue = await host.store.overdue(host.now() - GRACE_MS)
    woken = 0
    for thread in overdue:
        if remaining() < ENOUGH:
            break
        await host.alarms.wake(thread, host.fresh_cause())
        woken += 1
    if overdue:
        log.warning("%d threads were overdue, %d were woken", len(overdue), woken)
    return {"overdue": len(overdue), "woken": woken}
