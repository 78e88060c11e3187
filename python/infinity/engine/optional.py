"""Optional work: what a slice does beside its turn must never fail it, because the turn was paid for (R7)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

__all__ = ["left_out", "optional", "optional_async"]

log = logging.getLogger("infinity.engine")

T = TypeVar("T")


def optional(what: str, thread: str, work: Callable[[], T]) -> T | None:
    """The result of ``work``, or ``None`` if it failed, which is logged. For titles, displays, compaction and live events."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 any failure of optional work, of whatever class, ends here
        left_out(what, thread, error)
        return None


async def optional_async(what: str, thread: str, work: Awaitable[T]) -> T | None:
    """The same for what has to be awaited."""
    try:
        return await work
    except Exception as error:  # noqa: BLE001 any failure of optional work, of whatever class, ends here
        left_out(what, thread, error)
        return None


def left_out(what: str, thread: str, error: Exception) -> None:
    """Say so. For work that is done too often to be wrapped in a function."""
    log.warning("%s of %s failed and was left out: %s: %s", what, thread, type(error).__name__, error)
